"""Tests of speech as a picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from codec_s2st.evaluation.spectrogram import log_spectrogram, spectrogram_png

RATE = 16_000


def tone(frequency: float, seconds: float = 0.5) -> torch.Tensor:
    return 0.3 * torch.sin(2 * math.pi * frequency * torch.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("frequency", [440, 1000, 5000])
def test_tone_is_a_line_at_its_frequency(frequency: int) -> None:
    picture = log_spectrogram(tone(frequency), RATE)

    # 25 ms and 10 ms.
    assert picture.shape == (201, 48)

    assert picture.argmax(0).tolist() == [round(frequency / 40)] * 48

    assert picture.max() == 0.0 and picture.min() >= -80.0


@pytest.mark.parametrize("wave", [torch.zeros(8000), torch.zeros(0), torch.zeros(3)])
def test_silence_and_nothing_are_dark(wave: torch.Tensor) -> None:
    picture = log_spectrogram(wave, RATE)

    assert picture.size(1) >= 1 and bool((picture == -80.0).all())


def test_high_tones_are_above_low_ones(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = []

    for frequency in (520, 6000):
        file = tmp_path / "x.png"

        file.write_bytes(spectrogram_png(tone(frequency), RATE))

        image = np.asarray(Image.open(file).convert("L"), dtype=float)

        assert image.shape == (201, 48)

        rows.append(image.mean(1).argmax())

    assert rows == [200 - round(520 / 40), 200 - round(6000 / 40)]
