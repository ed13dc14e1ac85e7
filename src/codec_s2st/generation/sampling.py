"""Choosing a token from logits. Legend: N row, C choice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from fairseq2.utils.validation import Validatable, ValidationResult
from torch import Tensor


@dataclass(kw_only=True, frozen=True)
class StreamSampling(Validatable):
    """How the tokens of one stream are chosen."""

    temperature: float = 0.0
    """Logits are divided by it; 0 takes the most likely token."""

    top_k: int = 0
    """If positive, only so many of the most likely tokens stay."""

    top_p: float = 1.0
    """Only the most likely tokens whose probabilities add up to ``top_p`` stay; at least one does."""

    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.temperature < 0:
            result.add_error("`temperature` must not be negative.")

        if self.top_k < 0:
            result.add_error("`top_k` must not be negative.")

        if not 0 < self.top_p <= 1:
            result.add_error("`top_p` must be above 0 and at most 1.")

        return result


def sample(logits: Tensor, options: StreamSampling, uniforms: Tensor) -> Tensor:
    """Returns one choice a row, by inverting the cumulative distribution at ``uniforms``.

    A row's choice depends on its own logits and its own number alone, so that neither the size of the batch nor the
    order of rows matters.

    :param logits: Illegal choices are minus infinity; at least one choice is legal. *Shape:* [N, C].
    :param uniforms: Numbers in [0, 1). *Shape:* [N].

    :returns: *Shape:* [N], int64.
    """
    if options.temperature == 0:
        return logits.argmax(dim=-1)

    sorted_logits, order = (logits.float() / options.temperature).sort(dim=-1, descending=True, stable=True)

    if options.top_k:
        sorted_logits[:, options.top_k :] = -torch.inf

    probs = sorted_logits.softmax(dim=-1)

    if options.top_p < 1:
        # A token stays if those before it do not yet reach top_p.
        before = probs.cumsum(dim=-1) - probs

        probs = probs.masked_fill(before >= options.top_p, 0.0)

    cumulative = probs.cumsum(dim=-1)

    # Scaled by the total, which top-p and rounding keep below 1, a number below 1 always hits a token that stayed.
    threshold = (uniforms * cumulative[:, -1]).unsqueeze(-1)

    choice = (cumulative <= threshold).sum(dim=-1, keepdim=True)

    last_legal = (probs > 0).sum(dim=-1, keepdim=True) - 1

    return order.gather(1, torch.minimum(choice, last_legal)).squeeze(1)
