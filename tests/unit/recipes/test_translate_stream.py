"""``codec-s2st translate --stream`` against what is translated as a whole."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec_s2st.cli import main
from codec_s2st.translator import SpeechTranslator
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


class TestIncomplete:
    """What is not complete is not left under the name that was asked for, and what was there stays."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        file = tmp_path / "out.wav"

        file.write_bytes(b"an earlier one")

        return file

    def stream(self, folder: Path, model: Path, *args: str) -> int:
        source = write_speech(folder / "in.wav", rate=16_000, channels=1)

        return run(source, folder / "out.wav", "--model", model, "--stream", *args)

    def check(self, old: Path) -> None:
        assert old.read_bytes() == b"an earlier one"

        assert sorted(file.name for file in old.parent.iterdir()) == ["in.wav", "out.wav"]

    def test_refused(self, old: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.stream(old.parent, model, "--task", "s2tt") == 2

        assert "ends in text, which is not streamed" in capsys.readouterr().err

        self.check(old)

    def test_full_disk(self, old: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)

        source = write_speech(old.parent / "in.wav", rate=16_000, channels=1)

        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

        try:
            assert run(source, old, "--model", model, "--stream") == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        assert f"{old} cannot be written: File too large" in capsys.readouterr().err

        self.check(old)

    def test_interrupted(
        self, old: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        grown = []

        def stream(*args: object, **kwargs: object) -> Iterator[torch.Tensor]:
            yield torch.zeros(100)

            # What is there can be heard.
            grown.append(soundfile.info(old.with_name("out.part.wav")).frames)

            raise KeyboardInterrupt

        monkeypatch.setattr(SpeechTranslator, "stream", stream)

        assert self.stream(old.parent, model) == 130

        assert grown == [100]

        self.check(old)

    def test_nothing_said(
        self, old: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(SpeechTranslator, "stream", lambda *args, **kwargs: iter(()))

        assert self.stream(old.parent, model) == 1

        assert "the model has said nothing" in capsys.readouterr().err

        self.check(old)

    def test_file_of_that_name(self, old: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        other = old.with_name("out.part.wav")

        other.write_bytes(b"mine")

        assert self.stream(old.parent, model) == 2

        assert "out.part.wav' exists, as which" in capsys.readouterr().err

        assert other.read_bytes() == b"mine" and old.read_bytes() == b"an earlier one"
