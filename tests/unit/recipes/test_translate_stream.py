"""``codec-s2st translate --stream`` against what is translated as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec_s2st.cli import main
from tests.published import publish_random_model, write_speech


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_random_model(tmp_path_factory.mktemp("model"), "tiny_translator")


def run(*args: str | Path) -> int:
    return main(["translate", *map(str, args)])


def test_file_is_that_of_the_whole(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_speech(tmp_path / "in.wav", rate=16_000, channels=1)

    assert run(source, tmp_path / "whole.wav", "--model", model) == 0

    capsys.readouterr()

    assert run(source, tmp_path / "stream.wav", "--model", model, "--stream", "--json") == 0

    times = json.loads(capsys.readouterr().out)

    whole, rate = soundfile.read(tmp_path / "whole.wav")

    stream, stream_rate = soundfile.read(tmp_path / "stream.wav")

    assert rate == stream_rate and whole.shape == stream.shape

    # Both are rounded to 16 bits.
    assert np.abs(whole - stream).max() < 1e-3 < np.abs(whole).max()

    assert times["seconds_out"] == pytest.approx(len(whole) / rate)

    assert 0 < times["first_audio_seconds"] <= times["total_seconds"]

    assert times["real_time_factor"] == pytest.approx(times["total_seconds"] / times["seconds_out"])


def test_other_formats_are_refused(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_speech(tmp_path / "in.wav", rate=16_000, channels=1)

    assert run(source, tmp_path / "out.flac", "--model", model, "--stream") == 2

    assert "--stream is for one recording and one .wav file" in capsys.readouterr().err


def test_int8_translates(tmp_path: Path, model: Path) -> None:
    source = write_speech(tmp_path / "in.wav", rate=16_000, channels=1)

    assert run(source, tmp_path / "out.wav", "--model", model, "--quantize", "int8") == 0

    assert soundfile.info(tmp_path / "out.wav").frames > 0
