"""Which tokens are legal at each step of a segment that is being generated. Legend: B row, S step, T frame, Q stream.

The spaces are those that the heads are trained on: text and specials in a text segment, specials and code book 0 in a
speech segment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from codec_s2st.tokens.delay import StreamPattern
from codec_s2st.tokens.units import Frames, Steps
from codec_s2st.tokens.vocabulary import FLUSH, SPEECH_END, TEXT_END, Vocabulary


class TargetRows(ABC):
    """The state of the segments of a batch."""

    max_steps: list[int]
    """The largest number of steps of each row. Length B."""

    done: list[bool]
    """Whether a row needs no further step. Length B."""

    finished: list[bool]
    """Whether a row came to its own end. Length B."""

    @abstractmethod
    def legal_logits(self, logits: Tensor, active: Tensor, relative: Tensor) -> Tensor:
        """Returns the logits of stream 0 over its choices, those that are illegal at minus infinity.

        :param logits: The head's output for the rows ``active``. *Shape:* [B, stream 0's ids].
        :param active: The rows' indices. *Shape:* [B].
        :param relative: The step in the segment, from 0. *Shape:* [B].
        """

    @abstractmethod
    def advance(self, choices: Tensor, active: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Takes the choices that were made among :meth:`legal_logits`.

        :param choices: *Shape:* [B].

        :returns: The step's ids, padding in streams 1..Q-1. *Shape:* [B, Q].
        :returns: True where streams 1..Q-1 have a code to choose. *Shape:* [B, Q], bool.
        """

    @abstractmethod
    def read(self, row: int, steps: Tensor) -> Tensor:
        """Returns codes [T, Q] or text ids [N] of the steps [S, Q] of a row that is done."""


class TextTarget(TargetRows):
    """Text ids, until ``</text>``."""

    def __init__(self, vocabulary: Vocabulary, max_lengths: Sequence[int], *, num_text_ids: int | None = None) -> None:
        """
        :param num_text_ids: The number of ids that the tokenizer has; the rows of text behind them are the base LLM's
            padding. By default, all rows.
        """
        self._vocabulary = vocabulary
        self._num_text_ids = vocabulary.text_size if num_text_ids is None else min(num_text_ids, vocabulary.text_size)
        self._end = vocabulary.special(TEXT_END)

        self.max_steps = [length + 1 for length in max_lengths]
        self.done = [False] * len(max_lengths)
        self.finished = [False] * len(max_lengths)

        self._lengths = [0] * len(max_lengths)

    @override
    def legal_logits(self, logits: Tensor, active: Tensor, relative: Tensor) -> Tensor:
        vocabulary = self._vocabulary

        illegal = torch.ones(len(vocabulary.text_space), dtype=torch.bool, device=logits.device)

        illegal[: self._num_text_ids] = False

        illegal[self._end] = False

        return logits[:, : len(illegal)].masked_fill(illegal, -torch.inf)

    @override
    def advance(self, choices: Tensor, active: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
        step = choices.new_full((choices.size(0), self._vocabulary.num_streams), self._vocabulary.pad)

        step[:, 0] = choices

        for token, row, rel in zip(choices.tolist(), active.tolist(), relative.tolist(), strict=True):
            if self.done[row]:
                continue

            if token == self._end:
                self.done[row] = self.finished[row] = True
            else:
                self._lengths[row] = rel + 1

                self.done[row] = rel + 1 >= self.max_steps[row] - 1

        return step, torch.zeros_like(step, dtype=torch.bool)

    @override
    def read(self, row: int, steps: Tensor) -> Tensor:
        return steps[: self._lengths[row], 0]


class SpeechTarget(TargetRows):
    """Codes of all streams in a stream pattern, until stream 0 ends the segment and the others have caught up."""

    def __init__(self, vocabulary: Vocabulary, pattern: StreamPattern, max_lengths: Sequence[int]) -> None:
        self._vocabulary = vocabulary
        self._pattern = pattern

        # Where other streams lag behind, stream 0 says that it has ended with a flush instead.
        self._end = vocabulary.special(FLUSH if pattern.tail_steps else SPEECH_END)

        # One step more than the frames take: it holds the end.
        self.max_steps = [pattern.num_steps(Frames(max(length, 1))) + 1 for length in max_lengths]
        self.done = [False] * len(max_lengths)
        self.finished = [False] * len(max_lengths)

        self._max_frames = [max(length, 1) for length in max_lengths]
        self._num_frames: list[int | None] = [None] * len(max_lengths)

        # While a segment's length is open, a stream is live as in the longest one.
        self._live = pattern.validity(Frames(max(self._max_frames) + 1))

    @override
    def legal_logits(self, logits: Tensor, active: Tensor, relative: Tensor) -> Tensor:
        vocabulary = self._vocabulary

        space = vocabulary.speech_space

        stream0 = logits[:, space.start : space.stop].clone()

        end = stream0[:, self._end - space.start].clone()

        stream0[:, : vocabulary.codes_begin - space.start] = -torch.inf

        # A segment holds at least one frame, and at most as many as were asked for.
        stream0[:, self._end - space.start] = end.masked_fill(relative == 0, -torch.inf)

        limit = torch.tensor([self._open_steps(int(row)) for row in active], device=relative.device)

        at_limit = relative >= limit

        if bool(at_limit.any()):
            stream0[at_limit] = -torch.inf

            stream0[at_limit, self._end - space.start] = 0.0

        return stream0

    def _open_steps(self, row: int) -> int:
        """Returns the step at which stream 0 must have ended."""
        return self._pattern.num_steps(Frames(self._max_frames[row])) - self._pattern.tail_steps

    @override
    def advance(self, choices: Tensor, active: Tensor, relative: Tensor) -> tuple[Tensor, Tensor]:
        vocabulary = self._vocabulary

        step = choices.new_full((choices.size(0), vocabulary.num_streams), vocabulary.pad)

        tokens = (choices + vocabulary.specials_begin).tolist()

        live = []

        for i, (row, rel) in enumerate(zip(active.tolist(), relative.tolist(), strict=True)):
            tokens[i], row_live = self._advance_row(tokens[i], row, rel)

            live.append(row_live)

        step[:, 0] = step.new_tensor(tokens)

        return step, torch.tensor(live, device=choices.device)

    def _advance_row(self, token: int, row: int, rel: int) -> tuple[int, list[bool]]:
        """Returns what stream 0 holds, and which streams have a code."""
        pad = self._vocabulary.pad

        if self.done[row]:
            return pad, [False] * self._pattern.num_streams

        num_frames = self._num_frames[row]

        if num_frames is None and self._live[rel, 0] and token == self._end:
            num_frames = self._pattern.num_frames(Steps(rel + self._pattern.tail_steps))

            self._num_frames[row] = num_frames

            self.finished[row] = num_frames < self._max_frames[row]

        if num_frames is None:
            live: list[bool] = self._live[rel].tolist()

            return token if live[0] else pad, live

        validity = self._pattern.validity(Frames(num_frames))

        self.done[row] = rel + 1 >= len(validity)

        return self._end, validity[rel].tolist() if rel < len(validity) else [False] * self._pattern.num_streams

    @override
    def read(self, row: int, steps: Tensor) -> Tensor:
        num_frames = Frames(self._num_frames[row] or 0)

        codes = self._pattern.revert(steps[: self._pattern.num_steps(num_frames)])

        return codes - torch.tensor(self._vocabulary.codebook_offsets())
