"""What ``codec-s2st translate`` says of recordings in which little is to be heard, or too much."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec_s2st.cli import main
from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.translate.recipe import TranslateRecipe
from tests.published import publish_random_model, write_speech

QUIET = "is nearly silent: its peak is -80 dB"

LOUD = "is clipped: 100.0 % of its samples are at full scale"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_random_model(tmp_path_factory.mktemp("model"), "tiny_translator")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a quiet, a clipped and a good recording."""
    folder = tmp_path / "in"

    write_speech(folder / "good.wav", seconds=0.4)

    signs = np.where(np.arange(8_000) % 40 < 20, 1.0, -1.0)

    soundfile.write(folder / "loud.wav", signs, 16_000, subtype="FLOAT")
    soundfile.write(folder / "quiet.wav", 1e-4 * signs, 16_000, subtype="FLOAT")

    return folder


def test_each_is_warned_of_by_name(
    tmp_path: Path, folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["translate", str(folder), str(tmp_path / "out"), "--model", str(model), "--json"]) == 0

    output = capsys.readouterr()

    warnings = [line for line in output.err.splitlines() if "largest length" not in line]

    assert warnings == [
        f"codec-s2st: warning: '{folder}/loud.wav' {LOUD}",
        f"codec-s2st: warning: '{folder}/quiet.wav' {QUIET}",
    ]

    flaws = [json.loads(line)["input_flaw"] for line in output.out.splitlines()]

    assert flaws == [None, LOUD, QUIET]

    # They are translated all the same.
    assert len(list(tmp_path.joinpath("out").iterdir())) == 3


def test_stream_warns_too(tmp_path: Path, folder: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, flaw in (("quiet", QUIET), ("good", None)):
        source = folder / f"{name}.wav"

        options = ["--model", str(model), "--stream", "--json"]

        assert main(["translate", str(source), str(tmp_path / "out.wav"), *options]) == 0

        output = capsys.readouterr()

        assert output.err == ("" if flaw is None else f"codec-s2st: warning: '{source}' {flaw}\n")

        assert json.loads(output.out)["input_flaw"] == flaw


def test_recipe_logs_it(tmp_path: Path, folder: Path, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"

    assert recipe_main(TranslateRecipe(), [str(out), "--config", f"input={folder}", f"model_card={model}"]) == 0

    # The console breaks lines where it likes.
    logged = "".join(capfd.readouterr().err.split())

    assert "".join(f"quiet.wav' {QUIET}".split()) in logged and "".join(f"loud.wav' {LOUD}".split()) in logged

    assert "good.wav'is" not in logged
