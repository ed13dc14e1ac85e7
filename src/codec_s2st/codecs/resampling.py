"""Changes sample rates, of whole waves and of streams. Legend: N samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil
from typing import Final

import torch
from torch import Tensor

from codec_s2st.codecs.windows import cut_windows

_MAX_TERM: Final = 1_000

_WINDOW_SAMPLES: Final = 1 << 18

_ZERO_CROSSINGS: Final = 6
"""Half the width of torchaudio's filter, in periods of the lower one of the two rates."""


def resample(wave: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Changes the sample rate of ``wave`` [.., N]; the result has ceil(N * to_rate / from_rate) samples.

    The method is torchaudio's: a sinc of six zero crossings under a Hann window, cut off at 0.99 of the lower Nyquist
    frequency. Its kernel grows with the terms of the ratio of the rates, so a ratio with a term above 1,000 (44,101 Hz
    to 16,000 Hz would need 2.9 GB) is replaced by the nearest one without.
    """
    if from_rate == to_rate:
        return wave

    num_samples = _num_samples(wave.size(-1), from_rate, to_rate)

    resampled = _resample(wave, _ratio(from_rate, to_rate))

    return torch.nn.functional.pad(resampled, (0, num_samples - resampled.size(-1)))


def resample_blocks(blocks: Iterable[Tensor], from_rate: int, to_rate: int) -> Iterator[Tensor]:
    """Changes the sample rate of a signal that comes in blocks; the whole is that of :func:`resample`.

    The samples are equal up to the rounding of sums (some 1e-7): each is the same dot product.

    :param blocks: Blocks of any size. *Shape:* [1, n].
    """
    if from_rate == to_rate:
        yield from blocks

        return

    ratio = _ratio(from_rate, to_rate)

    step, new = ratio.numerator, ratio.denominator

    # So many steps the filter reaches to either side, and it begins one step later than its place.
    context = (ceil(_ZERO_CROSSINGS * step / (0.99 * min(step, new)) / step) + 1) * step

    num_read = num_given = 0

    for window in cut_windows(blocks, size=max(1, _WINDOW_SAMPLES // step) * step, before=context, after=context):
        num_read += window.num_new

        output = _resample(window.samples, ratio)[:, window.num_before // step * new :]

        if window.is_last:
            num_left = max(0, _num_samples(num_read, from_rate, to_rate) - num_given)

            output = torch.nn.functional.pad(output, (0, num_left - output.size(-1)))
        else:
            output = output[:, : window.num_new // step * new]

        num_given += output.size(-1)

        yield output


def _ratio(from_rate: int, to_rate: int) -> Fraction:
    ratio = Fraction(from_rate, to_rate)

    if max(ratio.numerator, ratio.denominator) <= _MAX_TERM:
        return ratio

    # `limit_denominator` limits only one of the two terms: the larger one has to be it.
    return 1 / (1 / ratio).limit_denominator(_MAX_TERM) if ratio > 1 else ratio.limit_denominator(_MAX_TERM)


def _num_samples(num_samples: int, from_rate: int, to_rate: int) -> int:
    return -(-num_samples * to_rate // from_rate)


def _resample(wave: Tensor, ratio: Fraction) -> Tensor:
    from torchaudio.functional import resample as resample_by_ratio

    resampled: Tensor = resample_by_ratio(wave, ratio.numerator, ratio.denominator)

    return resampled
