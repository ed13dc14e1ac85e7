"""Puts together what is monitored of a training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fairseq2.datasets import DataReader
from fairseq2.evaluator import EvalUnit
from fairseq2.logging import log
from fairseq2.metrics.formatters import format_as_float
from fairseq2.metrics.recorders import NOOP_METRIC_DESCRIPTOR, MetricDescriptor
from fairseq2.nn.data_parallel import get_data_parallel_facade
from fairseq2.recipe.base import RecipeContext
from fairseq2.runtime.dependency import DependencyContainer, wire_object
from fairseq2.trainer import TrainUnit
from fairseq2.utils.structured import ValueConverter
from fairseq2.validator import StandardValidator
from torch.nn import Module

from codec_s2st.codecs.codec import Codec, load_codec
from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.data.prefetch import PrefetchReader
from codec_s2st.data.reader import MixtureReader
from codec_s2st.data.templates import TEMPLATES
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.config import SpeechTextTrainConfig
from codec_s2st.recipes.common.host import drop_repeated_events, find_tensorboard, open_writer
from codec_s2st.recipes.common.monitoring import samples
from codec_s2st.recipes.common.monitoring.board import RunBoard
from codec_s2st.recipes.common.monitoring.monitor import (
    FinalLosses,
    MonitoredEvalUnit,
    MonitoredTrainUnit,
    TrainMonitor,
    is_published,
)
from codec_s2st.recipes.common.monitoring.predictions import PredictionMetrics, PredictionProbe
from codec_s2st.recipes.common.monitoring.schedule import NoBatch, NoBatches, check_schedule, is_due
from codec_s2st.recipes.common.monitoring.throughput import WorkMeter
from codec_s2st.recipes.common.monitoring.weights import GROUPS, WeightProbe
from codec_s2st.recipes.common.training_data import TrainingData
from codec_s2st.recipes.common.unit import MAX_NAMED_STREAMS, CodecLMEvalUnit
from codec_s2st.recipes.show_sequence.choice import choose_sequences
from codec_s2st.recipes.show_sequence.picture import draw_sequences
from codec_s2st.recipes.text_report.retention import TextRetentionUnit, read_items

_NUM_PICTURED = 4


def register_monitoring(container: DependencyContainer) -> None:
    """Keeps the many figures out of the log's lines, and repeated steps out of TensorBoard."""
    tasks = [name for task in TEMPLATES for name in (task, f"{task}-reverse")]

    streams = range(MAX_NAMED_STREAMS)

    labels = ["text", *(f"stream_{stream}" for stream in streams), *(f"task_{task}" for task in tasks)]

    names = [f"{what}/{label}" for what in ("accuracy", "entropy") for label in labels]

    uses = ("data_use", "data_perplexity", "predicted_use", "predicted_perplexity")

    names += [f"codes/{what}_{stream}" for what in uses for stream in streams]

    names += [f"weights/{what}_{group}" for what in ("norm", "update_ratio") for group in GROUPS]

    rates = ("frames_per_second", "tokens_per_second", "steps_per_second", "useful_tflops", "mfu")

    names += [*(f"throughput/{what}" for what in rates), *(f"data/epochs_{task}" for task in tasks)]

    for priority, name in enumerate(names, start=1000):
        descriptor = MetricDescriptor(name, name, priority, format_as_float, log=False)

        container.collection.register_instance(MetricDescriptor, descriptor)

    drop_repeated_events(container)


@dataclass(frozen=True)
class MonitoredTraining:
    """The units of a training with what is monitored of it."""

    unit: TrainUnit[SpeechTextBatch]

    valid_units: list[EvalUnit[Any]]

    valid_readers: list[DataReader[Any]]

    begin: Callable[[int], None]
    """To be called on all ranks before the first step."""

    end: Callable[[int], None]
    """To be called on all ranks when the training is complete."""


@dataclass
class _Extras:
    """Units that validate no data."""

    units: list[EvalUnit[NoBatch]] = field(default_factory=list)

    retention: TextRetentionUnit | None = None


