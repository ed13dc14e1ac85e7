"""Measures of waves and of codes, against values that are known or counted slowly."""

from __future__ import annotations

import math
import sys
from collections import Counter
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from codec_s2st.evaluation.code_use import CodeCounter
from codec_s2st.evaluation.signal import PESQ_RATE, mel_distance, pesq, si_sdr, stoi

RATE = 16_000


def tone(frequency: int, seconds: float = 1.0, rate: int = RATE) -> Tensor:
    return torch.sin(2 * torch.pi * frequency * torch.arange(int(seconds * rate)) / rate)


def babble(seconds: float, seed: int = 0) -> Tensor:
    """Noise whose loudness changes as that of syllables does."""
    generator = torch.Generator().manual_seed(seed)

    noise = torch.randn(int(seconds * RATE), generator=generator)

    return 0.1 * noise * (1.1 + tone(4, seconds))


class TestSiSdr:
    @pytest.mark.parametrize("decibels", [-10.0, 0.0, 20.0])
    @pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.2, 0.3)])
    def test_orthogonal_noise_of_a_known_level(self, decibels: float, scale: float, offset: float) -> None:
        noisy = tone(100) + 10 ** (-decibels / 20) * tone(300)

        value = si_sdr(tone(100), scale * noisy + offset, RATE).value

        assert value == pytest.approx(decibels, abs=1e-3)

    def test_what_has_no_ratio_says_why(self) -> None:
        silence = torch.zeros(100)

        assert si_sdr(silence, tone(100)[:100], RATE).not_measured == "the recording is silent"

        assert si_sdr(tone(100), torch.zeros(RATE), RATE).not_measured == "the output has nothing of the recording"

        assert si_sdr(tone(100), tone(100), RATE).not_measured == "the output is the recording itself"


class TestMelDistance:
    def test_a_gain_is_its_logarithm(self) -> None:
        wave = babble(1.0)

        assert mel_distance(wave, wave, RATE).value == 0.0

        # 20 dB; where a band falls below the floor, a little less.
        assert mel_distance(wave, 0.1 * wave, RATE).value == pytest.approx(1.0, abs=0.01)

    @pytest.mark.parametrize("rate", [8_000, 24_000, 44_100])
    def test_rates_and_short_waves_work(self, rate: int) -> None:
        value = mel_distance(torch.ones(50), torch.zeros(50), rate).value

        assert value is not None and value > 0.1


class TestStoi:
    def test_noise_lowers_it(self) -> None:
        wave = babble(3.0)

        clean, little, much = (stoi(wave, wave + k * babble(3.0, 1), RATE).value for k in (0.0, 0.5, 5.0))

        assert clean is not None and little is not None and much is not None

        assert clean == pytest.approx(1.0, abs=1e-4)

        assert clean > little + 0.05 > much + 0.1

    def test_short_waves_are_not_measured(self) -> None:
        result = stoi(babble(0.2), babble(0.2), RATE)

        assert result.value is None

        assert "\n" not in (result.not_measured or "") and (result.not_measured or "").startswith("pystoi: ")

    def test_absent_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pystoi", None)

        assert stoi(babble(1.0), babble(1.0), RATE).not_measured == "not installed: pip install pystoi"


class TestPesq:
    def test_absent_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pesq", None)

        result = pesq(babble(1.0), babble(1.0), RATE)

        assert result.value is None

        assert result.not_measured == "not installed: pip install pesq (it is built by a C compiler)"

    def test_package_is_called_at_its_rate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class PesqError(RuntimeError):
            pass

        def compute(rate: int, reference: np.ndarray, estimate: np.ndarray, mode: str) -> float:
            assert (rate, mode) == (PESQ_RATE, "wb")

            assert reference.shape == estimate.shape

            if reference.size < PESQ_RATE // 4:
                raise PesqError(b"Buffer is too short")

            return float(reference.size / rate)

        package = ModuleType("pesq")

        package.PesqError, package.pesq = PesqError, compute  # type: ignore[attr-defined]

        monkeypatch.setitem(sys.modules, "pesq", package)

        assert pesq(torch.ones(24_000), torch.ones(24_000), 24_000).value == 1.0

        assert pesq(torch.ones(100), torch.ones(100), RATE).not_measured == "pesq: Buffer is too short"


class TestCodeCounter:
    def test_levels_equal_those_of_a_slow_count(self) -> None:
        sizes = (5, 1000, 1)

        counter = CodeCounter(sizes)

        generator = torch.Generator().manual_seed(3)

        parts = [
            torch.stack([torch.randint(size, (num,), generator=generator) for size in sizes]) for num in (7, 90, 1)
        ]

        for part in parts:
            counter.add(part)

        codes = torch.cat(parts, dim=1)

        assert counter.num_frames == 98

        for level, size, row in zip(counter.levels(), sizes, codes.tolist(), strict=True):
            counts = Counter(row)

            entropy = -sum(n / 98 * math.log2(n / 98) for n in counts.values())

            assert (level.size, level.num_used) == (size, len(counts))

            assert level.use == len(counts) / size

            assert level.perplexity == pytest.approx(2**entropy)

    def test_equal_use_has_the_perplexity_of_its_size(self) -> None:
        counter = CodeCounter((4,))

        counter.add(torch.tensor([[0, 1, 2, 3] * 5]))

        assert counter.levels()[0].perplexity == pytest.approx(4.0)

    def test_raises_error_when_nothing_was_counted(self) -> None:
        with pytest.raises(ValueError, match="No code was counted"):
            CodeCounter((4,)).levels()
