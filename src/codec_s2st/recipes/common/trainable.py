"""The sections of a configuration that say what a run trains of its model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from fairseq2.utils.validation import Validatable, ValidationResult
from typing_extensions import override

TextRows: TypeAlias = Literal["joint", "separate", "frozen"]


@dataclass(kw_only=True)
class LoRASection(Validatable):
    """Low-rank adaptation: the backbone is frozen, and small updates of its projections are trained instead."""

    rank: int | None = None
    """The rank of the updates; without one, there are none."""

    alpha: float = 32.0
    """Updates are scaled by ``alpha / rank``."""

    dropout_p: float = 0.0
    """The probability that an element of an update's input is dropped."""

    targets: list[str] = field(default_factory=lambda: ["_proj$"])
    """The projections of the backbone that get an update: regular expressions, found anywhere in a name."""

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.rank is not None and self.rank < 1:
            result.add_error(f"`lora.rank` must be at least 1, or null for no updates, but is {self.rank}.")

        if not (math.isfinite(self.alpha) and self.alpha > 0):
            result.add_error(f"`lora.alpha` must be positive and finite, but is {self.alpha:g}.")

        if not 0 <= self.dropout_p < 1:
            result.add_error(f"`lora.dropout_p` must be at least 0 and below 1, but is {self.dropout_p:g}.")

        if self.rank is not None and not self.targets:
            result.add_error("`lora.targets` must not be empty.")

        _check_patterns(result, "lora.targets", self.targets)

        return result


@dataclass(kw_only=True)
class TrainableSection(Validatable):
    """Which parameters learn."""

    freeze: list[str] = field(default_factory=list)
    """The parameters that do not: regular expressions, found anywhere in a name."""

    text_rows: TextRows = "joint"
    """The rows of the LLM's ids in the embedding and in the head of stream 0: ``joint`` with the new rows in one table;
    ``separate``, as parameters ``text_weight`` of their own for ``optimizer.config.groups``; or ``frozen``."""

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        _check_patterns(result, "trainable.freeze", self.freeze)

        return result


def _check_patterns(result: ValidationResult, key: str, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as ex:
            result.add_error(f"`{key}` holds '{pattern}', which is no regular expression: {ex}.")