def monitor_training(
    context: RecipeContext,
    config: SpeechTextTrainConfig,
    given: SpeechTextTrainConfig,
    data: TrainingData,
    model: Module,
    reader: MixtureReader | PrefetchReader,
    unit: TrainUnit[SpeechTextBatch],
    valid_units: Sequence[CodecLMEvalUnit],
    valid_readers: Sequence[DataReader[SpeechTextBatch]],
) -> MonitoredTraining:
    """Adds to the units of a training what its configuration wants to have monitored.

    :param given: The configuration as the user has given it.
    :param model: The data parallel model.

    :raises UserInputError: texts cannot be read, or a schedule does not fit the regime.
    """
    section, regime, gangs = config.monitoring, config.regime, context.gangs

    codec_lm = next(module for module in model.modules() if isinstance(module, CodecLM))

    vocabulary = codec_lm.vocabulary

    names = list(dict.fromkeys(entry.name for entry in config.data.mixture))

    probe = PredictionProbe(codec_lm.heads)

    monitor = TrainMonitor(
        is_due=lambda step: section.enabled and is_published(step, regime),
        probe=probe,
        predictions=PredictionMetrics(vocabulary, names),
        weights=WeightProbe(model, context.get_optimizer(), gangs),
        work=WorkMeter(codec_lm, num_readers=gangs.dp.size, num_parts=gangs.tp.size, peak_tflops=section.peak_tflops),
        epochs=lambda: list(zip(_names_of_parts(config), reader.epochs, strict=True)),
    )

    finals = FinalLosses()

    wrapped: list[EvalUnit[Any]] = [
        MonitoredEvalUnit(
            valid_unit, probe, PredictionMetrics(vocabulary, [valid_unit.name]), finals, enabled=section.enabled
        )
        for valid_unit in valid_units
    ]

    extras = _make_extras(context, config, data, codec_lm)

    tree = json.loads(json.dumps(context.resolver.resolve(ValueConverter).unstructure(given), default=str))

    def draw(path: Path) -> None:
        draw_sequences(choose_sequences(config, data, _NUM_PICTURED), data.maker.builder.vocabulary, path)

    board = RunBoard(context.metric_recorder, tree, draw)

    def begin(step: int) -> None:
        board.begin(step)

        if step == 0 and extras.retention is not None and not regime.validate_at_start:
            _measure_base(context, config, model, extras.retention)

    return MonitoredTraining(
        MonitoredTrainUnit(unit, monitor, finals),
        [*wrapped, *extras.units],
        [*valid_readers, *(NoBatches() for _ in extras.units)],
        begin,
        lambda step: board.end(step, finals.losses),
    )


def _names_of_parts(config: SpeechTextTrainConfig) -> Iterable[str]:
    """Returns a name for each part of the mixture; of two with one name, the second gets a number."""
    seen: dict[str, int] = {}

    for entry in config.data.mixture:
        name = entry.name if entry.corpus is None else f"{entry.name}/{entry.corpus}"

        seen[name] = seen.get(name, 0) + 1

        yield name if seen[name] == 1 else f"{name}_{seen[name]}"


def _make_extras(
    context: RecipeContext, config: SpeechTextTrainConfig, data: TrainingData, codec_lm: CodecLM
) -> _Extras:
    extras, regime, gangs = _Extras(), config.regime, context.gangs

    wanted = config.text_retention

    if wanted.is_wanted:
        check_schedule("text_retention", wanted.every_n_steps, regime)

        extras.retention = TextRetentionUnit(
            codec_lm,
            data.tokenizer,
            read_items(wanted),
            gangs.dp,
            language=wanted.language,
            is_due=lambda step: is_due(step, wanted.every_n_steps, regime),
        )

        extras.units.append(extras.retention)

    shown = config.validation_samples

    if shown.num_items:
        check_schedule("validation_samples", shown.every_n_steps, regime)

        splits = config.data.valid_splits

        sources = data.dataset.select(config.data, splits) if splits else []

        items = samples.choose_items(sources, shown.num_items)

        if not items:
            log.warning("There are no samples of validation: no task of the mixture has something given there.")

            return extras

        tensorboard = find_tensorboard(context.metric_recorder)

        extras.units.append(
            samples.SamplesUnit(
                codec_lm,
                data.tokenizer,
                items,
                gangs,
                load_codec=lambda: _load_codec(config, data, codec_lm, gangs.device),
                frame_rate=data.spec.frame_rate,
                max_seconds=shown.max_seconds,
                is_due=lambda step: is_due(step, shown.every_n_steps, regime),
                open_writer=lambda step: (
                    None if tensorboard is None else open_writer(tensorboard, f"valid/{samples.UNIT}", step)
                ),
            )
        )

    return extras


def _load_codec(config: SpeechTextTrainConfig, data: TrainingData, codec_lm: CodecLM, device: torch.device) -> Codec:
    """
    :raises UserInputError: the codec is not known, or not the one that the codes are of.
    """
    known = data.dataset.codec

    name = config.codec or (None if known is None else known.name)

    assert name is not None

    return load_codec(name, num_streams=codec_lm.vocabulary.num_streams, device=device)


def _measure_base(
    context: RecipeContext, config: SpeechTextTrainConfig, model: Module, unit: TextRetentionUnit
) -> None:
    """Scores the model that a run starts from, as validations do later."""
    precision = config.trainer.mixed_precision

    is_single = context.gangs.root.size == 1 or config.trainer.data_parallelism != "fsdp"

    validator = wire_object(
        context.resolver,
        StandardValidator,
        units=[unit],
        data_readers=[NoBatches()],
        amp=precision.mode == "auto" or (precision.mode == "static" and is_single),
        amp_dtype=precision.dtype,
        seed=config.common.seed + 3,
        score_metric_descriptor=NOOP_METRIC_DESCRIPTOR,
    )

    model.eval()

    with get_data_parallel_facade(model).summon_full_parameters():
        validator.run(0)

    model.train()
