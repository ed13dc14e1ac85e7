"""Loudness: the values that the standard states, the same in blocks, and what tokenize makes of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from codec_s2st.data.loading import AudioSettings, load_audio
from codec_s2st.data.loudness import LoudnessMeter, k_weighting
from codec_s2st.errors import UserInputError
from tests.hg_codecs import make_wave

RATE = 16_000


def measure(wave: Tensor, rate: int = RATE, block: int = 7_001) -> float | None:
    meter = LoudnessMeter(rate)

    for part in wave.split(block, dim=-1):
        meter.add(part)

    return meter.loudness()


def make_sine(seconds: float, rate: int = RATE, *, level: float = 0.0) -> Tensor:
    """Returns 997 Hz; ``level`` is that of the peak in decibels below full scale. *Shape:* [1, N]."""
    return 10 ** (level / 20) * torch.sin(2 * math.pi * 997 / rate * torch.arange(int(seconds * rate)))[None]


class TestLoudnessMeter:
    # BS.1770-4: a sine of 997 Hz at full scale in one channel is -3.01 LUFS.
    @pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
    @pytest.mark.parametrize("level", [0.0, -20.0])
    def test_sine_is_what_the_standard_says(self, rate: int, level: float) -> None:
        assert measure(make_sine(5.0, rate, level=level), rate) == pytest.approx(level - 3.01, abs=0.05)

    def test_filters_are_those_of_the_standard(self) -> None:
        shelf, high_pass = k_weighting(48_000)

        np.testing.assert_allclose(shelf[0], [1.53512485958697, -2.69169618940638, 1.19839281085285], atol=1e-10)
        np.testing.assert_allclose(shelf[1], [1.0, -1.69065929318241, 0.73248077421585], atol=1e-10)
        np.testing.assert_allclose(high_pass[0], [1.0, -2.0, 1.0], atol=1e-10)
        np.testing.assert_allclose(high_pass[1], [1.0, -1.99004745483398, 0.99007225036621], atol=1e-10)

    # EBU Tech 3341, case 3: what is 10 LU below the rest does not count.
    def test_soft_parts_are_gated(self) -> None:
        wave = torch.cat([make_sine(10.0, level=-33.0), make_sine(60.0, level=-20.0), make_sine(10.0, level=-33.0)], -1)

        assert measure(wave) == pytest.approx(-23.0, abs=0.1)

    def test_silence_round_speech_does_not_count(self) -> None:
        wave = make_wave(3.0, 1)[0]

        alone, amid = measure(wave), measure(torch.nn.functional.pad(wave, (5 * RATE, 7 * RATE)))

        assert alone is not None and amid == pytest.approx(alone, abs=0.5)

    def test_near_to_torchaudio(self) -> None:
        from torchaudio.functional import loudness

        wave = make_wave(10.0, 2)[0] * 0.1

        assert measure(wave) == pytest.approx(float(loudness(wave, RATE)), abs=0.2)

    @pytest.mark.parametrize("seconds", [0.2, 0.4, 33.3])
    def test_blocks_do_not_matter(self, seconds: float) -> None:
        wave = make_wave(seconds, 3)[0]

        whole = measure(wave, block=10**9)

        assert whole is not None

        for block in (161, 40_001):
            assert measure(wave, block=block) == pytest.approx(whole, abs=1e-4)

    def test_short_recording_is_one_block(self) -> None:
        assert measure(make_sine(0.15)) == pytest.approx(-3.0, abs=0.2)

    @pytest.mark.parametrize("num_samples", [1, 500, 20_000])
    def test_silence_has_none(self, num_samples: int) -> None:
        assert measure(torch.zeros(1, num_samples)) is None

        assert measure(torch.full((1, num_samples), 1e-5)) is None


class TestLoadAudio:
    def load(self, path: Path, loudness: float) -> Tensor:
        settings = AudioSettings(max_seconds=60.0, loudness=loudness)

        wave = load_audio(path, settings, sample_rate=RATE, whole_seconds=60.0).wave

        assert wave is not None

        return wave

    def test_recording_is_scaled(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", make_sine(2.0, level=-40.0)[0].numpy(), RATE, subtype="FLOAT")

        wave = self.load(tmp_path / "a.wav", -23.0)

        torch.testing.assert_close(wave, make_sine(2.0, level=-23.0 + 3.01), rtol=0.01, atol=1e-3)

    def test_it_never_clips(self, tmp_path: Path) -> None:
        wave = make_sine(2.0, level=-30.0)

        wave[0, 100] = 0.5

        soundfile.write(tmp_path / "a.wav", wave[0].numpy(), RATE, subtype="FLOAT")

        scaled = self.load(tmp_path / "a.wav", -10.0)

        torch.testing.assert_close(scaled, wave * 2.0)

    def test_silence_is_refused(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)

        with pytest.raises(UserInputError, match="nothing louder than -70 LUFS"):
            self.load(tmp_path / "a.wav", -23.0)

    @pytest.mark.parametrize("trim_db", [None, 30.0])
    @pytest.mark.parametrize("loudness", [None, -30.0])
    def test_long_recordings_are_edited_alike(
        self, tmp_path: Path, trim_db: float | None, loudness: float | None
    ) -> None:
        wave = torch.nn.functional.pad(make_wave(40.0, 4)[0] * 0.1, (20_000, 30_000))

        soundfile.write(tmp_path / "a.wav", wave[0].numpy(), RATE, subtype="FLOAT")

        settings = AudioSettings(max_seconds=60.0, trim_db=trim_db, loudness=loudness)

        whole = load_audio(tmp_path / "a.wav", settings, sample_rate=RATE, whole_seconds=60.0)

        parts = load_audio(tmp_path / "a.wav", settings, sample_rate=RATE, whole_seconds=1.0)

        assert whole.wave is not None and parts.wave is None and parts.blocks is not None

        blocks = list(parts.blocks())

        assert len(blocks) > 1

        torch.testing.assert_close(torch.cat(blocks, dim=-1), whole.wave, rtol=1e-4, atol=1e-6)

        assert parts.trimmed == whole.trimmed

        assert (parts.trimmed is None) == (trim_db is None)
