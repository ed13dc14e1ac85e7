"""Checkpoints of our own that do not fit: the key, the file and the next command in one line; nothing goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from codec_s2st.cli import main
from tests.published import publish_random_model, write_speech

KEY = "decoder.layers.1.ffn.inner_proj.weight"


def drop(state: dict[str, Tensor]) -> None:
    del state[KEY]


def add(state: dict[str, Tensor]) -> None:
    state["decoder.layers.2.extra"] = torch.zeros(3)


def reshape(state: dict[str, Tensor]) -> None:
    state[KEY] = state[KEY][:-1].clone()


def drop_most(state: dict[str, Tensor]) -> None:
    for key in list(state):
        if key.startswith("decoder.layers"):
            del state[key]


@pytest.mark.parametrize(
    ("change", "key"),
    [(drop, KEY), (add, "decoder.layers.2.extra"), (reshape, KEY), (drop_most, "decoder.layers.0.self_attn")],
)
def test_key_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Tensor]], None], key: str
) -> None:
    card = publish_random_model(tmp_path, "changed")

    file = tmp_path / "changed" / "model.safetensors"

    state = load_file(file)

    change(state)

    save_file(state, file)

    wave = write_speech(tmp_path / "in.wav")

    assert main(["translate", str(wave), str(tmp_path / "out.wav"), "--model", str(card)]) == 2

    [line] = capsys.readouterr().err.splitlines()

    assert line.startswith("codec-s2st: error: ") and len(line) < 600

    assert key in line and str(tmp_path / "changed") in line

    assert "fetch the checkpoint and its card again" in line

    assert not tmp_path.joinpath("out.wav").exists()
