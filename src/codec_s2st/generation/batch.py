"""A batch of segments that is being generated, step by step. Legend: B row, S step, Q stream, C choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.generation.options import GeneratedSegment, GenerationOptions, GenerationRequest
from codec_s2st.generation.sampling import StreamSampling, sample
from codec_s2st.generation.steps import StepLogits, StepReader
from codec_s2st.generation.target import SpeechTarget, TargetRows, TextTarget
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.sequence import Modality

_STEPS_AHEAD: Final = 16
"""On a device that is waited for, so many steps go by before the host looks what has become of the rows."""


class SegmentBatch:
    """Segments of one modality. Rows that are done are taken out; the last ones take their places."""

    def __init__(
        self,
        model: CodecLM,
        reader: StepReader,
        requests: Sequence[GenerationRequest],
        options: GenerationOptions,
        *,
        num_text_ids: int | None,
    ) -> None:
        """
        :param num_text_ids: The number of ids that the text tokenizer has; if ``None``, as many as there are rows.

        :raises UserInputError: a prompt and its segment are longer than the model's positions.
        """
        vocabulary = model.vocabulary

        self._device = next(model.parameters()).device

        self._offsets = torch.tensor(vocabulary.codebook_offsets()[1:], device=self._device)
        self._num_streams, self._pad = vocabulary.num_streams, vocabulary.pad

        max_lengths = [request.max_length for request in requests]

        self.target: TargetRows

        if requests[0].modality is Modality.SPEECH:
            self.target = SpeechTarget(vocabulary, model.pattern, max_lengths, device=self._device)
        else:
            self.target = TextTarget(vocabulary, max_lengths, num_text_ids=num_text_ids, device=self._device)

        lengths = [len(request.prompt) for request in requests]

        longest = max(length + steps for length, steps in zip(lengths, self.target.max_steps, strict=True))

        if longest > model.max_seq_len:
            raise UserInputError(
                f"prompt and output take {longest} steps, but the model has positions for {model.max_seq_len}",
                hint="split the audio into shorter pieces, or lower the largest length",
            )

        self._options0 = options.text if requests[0].modality is Modality.TEXT else options.of_stream(0)
        self._others = [options.of_stream(stream) for stream in range(1, self._num_streams)]

        num_steps = max(self.target.max_steps)

        self._uniforms = self._draw(requests, num_steps) if self._is_random() else None

        # [S, B, Q]
        self.steps = torch.full((num_steps, len(requests), self._num_streams), self._pad, device=self._device)

        self.rows = list(range(len(requests)))
        """The requests whose segments are still being generated."""

        self._row_indices = torch.arange(len(requests), device=self._device)

        self._step_nr = -1

        self.num_row_steps = 0
        """The rows that steps were computed for, summed up over the steps."""

        self._checksum = torch.zeros((), device=self._device)

        self._results: dict[int, GeneratedSegment] = {}

        self._reader = reader

        self._logits = reader.begin([request.prompt for request in requests], num_steps, self.target.spaces)

    def _is_random(self) -> bool:
        return any(options.temperature > 0 for options in (self._options0, *self._others))

    def _draw(self, requests: Sequence[GenerationRequest], num_steps: int) -> Tensor:
        """Returns a number in [0, 1) for each choice of each row. *Shape:* [S, B, Q]."""
        numbers = [
            torch.rand((num_steps, self._num_streams), generator=torch.Generator().manual_seed(request.seed))
            for request in requests
        ]

        return torch.stack(numbers, dim=1).to(self._device)

    @property
    def step_nr(self) -> int:
        """The number of the step that was chosen last, from 0."""
        return self._step_nr

    def advance(self) -> bool:
        """Chooses one step of each row, and reads it. Returns ``False`` when all segments are done.

        :raises CodecS2STError: the model's logits are not finite.
        """
        self._step_nr += 1

        ids = self._choose(self._logits)

        if len(self.rows) == self.steps.size(1):
            self.steps[self._step_nr] = ids
        else:
            self.steps[self._step_nr].index_copy_(0, self._row_indices, ids)

        self.num_row_steps += len(self.rows)

        is_last = self._step_nr == self.steps.size(0) - 1

        # On a CPU there is nothing to wait for.
        if self._device.type == "cpu" or is_last or self._step_nr % _STEPS_AHEAD == _STEPS_AHEAD - 1:
            order = self._take_out_done_rows()

            if not self.rows:
                return False

            ids = ids if order is None else ids[order]

        self._logits = self._reader.read(ids)

        return True

    def _choose(self, logits: StepLogits) -> Tensor:
        """Returns the ids of the next step. *Shape:* [B, Q]."""
        numbers = None if self._uniforms is None else self._uniforms[self._step_nr, self._row_indices]

        stream0 = logits.stream0()

        self._watch(stream0)

        self.target.mask(stream0, self._step_nr)

        choices = _sample(stream0, self._options0, numbers, 0)

        first, live = self.target.advance(choices, self._step_nr)

        ids = first.new_full((len(first), self._num_streams), self._pad)

        ids[:, 0] = first

        if live is None:
            return ids

        others = logits.others() if self._uniforms is None else None

        if others is not None:
            self._watch(others)

            ids[:, 1:] = torch.where(live, others.argmax(dim=-1) + self._offsets, self._pad)

            return ids

        for stream, options in enumerate(self._others, start=1):
            of_stream = logits.stream(stream, ids)

            self._watch(of_stream)

            chosen = _sample(of_stream, options, numbers, stream) + self._offsets[stream - 1]

            ids[:, stream] = torch.where(live[:, stream - 1], chosen, self._pad)

        return ids

    def _watch(self, logits: Tensor) -> None:
        # A sum is finite if all that it is of is; whatever is not so stays in it.
        self._checksum += logits.sum(dtype=torch.float32)

    def _take_out_done_rows(self) -> list[int] | None:
        """Returns the places of the rows that go on, in their new order; ``None`` if all do."""
        if not math.isfinite(float(self._checksum)):
            raise CodecS2STError("the model's logits are not finite: its weights are damaged or it has diverged")

        lengths: list[int] = self.target.lengths.tolist()

        done = [self.target.is_done(i, length, self._step_nr) for i, length in enumerate(lengths)]

        if not any(done):
            return None

        for i, is_done in enumerate(done):
            if is_done:
                row = self.rows[i]

                steps = self.steps[: self.target.max_steps[row], row].cpu()

                self._results[row] = GeneratedSegment(*self.target.read(i, lengths[i], steps))

        order = fill_holes(done)

        self.rows = [self.rows[i] for i in order]

        if self.rows:
            self._row_indices = torch.tensor(self.rows, device=self._device)

            self.target.keep(order)

            self._reader.keep(order)

        return order

    def results(self) -> list[GeneratedSegment]:
        """Returns the segments, in the order of the requests. All must be done."""
        return [self._results[row] for row in range(self.steps.size(1))]


def fill_holes(done: Sequence[bool]) -> list[int]:
    """Returns the places that are not done, the last of them where others were done before them."""
    num_left = list(done).count(False)

    last = [i for i in range(num_left, len(done)) if not done[i]]

    return [last.pop() if done[place] else place for place in range(num_left)]


def _sample(logits: Tensor, options: StreamSampling, numbers: Tensor | None, stream: int) -> Tensor:
    if numbers is None:
        return logits.argmax(dim=-1)

    return sample(logits, options, numbers[:, stream])
