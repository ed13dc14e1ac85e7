"""One-dimensional ConvNeXt blocks, channels last.

Legend: B batch, S step, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Conv1d, LayerNorm, Linear, Module, Parameter
from torch.nn.functional import gelu
from typing_extensions import override


class ConvNeXtBlock(Module):
    """Mixes steps by a depthwise convolution, then channels by a two-layer network; the sum is scaled per channel."""

    def __init__(self, model_dim: int, *, kernel_size: int, expansion: int, init_scale: float) -> None:
        super().__init__()

        self.init_scale = init_scale

        self.conv = Conv1d(model_dim, model_dim, kernel_size, padding=kernel_size // 2, groups=model_dim)
        self.layer_norm = LayerNorm(model_dim)
        self.inner_proj = Linear(model_dim, model_dim * expansion)
        self.output_proj = Linear(model_dim * expansion, model_dim)
        self.scale = Parameter(torch.empty(model_dim))

        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.constant_(self.scale, self.init_scale)

    @override
    def forward(self, seqs: Tensor) -> Tensor:
        """Maps [B, S, D] to [B, S, D]."""
        residual = seqs

        seqs = self.conv(seqs.transpose(1, 2)).transpose(1, 2)

        seqs = self.output_proj(gelu(self.inner_proj(self.layer_norm(seqs))))

        return residual + self.scale * seqs
