"""The training and validation units that cpt and s2st share."""

from __future__ import annotations

import time
from collections.abc import Collection, MutableMapping, Sequence
from typing import Final, final

import fairseq2.recipe  # noqa: F401  (first: fairseq2's modules import each other in a circle)
import torch
from fairseq2.evaluator import EvalUnit
from fairseq2.metrics import Mean, MetricBag, Sum
from fairseq2.metrics.formatters import format_as_float
from fairseq2.metrics.recorders import MetricDescriptor
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.trainer import TrainUnit
from torch import Tensor
from torch.nn import Module
from typing_extensions import override

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.data.templates import TEMPLATES
from codec_s2st.models.codec_lm.heads import CodecLMLoss
from codec_s2st.tokens.sequence import Modality
from codec_s2st.tokens.streams import StreamSpec
from codec_s2st.tokens.units import Frames

# EnCodec has 32 code books at its highest bitrate.
MAX_NAMED_STREAMS: Final = 32


class MeanOrNothing(Mean):
    """A mean that is not a number, instead of 0, while nothing has been added to it."""

    weighted_sum: Tensor
    weights: Tensor

    @torch.inference_mode()
    def add(self, total: Tensor, count: Tensor) -> None:
        """Adds the sum of so many values, on the device."""
        self.weighted_sum += total

        self.weights += count

    @override
    @torch.inference_mode()
    def compute(self) -> Tensor:
        return self.weighted_sum / self.weights


def register_metric_descriptors(container: DependencyContainer) -> None:
    """Tells the log how our metrics are to be written, which fairseq2 would print as tensors."""
    tasks = [name for task in TEMPLATES for name in (task, f"{task}-reverse")]

    names = ["loss/text", *(f"loss/stream_{stream}" for stream in range(MAX_NAMED_STREAMS))]
    names += [*(f"loss/task_{task}" for task in tasks), "audio_seconds_per_second"]

    for priority, name in enumerate(names, start=900):
        descriptor = MetricDescriptor(name, name, priority, format_as_float)

        container.collection.register_instance(MetricDescriptor, descriptor)


@final
class LossMetrics:
    """Adds the losses of batches to a metric bag: in all, by stream, and by task.

    Names: ``loss`` is what is minimised, a step: streams summed by their weights. Without weights are ``loss/text`` and
    ``loss/stream_<q>`` (nats a target), and ``loss/task_<task>`` (nats a step, streams summed). ``loss/stream_0``
    counts the boundaries of segments too. The bag always holds every name, so that a run can be resumed with another
    choice of what is published.
    """

    def __init__(self, num_streams: int, tasks: Sequence[str], modalities: Collection[Modality]) -> None:
        """
        :param modalities: Those of the segments in the loss; the others' metrics are not published.
        """
        self._streams = ["loss/text", *(f"loss/stream_{stream}" for stream in range(num_streams))]
        self._tasks = list(tasks)

        self._hidden: list[str] = []

        if Modality.TEXT not in modalities:
            self._hidden += self._streams[:1]

        if Modality.SPEECH not in modalities:
            self._hidden += self._streams[1:]

    @property
    def _means(self) -> list[str]:
        return ["loss", *self._streams, *(f"loss/task_{task}" for task in self._tasks)]

    def prepare(self, bag: MetricBag) -> None:
        for name in self._means:
            bag.add(name, MeanOrNothing())

        for name in ("num_examples", "num_elements", "padding"):
            bag.add(name, Sum())

    @torch.inference_mode()
    def update(self, batch: SpeechTextBatch, loss: CodecLMLoss, bag: MetricBag, is_kept: Tensor | None = None) -> None:
        """Adds a batch. All stays on the device, so that the host can go on to the next of its work.

        :param is_kept: If it is false, the batch counts for nothing. *Shape:* [].
        """
        if is_kept is None:
            is_kept = torch.ones_like(loss.total, dtype=torch.bool)

        def add(name: str, total: Tensor, count: Tensor) -> None:
            bag.get(name, MeanOrNothing).add(total.masked_fill(~is_kept, 0.0), count * is_kept)

        add("loss", loss.total, loss.num_targets)

        for name, total, count in zip(self._streams, loss.stream_sums, loss.stream_counts, strict=True):
            add(name, total, count)

        for task in dict.fromkeys(batch.tasks):
            rows = torch.tensor([row for row, name in enumerate(batch.tasks) if name == task])

            rows = rows.to(loss.row_sums.device, non_blocking=True)

            add(f"loss/task_{task}", loss.row_sums[rows].sum(), loss.row_counts[rows].sum())

        padding = batch.ids.size(0) * batch.ids.size(1) - batch.num_steps

        sizes = {"num_examples": batch.batch_size, "num_elements": batch.num_steps, "padding": padding}

        for name, size in sizes.items():
            bag.get(name, Sum).update(is_kept * size)

    def remove_empty(self, values: MutableMapping[str, object]) -> None:
        """Removes what is not published, and means of nothing, such as that of a task that was not drawn."""
        for name in self._means:
            value = values[name]

            if name in self._hidden or (isinstance(value, Tensor) and bool(value.isnan())):
                del values[name]
            elif isinstance(value, Tensor):
                # The log knows nothing of the tasks that a user has defined, and would print their tensors.
                values[name] = float(value)


