from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codec_s2st.cli import main
from codec_s2st.share import preset_path

CHOSEN = ["cpt/qwen2_5_0_5b", "--gpu", "h100"]


def plan(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert main(["plan", *args, "--json"]) == 0

    found: dict[str, Any] = json.loads(capsys.readouterr().out)

    return found


def test_counts_are_those_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "cpt/paper/joint", "--gpus", "64", "--gpu", "h100")

    # 151,936 rows of text, 256 of specials, 3 x 1,024 codes, to a multiple of 32; 1,024 wide; heads the same.
    assert found["parameters"]["embeddings"] == 155_264 * 1_024
    assert found["batch"]["positions_a_step"] == 640 * 4_096
    assert found["batch"]["steps"] == 40_000

    # 6 operations a weight and position.
    backbone = found["flops"]["backbone"]["useful"]

    assert backbone == pytest.approx(6 * found["parameters"]["backbone"] * 640 * 4_096, rel=0.01)

    assert found["memory_gb"]["fits"] is True
    assert found["fast"]["cost"] is None


def test_time_follows_from_operations(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, *CHOSEN, "--gpus", "8", "--utilisation", "0.4", "0.5", "--price", "2")

    executed = sum(part["executed"] for part in found["flops"].values())

    assert found["slow"]["step_seconds"] == pytest.approx(executed / (0.4 * 989.4e12 * 8))
    assert found["slow"]["device_hours"] == pytest.approx(found["slow"]["step_seconds"] * 40_000 * 8 / 3_600)
    assert found["slow"]["cost"] == pytest.approx(2 * found["slow"]["device_hours"])

    # Layers are computed again: that keeps a device busy and is of no use.
    assert found["slow"]["mfu"] < 0.8 * found["slow"]["utilisation"]


def test_what_does_not_fit_comes_with_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["cpt/qwen3_1_7b", "--gpus", "8", "--gpu", "l40s"]

    found = plan(capsys, *arguments, "--config", "trainer.activation_checkpointing.mode=off")

    assert found["memory_gb"]["fits"] is False
    assert "activation_checkpointing.mode=layerwise" in found["advice"][0]

    changed = [part for line in found["advice"] for part in line.partition(": ")[0].split()[1:]]

    # An option a group: the later of two of the same key counts.
    mended = plan(capsys, *arguments, *(part for change in changed for part in ("--config", change)))

    assert mended["memory_gb"]["fits"] is True
    assert mended["advice"] == []


def test_preset_of_the_demo_is_planned_by_its_card_and_codec(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "cpt/demo/joint", "--gpu", "cpu")

    assert found["parameters"]["all"] < 10e6
    assert "measured" in found["device"]["source"]
    assert not any("code books" in line for line in found["assumptions"])


def test_text_says_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *CHOSEN, "--gpus", "2", "--price", "1"]) == 0

    text = capsys.readouterr().out

    for word in ("backbone", "text head", "activations", "it fits", "useful MFU", "cost", "nothing was measured by us"):
        assert word in text


def test_model_that_nobody_names_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = preset_path("cpt", "qwen2_5_0_5b").read_text()

    preset = tmp_path / "mine.yaml"

    preset.write_text(text.replace("# Arch: ", "# "))

    assert main(["plan", str(preset), "--recipe", "cpt", "--gpu", "h100"]) == 2

    assert "--arch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["cpt/paper/joint"], "--gpu"),
        (["cpt/paper/joint", "--gpu", "h1000"], "h1000"),
        ([*CHOSEN, "--arch", "qwen9"], "qwen9"),
        ([*CHOSEN, "--gpus", "0"], "--gpus"),
        ([*CHOSEN, "--gpus", "9" * 20], "but must be 1 to 100000"),
        ([*CHOSEN, "--frames", "0"], "--frames"),
        ([*CHOSEN, "--frames", "999999999"], "--frames is 999999999, but must be 1 to 100000"),
        ([*CHOSEN, "--text", "999999999"], "--text"),
        ([*CHOSEN, "--price", "-1"], "--price"),
        ([*CHOSEN, "--price", "inf"], "--price is inf, but must be a number from 0"),
        ([*CHOSEN, "--utilisation", "0.5", "0.4"], "--utilisation"),
        (["cpt/demo/joint", "--gpu", "cpu", "--gpus", "2"], "--gpus"),
        (["tokenize/demo", "--gpu", "h100"], "tokenize/demo"),
        ([*CHOSEN, "--arch", "tiny", "--config", "gang.tensor_parallel_size=2"], "tensor_parallel_size"),
    ],
)
def test_wrong_arguments_are_one_line(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *args]) == 2

    error = capsys.readouterr().err

    assert error.count("\n") == 1 and message in error
