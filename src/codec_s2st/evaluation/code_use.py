"""How a codec uses its code books. Legend: T codec frame, Q stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LevelUse:
    """The use of one code book."""

    size: int

    num_used: int
    """The number of codes that occur; at most the number of frames."""

    entropy: float
    """Of the distribution of the codes, in bits a frame; at most log2 of ``size``."""

    @property
    def use(self) -> float:
        """The share of the codes that occur."""
        return self.num_used / self.size

    @property
    def perplexity(self) -> float:
        """The number of codes that, used equally often, would have the same entropy."""
        return float(2.0**self.entropy)


class CodeCounter:
    """Counts the codes of a corpus, level by level."""

    def __init__(self, codebook_sizes: Sequence[int]) -> None:
        self._counts = [torch.zeros(size, dtype=torch.int64) for size in codebook_sizes]

        self._num_frames = 0

    def add(self, codes: Tensor) -> None:
        """
        :param codes: *Shape:* [Q, T].
        """
        for counts, level in zip(self._counts, codes.cpu(), strict=True):
            counts += torch.bincount(level, minlength=counts.numel())

        self._num_frames += codes.size(1)

    @property
    def num_frames(self) -> int:
        return self._num_frames

    def levels(self) -> list[LevelUse]:
        """
        :raises ValueError: no code was counted.
        """
        if not self._num_frames:
            raise ValueError("No code was counted.")

        return [self._level(counts) for counts in self._counts]

    def _level(self, counts: Tensor) -> LevelUse:
        shares = counts[counts > 0].double() / self._num_frames

        entropy = float(-(shares * shares.log2()).sum())

        # -0.0 is an odd thing to print.
        return LevelUse(counts.numel(), shares.numel(), max(0.0, entropy))
