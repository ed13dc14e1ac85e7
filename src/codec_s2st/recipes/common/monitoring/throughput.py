"""How much a training gets done, and how much of a device's speed that is. Legend: B batch, S step, Q stream."""

from __future__ import annotations

from collections.abc import MutableMapping
from time import perf_counter
from typing import Final, final

import torch
from fairseq2.metrics import MetricBag
from torch import Tensor

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.plan.flops import step_flops
from codec_s2st.plan.shape import BatchShape
from codec_s2st.recipes.common.monitoring.vector import VectorSum

_WORK: Final = "work"


@final
class WorkMeter:
    """Counts work without a look at it on the host, and divides it by the time when it is published."""

    def __init__(
        self, model: CodecLM, *, num_readers: int = 1, num_parts: int = 1, peak_tflops: float | None = None
    ) -> None:
        """
        :param num_readers: The number of ranks that read other batches.
        :param num_parts: Into which tensor parallelism has split the backbone.
        :param peak_tflops: Of one device, in the type of numbers that the training multiplies.
        """
        self._model = model
        self._vocabulary = model.vocabulary
        self._num_readers = num_readers
        self._num_parts = num_parts
        self._peak = None if peak_tflops is None else peak_tflops * num_readers * num_parts

        self._begin: float | None = None

        self._num_batches = 0

    def prepare(self, bag: MetricBag) -> None:
        bag.add(_WORK, VectorSum(8))

    def begin_step(self) -> None:
        """The clock starts with the first step after a publication, so that validation is no part of it."""
        if self._begin is None:
            self._begin = perf_counter()

    @torch.no_grad()
    def update(self, batch: SpeechTextBatch, bag: MetricBag) -> None:
        vocabulary = self._vocabulary

        targets, mask = batch.ids[:, 1:, 0], batch.loss_mask[:, 1:]

        in_text = vocabulary.is_text_space(targets)

        lens = (batch.ids[..., 0] != vocabulary.pad).sum(-1)

        if batch.packed_lens is not None:
            lens = torch.tensor(batch.packed_lens)

        counts = [
            (batch.ids != vocabulary.pad).sum(),
            lens.square().sum().to(batch.ids.device, non_blocking=True),
            (mask[..., 0] & in_text).sum(),
            (mask[..., 0] & ~in_text).sum(),
            mask[..., 1:].any(-1).sum(),
        ]

        self._num_batches += 1

        known = torch.tensor([1, batch.num_frames, batch.num_steps]).to(batch.ids.device, non_blocking=True)

        bag.get(_WORK, VectorSum).update(torch.cat([known, torch.stack(counts)]))

    def publish(self, values: MutableMapping[str, object]) -> None:
        """Puts the names that are documented in the place of the sums."""
        work = values.pop(_WORK)

        assert isinstance(work, Tensor)

        num_batches, num_frames, num_steps, num_tokens, squares, num_text, num_speech, num_codes = work.tolist()

        now = perf_counter()

        begin, self._begin = self._begin, None

        is_own, self._num_batches = num_batches == self._num_batches * self._num_readers, 0

        # A run that goes on publishes what an earlier process has counted too, in a time that nobody knows.
        if begin is None or not is_own:
            return

        seconds = max(now - begin, 1e-9)

        shape = BatchShape(
            num_steps=num_steps,
            sum_of_squares=squares,
            num_text_targets=num_text,
            num_speech_targets=num_speech,
            num_code_targets=num_codes,
        )

        tflops = self._useful_flops(shape) / seconds / 1e12

        values["throughput/frames_per_second"] = num_frames / seconds
        values["throughput/tokens_per_second"] = num_tokens / seconds
        values["throughput/steps_per_second"] = num_steps / seconds
        values["throughput/useful_tflops"] = tflops

        if self._peak is not None:
            values["throughput/mfu"] = tflops / self._peak

    def _useful_flops(self, shape: BatchShape) -> float:
        # Of what is split, a rank's model has a part; heads are computed by each.
        split = ("backbone", "attention")

        parts = step_flops(self._model, shape)

        return sum(part.useful * (self._num_parts if part.name in split else 1) for part in parts)
