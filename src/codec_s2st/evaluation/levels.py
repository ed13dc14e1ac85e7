"""Recordings in which nothing is to be heard, or too much. Legend: N sample."""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor

SILENT_PEAK: Final = 1e-3
"""-60 dB of full scale: a recording that never gets louder is taken for silent."""

CLIPPED_SAMPLE: Final = 0.999

CLIPPED_SHARE: Final = 1e-3
"""Of the samples; speech at full scale touches it now and then."""


def level_flaw(wave: Tensor) -> str | None:
    """Returns what is wrong with the level of ``wave`` [N], samples in [-1, 1]; ``None`` if nothing is."""
    if not wave.numel():
        return "is empty"

    magnitudes = wave.float().abs()

    peak = float(magnitudes.max())

    if peak < SILENT_PEAK:
        return "is silent" if peak == 0.0 else f"is nearly silent: its peak is {20.0 * math.log10(peak):.0f} dB"

    share = float((magnitudes >= CLIPPED_SAMPLE).float().mean())

    if share > CLIPPED_SHARE:
        return f"is clipped: {100.0 * share:.1f} % of its samples are at full scale"

    return None
