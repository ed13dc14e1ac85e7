"""Metrics of codec training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from fairseq2.metrics import MetricBag
from fairseq2.metrics.formatters import format_as_float
from fairseq2.metrics.recorders import MetricDescriptor
from fairseq2.runtime.dependency import DependencyContainer
from torch import Tensor
from torcheval.metrics import Metric
from typing_extensions import Self, override


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

        entropy = -torch.xlogy(shares, shares).sum()

        return entropy.exp()

    @override
    @torch.inference_mode()
    def merge_state(self, metrics: Iterable[Any]) -> Self:
        for metric in metrics:
            self.counts += metric.counts.to(self.counts)

        return self


def register_codec_metrics(container: DependencyContainer, *, max_num_levels: int = 32) -> None:
    """Gives our metrics their names and formats in logs and TensorBoard."""

    def register(name: str, display_name: str, priority: int, *, higher_better: bool = False) -> None:
        descriptor = MetricDescriptor(name, display_name, priority, format_as_float, higher_better=higher_better)

        container.collection.register_instance(MetricDescriptor, descriptor)

    register("stoi", "STOI", 91, higher_better=True)
    register("reconstruction_loss", "Reconstruction Loss", 92)
    register("commitment_loss", "Commitment Loss", 93)
    register("phoneme_loss", "Phoneme Loss", 94)
    register("phoneme_accuracy", "Phoneme Accuracy", 95, higher_better=True)

    for level in range(max_num_levels):
        register(f"perplexity_level_{level}", f"Perplexity of Level {level}", 210 + level, higher_better=True)


def add_code_metrics(bag: MetricBag, codebook_sizes: tuple[int, ...]) -> None:
    for level, num_codes in enumerate(codebook_sizes):
        bag.add(f"perplexity_level_{level}", Perplexity(num_codes))


def update_code_metrics(bag: MetricBag, codes: Tensor) -> None:
    """Counts codes [B, T, Q]."""
    for level in range(codes.size(-1)):
        bag.get(f"perplexity_level_{level}", Perplexity).update(codes[..., level])
