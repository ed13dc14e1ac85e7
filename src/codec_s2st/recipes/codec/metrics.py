"""Metrics of codec training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from fairseq2.metrics import Mean, MetricBag
from torch import Tensor
from torcheval.metrics import Metric
from typing_extensions import Self, override

LOSSES = ("loss", "reconstruction_loss", "commitment_loss")


class Perplexity(Metric[Tensor]):
    """exp(entropy) of the codes of one level: how many codes are in use, as if all were used equally."""

    counts: Tensor

    def __init__(self, num_codes: int, *, device: torch.device | None = None) -> None:
        super().__init__(device=device)

        self.num_codes = num_codes

        self._add_state("counts", torch.zeros(num_codes, dtype=torch.float64))

    @override
    @torch.inference_mode()
    def update(self, codes: Tensor) -> Self:
        """Counts ``codes``, of any shape."""
        self.counts += torch.bincount(codes.flatten(), minlength=self.num_codes).to(self.counts)

        return self

    @override
    @torch.inference_mode()
    def compute(self) -> Tensor:
        if not bool(self.counts.any()):
            return torch.zeros(())

        shares = self.counts / self.counts.sum()

        return torch.special.entr(shares).sum().exp()

    @override
    @torch.inference_mode()
    def merge_state(self, metrics: Iterable[Any]) -> Self:
        for metric in metrics:
            self.counts += metric.counts.to(self.counts)

        return self


def add_codec_metrics(bag: MetricBag, codebook_sizes: tuple[int, ...]) -> None:
    for name in LOSSES:
        bag.add(name, Mean())

    for level, num_codes in enumerate(codebook_sizes):
        bag.add(f"perplexity_level_{level}", Perplexity(num_codes))


def update_codec_metrics(bag: MetricBag, losses: tuple[Tensor, Tensor, Tensor], codes: Tensor | None) -> None:
    """:param losses: the values of ``LOSSES``, scalars. :param codes: [B, T, Q], or ``None`` before quantization."""
    for name, value in zip(LOSSES, losses, strict=True):
        bag.get(name, Mean).update(value.detach())

    if codes is not None:
        for level in range(codes.size(-1)):
            bag.get(f"perplexity_level_{level}", Perplexity).update(codes[..., level])
