"""Measures the loudness of a recording that comes in blocks. Legend: N samples."""

from __future__ import annotations

from math import log10, pi, tan
from typing import Final

import torch
from torch import Tensor

SILENCE_LUFS: Final = -70.0
"""What is not louder has no loudness."""

_STEP_SECONDS: Final = 0.1

_STEPS_PER_BLOCK: Final = 4

_CONTEXT_SECONDS: Final = 1.0
"""After that, the filters (the slowest falls to 1/e in 8 ms) have forgotten where they began."""


class LoudnessMeter:
    """Measures integrated loudness by ITU-R BS.1770-4, of one channel.

    Samples are K-weighted. Blocks of 400 ms, one every 100 ms,
    count if they are louder than -70 LUFS, and then if they are at most 10 LU below the mean of those. A recording
    shorter than 400 ms is one block. Memory grows by one number every 100 ms.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate

        self._step = max(1, round(_STEP_SECONDS * sample_rate))

        self._context = torch.empty(1, 0)

        self._rest = torch.empty(0)

        self._powers: list[Tensor] = []

        self.peak = 0.0
        """The largest absolute value of a sample so far."""

    def add(self, block: Tensor) -> None:
        """Takes the next samples of the recording, ``[1, n]``."""
        self.peak = max(self.peak, float(block.abs().max()))

        samples = torch.cat([self._context, block], dim=-1)

        weighted = torch.cat([self._rest, self._weigh(samples)[0, self._context.size(-1) :]])

        num_whole = weighted.size(0) // self._step * self._step

        self._powers.append(weighted[:num_whole].double().view(-1, self._step).square().mean(dim=-1))

        self._rest = weighted[num_whole:].clone()

        self._context = samples[:, -round(_CONTEXT_SECONDS * self._sample_rate) :].clone()

    def loudness(self) -> float | None:
        """Returns the loudness in LUFS; ``None`` if nothing is louder than -70 LUFS."""
        powers = torch.cat(self._powers) if self._powers else torch.empty(0, dtype=torch.double)

        if powers.numel() >= _STEPS_PER_BLOCK:
            powers = powers.unfold(0, _STEPS_PER_BLOCK, 1).mean(dim=-1)
        else:
            # Shorter than a block: all there is, as one.
            total = powers.sum() * self._step + self._rest.double().square().sum()

            powers = (total / max(1, powers.numel() * self._step + self._rest.numel()))[None]

        audible = powers[powers > _power(SILENCE_LUFS)]

        if not audible.numel():
            return None

        # Of the mean of these, at most 10 LU less.
        return _lufs(float(audible[audible > audible.mean() * 0.1].mean()))

    def _weigh(self, samples: Tensor) -> Tensor:
        from torchaudio.functional import lfilter

        for numerator, denominator in k_weighting(self._sample_rate):
            # Not `biquad`, which clips at full scale.
            samples = lfilter(samples, torch.tensor(denominator), torch.tensor(numerator), clamp=False)

        return samples


def k_weighting(sample_rate: int) -> list[tuple[list[float], list[float]]]:
    """Returns numerator and denominator of the two filters of BS.1770, a shelf (the head) and a high pass.

    The standard tabulates them at 48 kHz; this form, of B. De Man, "Evaluation of implementations of the EBU R128
    loudness measurement" (AES 145, 2018), gives these numbers there. ``torchaudio.functional.loudness`` has another
    shelf, clips what is above full scale after it, and needs the whole recording.
    """
    gain = 10.0 ** (3.999843853973347 / 20.0)

    # The gain at the corner of the shelf.
    middle = gain**0.4996667741545416

    k, q = tan(pi * 1681.974450955533 / sample_rate), 0.7071752369554196

    shelf = [gain + middle * k / q + k * k, 2 * (k * k - gain), gain - middle * k / q + k * k]

    filters = [_normalised(shelf, _denominator(k, q))]

    k, q = tan(pi * 38.13547087602444 / sample_rate), 0.5003270373238773

    denominator = _denominator(k, q)

    # The standard leaves the gain of the high pass as it comes.
    filters.append(_normalised([denominator[0], -2 * denominator[0], denominator[0]], denominator))

    return filters


def _denominator(k: float, q: float) -> list[float]:
    return [1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k]


def _normalised(numerator: list[float], denominator: list[float]) -> tuple[list[float], list[float]]:
    return [value / denominator[0] for value in numerator], [value / denominator[0] for value in denominator]


def _power(lufs: float) -> float:
    return float(10.0 ** ((lufs + 0.691) / 10.0))


def _lufs(power: float) -> float:
    return 10.0 * log10(power) - 0.691
