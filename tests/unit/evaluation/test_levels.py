from __future__ import annotations

import pytest
import torch

from codec_s2st.evaluation.levels import level_flaw


def tone(peak: float) -> torch.Tensor:
    return peak * torch.sin(torch.arange(16_000) * 0.1)


@pytest.mark.parametrize("peak", [0.002, 0.1, 0.9, 0.998])
def test_ordinary_speech_has_no_flaw(peak: float) -> None:
    assert level_flaw(tone(peak)) is None


def test_nothing_is_empty() -> None:
    assert level_flaw(torch.zeros(0)) == "is empty"


def test_silence() -> None:
    assert level_flaw(torch.zeros(100)) == "is silent"


def test_nearly_silent_says_how_loud() -> None:
    assert level_flaw(tone(1e-4)) == "is nearly silent: its peak is -80 dB"


def test_clipped_says_how_much() -> None:
    wave = tone(0.5)

    wave[:160] = -1.0

    assert level_flaw(wave) == "is clipped: 1.0 % of its samples are at full scale"

    # A touch is none.
    wave[10:] = 0.5

    assert level_flaw(wave) is None
