"""Sections of the configuration that say how a training run is kept from harm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(kw_only=True)
class MonitoringSection(Validatable):
    """What is published beside the losses; the names are in ``docs/guides/monitoring.md``."""

    enabled: bool = True
    """Whether predictions, weights and throughput are measured at the steps whose metrics are published."""

    peak_tflops: float | None = None
    """The speed of one device in the type of numbers that the training multiplies, as its maker states it: 989 for an
    H100 in bfloat16. If given, the share of it that does useful work is published as ``throughput/mfu``."""

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.peak_tflops is not None and not (math.isfinite(self.peak_tflops) and self.peak_tflops > 0):
            result.add_error("`peak_tflops` must be positive and finite.")

        return result


@dataclass(kw_only=True)
class TextRetentionSection(Validatable):
    """What the model knows of text, measured before the first step and at validations."""

    texts: Path | None = None
    """Texts, one a line, or .jsonl with ``text``: for perplexity and last words."""

    choices: Path | None = None
    """Questions with several answers: .jsonl, as ``codec-s2st text-report --choices`` takes it."""

    language: str | None = None
    """If given, texts are scored behind the tags of continued pre-training too, in this language."""

    max_items: int | None = None
    """If given, the first so many texts and questions are scored."""

    every_n_steps: int | None = None
    """A multiple of ``regime.validate_every_n_steps``; by default, each validation."""

    @property
    def is_wanted(self) -> bool:
        return self.texts is not None or self.choices is not None

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.max_items is not None and self.max_items < 1:
            result.add_error("`max_items` must be at least 1.")

        if self.every_n_steps is not None and self.every_n_steps < 1:
            result.add_error("`every_n_steps` must be at least 1.")

        return result


@dataclass(kw_only=True)
class ValidationSamplesSection(Validatable):
    """What the model makes of a few fixed items at validations, to listen to and to read in TensorBoard."""

    num_items: int = 0
    """Of each task of the mixture, the first so many items of the validation splits; 0 for none."""

    every_n_steps: int | None = None
    """A multiple of ``regime.validate_every_n_steps``; by default, each validation."""

    max_seconds: float = 20.0
    """Speech is cut after so many seconds."""

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.num_items < 0:
            result.add_error("`num_items` must not be negative.")

        if self.every_n_steps is not None and self.every_n_steps < 1:
            result.add_error("`every_n_steps` must be at least 1.")

        if not (math.isfinite(self.max_seconds) and self.max_seconds > 0):
            result.add_error("`max_seconds` must be positive and finite.")

        return result
