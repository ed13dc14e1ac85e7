"""The norm of queries and keys, under tensor parallelism too."""

from __future__ import annotations

import torch
from fairseq2.gang import Gang
from fairseq2.nn import LayerNorm
from fairseq2.ops.tensor_parallel import reduce_on_backward
from torch import Tensor
from torch.nn import Parameter, functional
from typing_extensions import override


class HeadNorm(LayerNorm):
    """An RMS norm of attention heads that are split over ranks.

    Its weight is on every rank, but each rank sees its own heads only: the gradient is the sum over ranks. fairseq2's
    own norm leaves it at the rank's part, so that the ranks' weights would drift apart.
    """

    def __init__(self, head_dim: int, tp_gang: Gang, *, eps: float) -> None:
        super().__init__()

        self.tp_gang = tp_gang

        self.eps = eps

        self.weight = Parameter(torch.empty((head_dim,)))

        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.ones_(self.weight)

    @override
    def forward(self, x: Tensor) -> Tensor:
        weight = reduce_on_backward(self.weight, self.tp_gang)

        return functional.rms_norm(x, self.weight.shape, weight, self.eps)