@final
class CodecLMTrainUnit(TrainUnit[SpeechTextBatch]):
    """Computes the loss of a batch: the sum over streams of cross entropies, over the number of target steps."""

    def __init__(self, model: Module, metrics: LossMetrics, spec: StreamSpec) -> None:
        """
        :param model: The data parallel model.
        """
        self._model = model
        self._metrics = metrics
        self._spec = spec
        self._published_at = time.perf_counter()

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        self._metrics.prepare(metric_bag)

        metric_bag.add("audio_seconds", Sum())

    @override
    def process_batch(self, batch: SpeechTextBatch, metric_bag: MetricBag) -> tuple[Tensor, int]:
        loss: CodecLMLoss = self._model(batch.ids, loss_mask=batch.loss_mask, packed_lens=batch.packed_lens).loss

        # One that is not finite is the guard's: its mean would be none. Whether it is, the host need not know here.
        is_kept = torch.isfinite(loss.total.detach())

        self._metrics.update(batch, loss, metric_bag, is_kept)

        metric_bag.get("audio_seconds", Sum).update(is_kept * self._spec.seconds_in(Frames(batch.num_frames)))

        # The count must not be 0 on one rank and positive on another: fairseq2 would wait forever.
        return loss.total, max(batch.num_targets, 1)

    @override
    def process_metric_values(self, values: MutableMapping[str, object]) -> None:
        now = time.perf_counter()

        audio_seconds = values.pop("audio_seconds")

        if isinstance(audio_seconds, (int, float, Tensor)):
            values["audio_seconds_per_second"] = float(audio_seconds) / max(now - self._published_at, 1e-9)

        self._published_at = now

        self._metrics.remove_empty(values)


@final
class CodecLMEvalUnit(EvalUnit[SpeechTextBatch]):
    """Computes the loss of one task's validation examples."""

    def __init__(self, model: Module, name: str, metrics: LossMetrics) -> None:
        self._model = model
        self._name = name
        self._metrics = metrics

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        self._metrics.prepare(metric_bag)

    @override
    def process_batch(self, batch: SpeechTextBatch, metric_bag: MetricBag) -> None:
        loss = self._model(batch.ids, loss_mask=batch.loss_mask, packed_lens=batch.packed_lens).loss

        self._metrics.update(batch, loss, metric_bag)

    @override
    def process_metric_values(self, values: MutableMapping[str, object]) -> None:
        self._metrics.remove_empty(values)

    @property
    @override
    def name(self) -> str:
        return self._name
