"""Losses that stick out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, final

_MEMORY: Final = 50
"""The number of steps that the running mean looks back on, and that it must have seen before it is believed."""


@final
@dataclass(frozen=True)
class RunningLoss:
    """The mean and variance of the latest losses, each a little less weighty than the next.

    Losses fall while a model learns, so that one that is above the mean by much is none of their kind.
    """

    mean: float = 0.0

    variance: float = 0.0

    num_seen: int = 0

    def after(self, loss: float) -> RunningLoss:
        """Returns mean and variance with one more loss; one that is not finite is passed over."""
        if not math.isfinite(loss):
            return self

        weight = 1 / min(self.num_seen + 1, _MEMORY)

        delta = loss - self.mean

        return RunningLoss(
            self.mean + weight * delta, (1 - weight) * (self.variance + weight * delta * delta), self.num_seen + 1
        )

    def deviations(self, loss: float) -> float:
        """Returns how many standard deviations ``loss`` is above the mean; 0 while too few losses were seen."""
        if self.num_seen < _MEMORY or not math.isfinite(loss):
            return 0.0

        return (loss - self.mean) / max(math.sqrt(self.variance), 1e-12)
