"""How much a training gets done, and how much of a device's speed that is. Legend: B batch, S step, Q stream."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final, final

import torch
from fairseq2.metrics import MetricBag
from torch import Tensor

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.recipes.common.monitoring.vector import VectorSum
from codec_s2st.tokens.vocabulary import Vocabulary

_WORK: Final = "work"


@dataclass(frozen=True)
class TrainingCost:
    """The floating-point operations that training a codec_lm model cannot do without.

    A multiplication and its addition are two. Padding, logits of steps that are no target, and what activation
    checkpointing computes again, are no work done.
    """

    per_step: float
    """Of each step that is not padding: the backbone's projections."""

    per_pair: float
    """Of each step and each step that it sees: attention."""

    per_text_target: float
    per_speech_target: float
    """Stream 0's head."""

    per_code_target: float
    """The heads of streams 1..Q-1 and their depth transformer, on average."""

    def flops(
        self, num_steps: float, sum_of_squares: float, num_text: float, num_speech: float, num_codes: float
    ) -> float:
        """
        :param sum_of_squares: Of the lengths of sequences.
        :param num_text: The number of text targets.
        :param num_speech: The number of other targets of stream 0.
        :param num_codes: The number of targets of streams 1..Q-1.
        """
        return (
            self.per_step * num_steps
            + self.per_pair * (sum_of_squares + num_steps) / 2
            + self.per_text_target * num_text
            + self.per_speech_target * num_speech
            + self.per_code_target * num_codes
        )


def cost_of(config: CodecLMConfig, vocabulary: Vocabulary, *, frozen_backbone: bool = False) -> TrainingCost:
    """Counts as in Hoffmann et al. (2022), appendix F, but without what is not multiplied by a matrix.

    A backward pass is twice the forward pass; where the backbone is frozen, once, as no gradient of weights is due.
    """
    decoder, passes = config.decoder, 2.0 if frozen_backbone else 3.0

    width, heads_width = decoder.model_dim, decoder.num_attn_heads * decoder.actual_head_dim

    kv_width = decoder.num_key_value_heads * decoder.actual_head_dim

    layer = 2 * width * heads_width + 2 * width * kv_width + 3 * width * decoder.ffn_inner_dim

    sizes = vocabulary.codebook_sizes[1:]

    depth_cost = 0.0

    if config.heads == "depth":
        depth = config.depth

        # Attention over Q streams is nothing beside the projections.
        depth_cost = depth.num_layers * (4.0 * depth.model_dim**2 + 3.0 * depth.model_dim * depth.ffn_inner_dim)

        depth_cost += 2.0 * width * depth.model_dim

    mean_size = sum(sizes) / len(sizes) if sizes else 0.0

    return TrainingCost(
        per_step=2 * passes * decoder.num_layers * layer,
        # Scores, and their sum of values; backward, both have two products whatever is frozen.
        per_pair=3 * 4 * decoder.num_layers * heads_width,
        per_text_target=6.0 * width * len(vocabulary.text_space),
        per_speech_target=6.0 * width * len(vocabulary.speech_space),
        per_code_target=6.0 * (width * mean_size + depth_cost),
    )


@final
class WorkMeter:
    """Counts work without a look at it on the host, and divides it by the time when it is published."""

    def __init__(
        self, cost: TrainingCost, vocabulary: Vocabulary, *, num_devices: int, peak_tflops: float | None = None
    ) -> None:
        """
        :param num_devices: All ranks'.
        :param peak_tflops: Of one device, in the type of numbers that the training multiplies.
        """
        self._cost = cost
        self._vocabulary = vocabulary
        self._peak = None if peak_tflops is None else peak_tflops * num_devices

        self._begin: float | None = None

    def prepare(self, bag: MetricBag) -> None:
        bag.add(_WORK, VectorSum(7))

    def begin_step(self) -> None:
        """The clock starts with the first step after a publication, so that validation is no part of it."""
        if self._begin is None:
            self._begin = time.perf_counter()

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
            lens.square().sum().to(batch.ids.device),
            (mask[..., 0] & in_text).sum(),
            (mask[..., 0] & ~in_text).sum(),
            mask[..., 1:].sum(),
        ]

        known = torch.tensor([batch.num_frames, batch.num_steps]).to(batch.ids.device, non_blocking=True)

        bag.get(_WORK, VectorSum).update(torch.cat([known, torch.stack(counts)]))

    def publish(self, values: MutableMapping[str, object]) -> None:
        """Puts the names that are documented in the place of the sums."""
        work = values.pop(_WORK)

        assert isinstance(work, Tensor)

        num_frames, num_steps, num_tokens, squares, num_text, num_speech, num_codes = work.tolist()

        now = time.perf_counter()

        # A run that goes on may publish what was measured before: then there is no time to divide by.
        begin, self._begin = self._begin, None

        if begin is None:
            return

        seconds = max(now - begin, 1e-9)

        tflops = self._cost.flops(num_steps, squares, num_text, num_speech, num_codes) / seconds / 1e12

        values["throughput/frames_per_second"] = num_frames / seconds
        values["throughput/tokens_per_second"] = num_tokens / seconds
        values["throughput/steps_per_second"] = num_steps / seconds
        values["throughput/useful_tflops"] = tflops

        if self._peak is not None:
            values["throughput/mfu"] = tflops / self._peak
