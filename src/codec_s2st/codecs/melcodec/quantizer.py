"""Residual vector quantization whose code books are running means.

Legend: B batch, T codec frame, Q level (stream), K code, C latent width, R rows (B * T).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import embedding
from typing_extensions import override


@dataclass(kw_only=True)
class QuantizerOutput:
    quantized: Tensor
    """[B, T, C]; gradients pass straight through to the input."""

    codes: Tensor
    """[B, T, Q], int64."""

    commitment_loss: Tensor
    """Mean squared distance of the residuals from their codes, averaged over the levels."""


class ResidualQuantizer(Module):
    """Level q quantizes what the levels before it left over; decoding sums the codes of the levels it is given.

    In training mode every forward call moves the code books: the first one sets them by k-means, the later ones by
    exponential running means, and codes that nobody uses are drawn anew from the batch.
    """

    codebooks: Tensor
    usage: Tensor
    totals: Tensor

    def __init__(
        self, *, num_levels: int, num_codes: int, latent_dim: int, decay: float = 0.99, dead_usage: float = 0.05
    ) -> None:
        super().__init__()

        self.num_levels = num_levels
        self.num_codes = num_codes
        self.latent_dim = latent_dim
        self.decay = decay
        self.dead_usage = dead_usage

        # Buffers rather than parameters: they move by running means, not by the optimizer.
        self.register_buffer("codebooks", torch.empty(num_levels, num_codes, latent_dim))
        self.register_buffer("usage", torch.empty(num_levels, num_codes))
        self.register_buffer("totals", torch.empty(num_levels, num_codes, latent_dim))

        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the code books at random and forgets their statistics, so that k-means comes first."""
        self.codebooks.normal_(std=self.latent_dim**-0.5)
        self.usage.zero_()
        self.totals.zero_()

    @property
    def has_codebooks(self) -> bool:
        """Whether the code books have been set, by k-means or from a checkpoint."""
        return bool(self.usage.any())

    @override
    def forward(self, seqs: Tensor, level_mask: Tensor | None = None) -> QuantizerOutput:
        """Quantizes ``seqs`` [B, T, C]; ``level_mask`` [B, Q] says which levels take part in a row's sum."""
        if self.training and not self.has_codebooks:
            self.init_codebooks(seqs.detach().flatten(0, 1))

        residual = seqs

        quantized = torch.zeros_like(seqs)

        codes, losses = [], []

        for level in range(self.num_levels):
            level_codes = self._nearest(residual.detach(), level)

            picked = embedding(level_codes, self.codebooks[level])

            losses.append((residual - picked).square().mean())

            if self.training:
                self._update_codebook(level, residual.detach().flatten(0, 1), level_codes.flatten())

            residual = residual - picked

            codes.append(level_codes)

            if level_mask is None:
                quantized = quantized + picked
            else:
                quantized = quantized + picked * level_mask[:, level, None, None]

        return QuantizerOutput(
            quantized=seqs + (quantized - seqs).detach(),
            codes=torch.stack(codes, dim=-1),
            commitment_loss=torch.stack(losses).mean(),
        )

    def encode(self, seqs: Tensor, num_levels: int) -> Tensor:
        """Maps [B, T, C] to codes [B, T, num_levels]."""
        codes = []

        for level in range(num_levels):
            level_codes = self._nearest(seqs, level)

            seqs = seqs - embedding(level_codes, self.codebooks[level])

            codes.append(level_codes)

        return torch.stack(codes, dim=-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Maps codes [B, T, q] of the first q levels to [B, T, C]."""
        seqs = embedding(codes[..., 0], self.codebooks[0])

        for level in range(1, codes.size(-1)):
            seqs = seqs + embedding(codes[..., level], self.codebooks[level])

        return seqs

    def _nearest(self, seqs: Tensor, level: int) -> Tensor:
        codebook = self.codebooks[level]

        # |x - c|^2 without |x|^2, which is the same for all codes.
        return (codebook.square().sum(-1) - 2.0 * seqs @ codebook.T).argmin(-1)

    @torch.no_grad()
    def init_codebooks(self, rows: Tensor, *, num_iterations: int = 10) -> None:
        """Sets the code books to the k-means of ``rows`` [R, C], level by level."""
        for level in range(self.num_levels):
            self.codebooks[level] = _broadcast(self._draw(rows))

            for _ in range(num_iterations):
                counts, sums = self._count(rows, self._nearest(rows, level))

                means = sums / counts.clamp_min(1.0)[:, None]

                self.codebooks[level] = torch.where((counts > 0.0)[:, None], means, self.codebooks[level])

            # As if every code had been used moderately: the first steps may move it, but not throw it away.
            self.usage[level] = 1.0
            self.totals[level] = self.codebooks[level]

            rows = rows - embedding(self._nearest(rows, level), self.codebooks[level])

    @torch.no_grad()
    def _update_codebook(self, level: int, rows: Tensor, codes: Tensor) -> None:
        counts, sums = self._count(rows, codes)

        self.usage[level].lerp_(counts, 1.0 - self.decay)
        self.totals[level].lerp_(sums, 1.0 - self.decay)

        dead = self.usage[level] < self.dead_usage

        if bool(dead.any()):
            fresh = _broadcast(self._draw(rows))

            self.usage[level] = torch.where(dead, 1.0, self.usage[level])
            self.totals[level] = torch.where(dead[:, None], fresh, self.totals[level])

        self.codebooks[level] = self.totals[level] / self.usage[level][:, None]

    def _count(self, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Returns how often each code was used [K] and the sum of the rows that used it [K, C], over all ranks."""
        counts = torch.bincount(codes, minlength=self.num_codes).to(rows.dtype)

        sums = torch.zeros_like(self.codebooks[0]).index_add_(0, codes, rows)

        if dist.is_initialized():
            dist.all_reduce(counts)
            dist.all_reduce(sums)

        return counts, sums

    def _draw(self, rows: Tensor) -> Tensor:
        """Draws K rows [K, C], with repetition only where there are fewer than K."""
        order = torch.randperm(rows.size(0), device=rows.device)

        repeats = -(-self.num_codes // rows.size(0))

        drawn = rows[order.repeat(repeats)[: self.num_codes]]

        # Noise parts the codes that were drawn from the same row.
        return drawn + 1e-3 * drawn.std() * torch.randn_like(drawn)


def _broadcast(tensor: Tensor) -> Tensor:
    """Returns rank 0's value of ``tensor`` on every rank."""
    if dist.is_initialized():
        dist.broadcast(tensor, src=0)

    return tensor
