"""Many sums in one metric, so that ranks exchange them at once. Legend: N sum."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from fairseq2.device import Device
from torch import Tensor
from torcheval.metrics import Metric
from typing_extensions import Self, override


class VectorSum(Metric[Tensor]):
    """Adds up vectors of N numbers, without a look at them on the host."""

    sums: Tensor
    """*Shape:* [N], float64."""

    def __init__(self, size: int, *, device: Device | None = None) -> None:
        super().__init__(device=device)

        self._add_state("sums", torch.zeros(size, dtype=torch.float64))

    @override
    @torch.no_grad()
    def update(self, values: Tensor) -> Self:
        """
        :param values: *Shape:* [N].
        """
        self.sums = self.sums + values.detach().to(self.sums)

        return self

    @override
    @torch.no_grad()
    def compute(self) -> Tensor:
        return self.sums

    @override
    @torch.no_grad()
    def merge_state(self, metrics: Iterable[Self]) -> Self:
        for metric in metrics:
            self.sums = self.sums + metric.sums.to(self.sums)

        return self
