"""Adds what is monitored to the units of a training."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from fairseq2.evaluator import EvalUnit
from fairseq2.metrics import MetricBag
from fairseq2.recipe.config import RegimeSection
from fairseq2.trainer import TrainUnit
from torch import Tensor
from typing_extensions import override

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.recipes.common.monitoring.predictions import PredictionMetrics, PredictionProbe
from codec_s2st.recipes.common.monitoring.throughput import WorkMeter
from codec_s2st.recipes.common.monitoring.weights import WeightProbe


def is_published(step: int, regime: RegimeSection) -> bool:
    """Returns whether fairseq2 publishes metrics after ``step``."""
    if step == regime.num_steps:
        return True

    every = regime.publish_metrics_every_n_steps

    return every is not None and step > regime.publish_metrics_after_n_steps and step % every == 0


@dataclass(frozen=True, kw_only=True)
class TrainMonitor:
    """What is measured in training. All ranks have one, and measure at the same steps."""

    is_due: Callable[[int], bool]
    """Whether predictions and weights are measured at a step."""

    probe: PredictionProbe

    predictions: PredictionMetrics

    weights: WeightProbe

    work: WorkMeter

    epochs: Callable[[], Sequence[tuple[str, float]]]
    """Returns how often the rows of each part of the mixture were read, with its name."""


@final
class MonitoredTrainUnit(TrainUnit[SpeechTextBatch]):
    """Measures beside another unit."""

    def __init__(self, unit: TrainUnit[SpeechTextBatch], monitor: TrainMonitor, finals: FinalLosses) -> None:
        self._unit = unit
        self._monitor = monitor
        self._finals = finals

        self._is_due = False

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        """The names are always the same, so that a run goes on whatever is measured of it."""
        self._unit.prepare_metric_bag(metric_bag)

        for part in (self._monitor.predictions, self._monitor.weights, self._monitor.work):
            part.prepare(metric_bag)

    @override
    def set_step_nr(self, step_nr: int) -> None:
        self._is_due = self._monitor.is_due(step_nr)

        self._monitor.work.begin_step()

        self._unit.set_step_nr(step_nr)

    @override
    def set_data_epoch_nr(self, data_epoch_nr: int) -> None:
        self._unit.set_data_epoch_nr(data_epoch_nr)

    @override
    def process_batch(self, batch: SpeechTextBatch, metric_bag: MetricBag) -> tuple[Tensor, int | None]:
        monitor = self._monitor

        monitor.probe.arm(self._is_due)

        try:
            loss, num_targets = self._unit.process_batch(batch, metric_bag)
        finally:
            monitor.probe.arm(False)

        monitor.work.update(batch, metric_bag)

        monitor.weights.arm(metric_bag if self._is_due else None)

        samples = monitor.probe.take()

        # Of one that is not finite, nothing can be said.
        if samples and torch.isfinite(loss):
            monitor.predictions.update(samples, batch.tasks, metric_bag)

        return loss, num_targets

    @override
    def process_metric_values(self, values: MutableMapping[str, object]) -> None:
        self._unit.process_metric_values(values)

        for part in (self._monitor.predictions, self._monitor.weights, self._monitor.work):
            part.publish(values)

        for name, epochs in self._monitor.epochs():
            values[f"data/epochs_{name}"] = epochs

        self._finals.note("train", values)


@final
class MonitoredEvalUnit(EvalUnit[SpeechTextBatch]):
    """Looks at all batches of another unit."""

    def __init__(
        self,
        unit: EvalUnit[SpeechTextBatch],
        probe: PredictionProbe,
        predictions: PredictionMetrics,
        finals: FinalLosses,
        *,
        enabled: bool,
    ) -> None:
        self._unit = unit
        self._probe = probe
        self._predictions = predictions
        self._finals = finals
        self._enabled = enabled

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        self._unit.prepare_metric_bag(metric_bag)

        self._predictions.prepare(metric_bag)

    @override
    def set_train_step_nr(self, step_nr: int) -> None:
        self._unit.set_train_step_nr(step_nr)

    @override
    def process_batch(self, batch: SpeechTextBatch, metric_bag: MetricBag) -> None:
        self._probe.arm(self._enabled)

        try:
            self._unit.process_batch(batch, metric_bag)
        finally:
            self._probe.arm(False)

        self._predictions.update(self._probe.take(), batch.tasks, metric_bag)

    @override
    def finalize(self, metric_bag: MetricBag) -> None:
        self._unit.finalize(metric_bag)

    @override
    def process_metric_values(self, values: MutableMapping[str, object]) -> None:
        self._unit.process_metric_values(values)

        self._predictions.publish(values)

        self._finals.note(f"valid/{self.name}", values)

    @property
    @override
    def name(self) -> str | None:
        return self._unit.name


@dataclass
class FinalLosses:
    """The losses that were published last, for comparing runs by their hyper-parameters."""

    losses: dict[str, float] = field(default_factory=dict)

    def note(self, category: str, values: MutableMapping[str, object]) -> None:
        loss = values.get("loss")

        if isinstance(loss, int | float | Tensor):
            self.losses[category] = float(loss)
