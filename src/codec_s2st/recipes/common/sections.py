"""Sections of the configuration that say how a training run is kept from harm."""

from __future__ import annotations

from dataclasses import dataclass

from fairseq2.utils.validation import Validatable, ValidationResult
from typing_extensions import override


@dataclass(kw_only=True)
class CheckpointsSection:
    strict: bool = False
    """If the last checkpoint is damaged: ``True`` ends the run, ``False`` goes on with the one before, and says so."""


@dataclass(kw_only=True)
class GuardsSection(Validatable):
    max_skipped_steps: int = 0
    """How many steps a run may leave out because a loss or the gradient is not finite; one more ends it. With float16,
    whose loss scale makes such steps part of the routine, none are counted."""

    spike_deviations: float | None = 6.0
    """A loss so many standard deviations above its running mean is logged, with its examples; ``None`` for never."""

    max_idle_starts: int = 10
    """How often a run may be started without a new checkpoint coming of it."""

    hang_timeout: float | None = None
    """With several ranks: the seconds without a step or a validation batch after which each writes down what it is
    doing and ends; ``None`` for nine tenths of ``gang.timeout``."""

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.max_skipped_steps < 0:
            result.add_error("`max_skipped_steps` must be at least 0.")

        if self.spike_deviations is not None and not self.spike_deviations > 0:
            result.add_error("`spike_deviations` must be positive.")

        if self.max_idle_starts < 1:
            result.add_error("`max_idle_starts` must be at least 1.")

        if self.hang_timeout is not None and not self.hang_timeout > 0:
            result.add_error("`hang_timeout` must be positive.")

        return result
