"""Finds the silence at the ends of a recording. Legend: N samples."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_FRAME_SECONDS: Final = 0.02


class SilenceMeter:
    """Finds where a recording begins and ends to be louder than so many decibels below its loudest moment.

    The measure is the root mean square of frames of 20 ms, side by side; a frame whose level is ``trim_db`` or more
    below that of the loudest frame is silence. That is the method of ``librosa.effects.trim``, whose frames overlap.
    It needs no calibration of the recording's level, and two passes: the loudest frame may be the last.
    """

    def __init__(self, sample_rate: int, *, trim_db: float, margin: float) -> None:
        """
        :param sample_rate: Samples a second.
        :param trim_db: What is that much below the loudest frame is silence, in decibels; positive.
        :param margin: How much of the silence is kept at either end, in seconds.
        """
        self._frame = max(1, round(_FRAME_SECONDS * sample_rate))

        self._margin = round(margin * sample_rate)

        self._ratio = 10.0 ** (-trim_db / 10.0)

        self._rest = torch.empty(0)

        self._powers: list[Tensor] = []

        self._num_samples = 0

    def add(self, block: Tensor) -> None:
        """Takes the next samples of the recording, ``[1, n]``."""
        self._num_samples += block.size(-1)

        samples = torch.cat([self._rest, block[0]])

        num_whole = samples.size(0) // self._frame * self._frame

        self._powers.append(_powers(samples[:num_whole].view(-1, self._frame)))

        self._rest = samples[num_whole:].clone()

    def speech(self) -> tuple[int, int] | None:
        """Returns the first sample that is kept and the one behind the last; ``None`` if all samples are zero."""
        powers = torch.cat([*self._powers, *([_powers(self._rest[None])] if self._rest.numel() else [])])

        loudest = powers.max() if powers.numel() else torch.zeros(())

        if float(loudest) == 0.0:
            return None

        (loud,) = (powers > loudest * self._ratio).nonzero(as_tuple=True)

        begin = int(loud[0]) * self._frame - self._margin

        end = (int(loud[-1]) + 1) * self._frame + self._margin

        return max(0, begin), min(self._num_samples, end)


def _powers(frames: Tensor) -> Tensor:
    """Returns the mean square of frames [.., n]; in double precision, so that one large sample loses no others."""
    return frames.double().square().mean(dim=-1)
