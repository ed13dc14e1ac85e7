"""Audio that is read in blocks: the samples of the whole, in bounded memory, and errors of the disk."""

from __future__ import annotations

import errno
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from codec_s2st.codecs import audio_source, resampling
from codec_s2st.codecs.audio import AudioTooLongError, read_audio, stream_audio
from codec_s2st.codecs.resampling import resample, resample_blocks
from codec_s2st.errors import UserInputError

RATE = 16_000


def make_noise(num_samples: int, seed: int = 0) -> Tensor:
    return torch.rand(1, num_samples, generator=torch.Generator().manual_seed(seed)) - 0.5


class TestResampleBlocks:
    @pytest.mark.parametrize(
        ("from_rate", "to_rate"),
        [
            (48_000, 16_000),
            (8_000, 24_000),
            (44_100, 16_000),
            (22_050, 24_000),
            (192_000, 24_000),
            (44_101, 16_000),
            (RATE, RATE),
        ],
    )
    @pytest.mark.parametrize("num_samples", [1, 999, 30_011])
    def test_samples_are_those_of_the_whole(
        self, monkeypatch: pytest.MonkeyPatch, from_rate: int, to_rate: int, num_samples: int
    ) -> None:
        monkeypatch.setattr(resampling, "_WINDOW_SAMPLES", 3_000)

        wave = make_noise(num_samples)

        blocks = list(resample_blocks(wave.split(1_777, dim=-1), from_rate, to_rate))

        whole = resample(wave, from_rate, to_rate)

        assert num_samples < 10_000 or len(blocks) > 5

        torch.testing.assert_close(torch.cat(blocks, dim=-1), whole, rtol=0, atol=2e-6)


class TestStreamAudio:
    @pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
    @pytest.mark.parametrize("stretch", ["", "#t=1.5,6.25"])
    def test_samples_are_those_of_read_audio(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stretch: str
    ) -> None:
        monkeypatch.setattr(audio_source, "BLOCK_VALUES", 20_000)
        monkeypatch.setattr(resampling, "_WINDOW_SAMPLES", 30_000)

        soundfile.write(tmp_path / name, make_noise(8 * 48_000).view(-1, 1).expand(-1, 2).numpy(), 48_000)

        path = f"{tmp_path / name}{stretch}"

        blocks = list(stream_audio(path, sample_rate=RATE))

        assert len(blocks) > 5

        torch.testing.assert_close(torch.cat(blocks, dim=-1), read_audio(path, sample_rate=RATE), rtol=0, atol=2e-6)

    def test_what_is_wrong_is_raised_at_its_place(self, tmp_path: Path) -> None:
        wave = make_noise(2_000_000)
        wave[0, 1_900_000] = float("nan")

        soundfile.write(tmp_path / "a.wav", wave[0].numpy(), RATE, subtype="FLOAT")

        blocks = stream_audio(tmp_path / "a.wav", sample_rate=RATE)

        assert next(blocks).size(-1) > 100_000

        with pytest.raises(UserInputError, match="NaN or infinite"):
            list(blocks)

    def test_too_long_is_an_error_of_its_own(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", make_noise(RATE)[0].numpy(), RATE)

        for path in (tmp_path / "a.wav", f"{tmp_path}/a.wav#t=0,0.9"):
            with pytest.raises(AudioTooLongError, match=r"longer than 0\.8 s"):
                list(stream_audio(path, sample_rate=RATE, max_seconds=0.8))


class FailingFile(BufferedReader):
    """Fails as soon as more than ``limit`` bytes were read."""

    limit = 0
    num_read = 0

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)

        type(self).num_read += count

        if self.num_read > self.limit:
            raise OSError(errno.EIO, "Input/output error")

        return count


class TestFailingStorage:
    @pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
    def test_error_of_the_disk_is_not_taken_for_a_truncated_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, share: float
    ) -> None:
        path = tmp_path / name

        soundfile.write(path, make_noise(400_000)[0].numpy(), RATE)

        monkeypatch.setattr(FailingFile, "limit", int(share * path.stat().st_size))
        monkeypatch.setattr(FailingFile, "num_read", 0)

        original = Path.open

        def failing_open(self: Path, *args: Any, **kwargs: Any) -> Any:
            fp = original(self, *args, **kwargs)

            return FailingFile(fp.detach()) if kwargs.get("buffering") else fp

        monkeypatch.setattr(Path, "open", failing_open)

        with pytest.raises(UserInputError, match="cannot be read: Input/output error") as info:
            read_audio(path, sample_rate=RATE)

        assert isinstance(info.value.__cause__, OSError)

        assert info.value.__cause__.errno == errno.EIO

    def test_missing_file_has_its_cause(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="does not exist") as info:
            read_audio(tmp_path / "a.wav", sample_rate=RATE)

        assert isinstance(info.value.__cause__, FileNotFoundError)

    @pytest.mark.parametrize("name", ["x" * 300, "a.wav/b.wav"])
    def test_impossible_path_is_one_line(self, tmp_path: Path, name: str) -> None:
        soundfile.write(tmp_path / "a.wav", np.zeros(10), RATE)

        with pytest.raises(UserInputError, match="cannot be read"):
            read_audio(tmp_path / name, sample_rate=RATE)
