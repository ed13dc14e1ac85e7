"""Resampling with numpy alone, for the demo world's tools, which do not need torch."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Wave: TypeAlias = "NDArray[np.float32]"
"""Samples [N], float32."""


def resample(wave: Wave, rate: int, new_rate: int) -> Wave:
    """Resamples ``wave`` [N] from ``rate`` to ``new_rate`` samples a second.

    Done by Fourier transform, with a soft edge below the lower of the two Nyquist frequencies.
    """
    if rate == new_rate:
        return wave

    step = math.gcd(rate, new_rate)

    # One block more than needed: what the transform wraps around falls into silence.
    blocks = _smooth_number(-(-wave.size // (rate // step)) + 1)

    num_samples = blocks * (new_rate // step)

    spectrum = np.fft.rfft(wave, blocks * (rate // step))

    kept = np.zeros(num_samples // 2 + 1, spectrum.dtype)

    num_bins = min(kept.size, spectrum.size)

    kept[:num_bins] = spectrum[:num_bins] * _edge(num_bins)

    resampled = np.fft.irfft(kept, num_samples) * (new_rate / rate)

    return resampled[: wave.size * new_rate // rate].astype(np.float32)


@lru_cache(maxsize=64)
def _edge(num_bins: int) -> NDArray[np.float64]:
    position = np.linspace(0.0, 1.0, num_bins)

    return np.square(np.cos(np.clip((position - 0.94) / 0.06, 0.0, 1.0) * np.pi / 2))


def _smooth_number(least: int) -> int:
    """Returns the smallest number from ``least`` on that has no prime factor above 5: fast transforms."""
    number = least

    while True:
        rest = number

        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime

        if rest == 1:
            return number

        number += 1
