"""Which tokens are legal at each step of a segment that is being generated. Legend: B row, S step, Q stream, C choice.

Stream 0 chooses among consecutive ranges of ids: text ids and ``</text>`` in a text segment, the segment's end and code
book 0 in a speech segment. All rows of a batch are at the same step of their segments. Their state is a tensor, so that
a GPU is not waited for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from typing_extensions import override

from codec_s2st.tokens.delay import StreamPattern
from codec_s2st.tokens.units import Frames, Steps
from codec_s2st.tokens.vocabulary import FLUSH, SPEECH_END, TEXT_END, Vocabulary

_OPEN: Final = 1 << 40
"""The length of a segment that has not ended."""


class TargetRows(ABC):
    """The state of the segments of a batch."""

    spaces: tuple[range, ...]
    """The ids that stream 0 chooses among, one range after the other."""

    max_steps: list[int]
    """The largest number of steps of each row. Length B."""

    lengths: Tensor
    """The number of frames or text ids of each segment that has ended. *Shape:* [B], int64."""

    def __init__(self, max_lengths: Sequence[int], device: torch.device) -> None:
        self.lengths = torch.full((len(max_lengths),), _OPEN, device=device)

        self._max_lengths = list(max_lengths)

    @abstractmethod
    def mask(self, logits: Tensor, step: int) -> None:
        """Makes choices minus infinity that are legal elsewhere in the segment only.

        :param logits: Over :attr:`spaces`. *Shape:* [B, C].
        """

    @abstractmethod
    def advance(self, choices: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        """Takes the choices of stream 0.

        :param choices: Indices into :attr:`spaces`. *Shape:* [B].

        :returns: The ids of stream 0. *Shape:* [B].
        :returns: True where streams 1..Q-1 have a code to choose, *Shape:* [B, Q - 1], bool; ``None`` if nowhere.
        """

    @abstractmethod
    def is_done(self, row: int, length: int, step: int) -> bool:
        """Returns whether a row needs no step after ``step``.

        :param length: An element of :attr:`lengths`, on the host.
        """

    @abstractmethod
    def read(self, row: int, length: int, steps: Tensor) -> tuple[Tensor, bool]:
        """Returns codes [T, Q] or text ids [N] of the steps [S, Q] of a row, and whether it came to its own end."""

    def keep(self, order: Sequence[int]) -> None:
        """Keeps some rows; row i is from then on what row ``order[i]`` was."""
        self.lengths = self.lengths[torch.tensor(order, device=self.lengths.device)]

        self._max_lengths = [self._max_lengths[i] for i in order]


class TextTarget(TargetRows):
    """Text ids, until ``</text>``."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        max_lengths: Sequence[int],
        *,
        num_text_ids: int | None = None,
        device: torch.device,
    ) -> None:
        """
        :param num_text_ids: The number of ids that the tokenizer has; the rows of text behind them are the base LLM's
            padding. By default, all rows.
        """
        super().__init__(max_lengths, device)

        self._num_text_ids = vocabulary.text_size if num_text_ids is None else min(num_text_ids, vocabulary.text_size)
        self._end = vocabulary.special(TEXT_END)

        self.spaces = (range(self._num_text_ids), range(self._end, self._end + 1))

        self.max_steps = [length + 1 for length in max_lengths]

    @override
    def mask(self, logits: Tensor, step: int) -> None:
        """All of them are legal everywhere."""

    @override
    def advance(self, choices: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        is_end = choices == self._num_text_ids

        self.lengths = torch.where(is_end, self.lengths.clamp(max=step), self.lengths)

        return torch.where(is_end, self._end, choices), None

    @override
    def is_done(self, row: int, length: int, step: int) -> bool:
        return length < _OPEN or step + 1 >= self._max_lengths[row]

    @override
    def read(self, row: int, length: int, steps: Tensor) -> tuple[Tensor, bool]:
        return steps[: min(length, self._max_lengths[row]), 0], length < _OPEN


class SpeechTarget(TargetRows):
    """Codes of all streams in a stream pattern, until stream 0 ends the segment and the others have caught up."""

    def __init__(
        self, vocabulary: Vocabulary, pattern: StreamPattern, max_lengths: Sequence[int], *, device: torch.device
    ) -> None:
        # A segment holds at least one frame.
        max_lengths = [max(length, 1) for length in max_lengths]

        super().__init__(max_lengths, device)

        self._vocabulary = vocabulary
        self._pattern = pattern

        # Where other streams lag behind, stream 0 says that it has ended with a flush instead.
        self._end = vocabulary.special(FLUSH if pattern.tail_steps else SPEECH_END)

        self.spaces = (range(self._end, self._end + 1), range(vocabulary.codes_begin, vocabulary.stream0_size))

        # One step more than the frames take: it holds the end.
        self.max_steps = [pattern.num_steps(Frames(length)) + 1 for length in max_lengths]

        # The frame of each stream's code, or one that no segment has. [S, Q]
        num_frames = Frames(max(max_lengths) + 1)

        frames = torch.full((pattern.num_steps(num_frames), pattern.num_streams), _OPEN)

        frames.scatter_(0, pattern.step_index(num_frames), torch.arange(num_frames)[:, None].expand(-1, frames.size(1)))

        self._frames = frames.to(device)

        self._has_stream0: list[bool] = (frames[:, 0] < _OPEN).tolist()
        self._has_others: list[bool] = (frames[:, 1:] < _OPEN).any(dim=1).tolist()

        self._set_limits()

    def _set_limits(self) -> None:
        pattern = self._pattern

        # The steps at which stream 0 must have ended.
        limits = [pattern.num_steps(Frames(length)) - pattern.tail_steps for length in self._max_lengths]

        self._first_limit = min(limits)

        self._limits = torch.tensor(limits, device=self.lengths.device)

    @override
    def keep(self, order: Sequence[int]) -> None:
        super().keep(order)

        self._set_limits()

    @override
    def mask(self, logits: Tensor, step: int) -> None:
        if step == 0:
            logits[:, 0] = -torch.inf

    @override
    def advance(self, choices: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        vocabulary, pattern = self._vocabulary, self._pattern

        if step >= self._first_limit:
            choices = choices.masked_fill(self._limits <= step, 0)

        if self._has_stream0[step]:
            num_frames = pattern.num_frames(Steps(step + pattern.tail_steps))

            self.lengths = torch.where(choices == 0, self.lengths.clamp(max=num_frames), self.lengths)

            ids = torch.where(self.lengths < _OPEN, self._end, choices + (vocabulary.codes_begin - 1))
        else:
            ids = torch.full_like(choices, vocabulary.pad)

        if not self._has_others[step]:
            return ids, None

        return ids, self._frames[step, 1:] < self.lengths[:, None]

    @override
    def is_done(self, row: int, length: int, step: int) -> bool:
        return length < _OPEN and step + 1 >= self._pattern.num_steps(Frames(length))

    @override
    def read(self, row: int, length: int, steps: Tensor) -> tuple[Tensor, bool]:
        codes = self._pattern.revert(steps[: self._pattern.num_steps(Frames(length))])

        return codes - torch.tensor(self._vocabulary.codebook_offsets()), length < self._max_lengths[row]

    def read_begin(self, length: int, step: int, steps: Tensor) -> Tensor:
        """Returns the codes [T, Q] of the frames that are whole after ``step``.

        :param length: The row's element of :attr:`lengths`, on the host.
        """
        num_frames = min(length, self._pattern.num_frames(Steps(step + 1)))

        codes = self._pattern.revert(steps[: self._pattern.num_steps(Frames(num_frames))])

        return codes - torch.tensor(self._vocabulary.codebook_offsets())
