"""How a model reads one step after the other: the interface, and two ways by the model's own modules.

Legend: B row, S step, Q stream, D width, C choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from fairseq2.nn import IncrementalStateBag
from torch import Tensor
from typing_extensions import override

from codec_s2st.models.codec_lm.heads import HeadsStep
from codec_s2st.models.codec_lm.model import CodecLM


class StepLogits(ABC):
    """The logits of one step, while its streams are being chosen."""

    @abstractmethod
    def stream0(self) -> Tensor:
        """Returns the logits over the ranges of ids that the batch was begun with. *Shape:* [B, C]."""

    @abstractmethod
    def stream(self, stream: int, ids: Tensor) -> Tensor:
        """
        :param stream: From 1 upwards, each once.
        :param ids: What was chosen in the streams before. *Shape:* [B, Q].

        :returns: Over the stream's code book. *Shape:* [B, C].
        """

    def others(self) -> Tensor | None:
        """Returns the logits of streams 1..Q-1 in one tensor where they hang on nothing else and are equally many.

        *Shape:* [B, Q - 1, C].
        """
        return None


class StepReader(ABC):
    """Reads the steps of a batch of sequences."""

    @abstractmethod
    def begin(self, prompts: Sequence[Tensor], num_new: int, spaces: Sequence[range]) -> StepLogits:
        """Reads the prompts.

        :param prompts: *Shape:* [S, Q] each. Length B.
        :param num_new: The largest number of steps that are read after them.
        :param spaces: The ids that stream 0 chooses among.

        :returns: The logits of the steps after them.
        """

    @abstractmethod
    def read(self, ids: Tensor) -> StepLogits:
        """Reads one more step of each row.

        :param ids: *Shape:* [B, Q].
        """

    @abstractmethod
    def keep(self, order: Sequence[int]) -> None:
        """Keeps some rows; row i is from then on what row ``order[i]`` was.

        :param order: At i, i itself or a later row.
        """

    @property
    def wants_equal_lengths(self) -> bool:
        """Whether the prompts of a batch must be of the same length."""
        return False


class WholeSequences(StepReader):
    """Reads the whole sequences again at every step: slow, and what all else is compared with."""

    def __init__(self, model: CodecLM) -> None:
        self._model = model

    @override
    def begin(self, prompts: Sequence[Tensor], num_new: int, spaces: Sequence[range]) -> StepLogits:
        device = next(self._model.parameters()).device

        self._rows = [prompt.to(device) for prompt in prompts]

        self._spaces = spaces

        return self._read()

    @override
    def read(self, ids: Tensor) -> StepLogits:
        self._rows = [torch.cat([row, step[None]]) for row, step in zip(self._rows, ids, strict=True)]

        return self._read()

    def _read(self) -> StepLogits:
        pad = float(self._model.vocabulary.pad)

        # What is right of a sequence cannot reach it.
        ids = torch.nn.utils.rnn.pad_sequence(self._rows, batch_first=True, padding_value=pad)

        ends = torch.tensor([len(row) - 1 for row in self._rows], device=ids.device)

        hidden = self._model(ids).hidden[torch.arange(len(ends), device=ids.device), ends]

        return _ModelLogits(self._model.heads.step(hidden), self._spaces)

    @override
    def keep(self, order: Sequence[int]) -> None:
        self._rows = [self._rows[i] for i in order]


class ModelSteps(StepReader):
    """Reads with fairseq2's cache: for models that the engine does not know."""

    def __init__(self, model: CodecLM) -> None:
        self._model = model

    @property
    @override
    def wants_equal_lengths(self) -> bool:
        return True

    @override
    def begin(self, prompts: Sequence[Tensor], num_new: int, spaces: Sequence[range]) -> StepLogits:
        ids = torch.stack(list(prompts)).to(next(self._model.parameters()).device)

        self._spaces = spaces

        self._bag = IncrementalStateBag(ids.size(1) + num_new + 1, capacity_increment=None)

        return self._read(ids)

    @override
    def read(self, ids: Tensor) -> StepLogits:
        return self._read(ids[:, None])

    def _read(self, ids: Tensor) -> StepLogits:
        hidden = self._model(ids, state_bag=self._bag).hidden[:, -1]

        self._bag.increment_step_nr(ids.size(1))

        return _ModelLogits(self._model.heads.step(hidden), self._spaces)

    @override
    def keep(self, order: Sequence[int]) -> None:
        self._bag.reorder(torch.tensor(order, device=next(self._model.parameters()).device))


class _ModelLogits(StepLogits):
    def __init__(self, heads: HeadsStep, spaces: Sequence[range]) -> None:
        self._heads = heads
        self._spaces = spaces

    @override
    def stream0(self) -> Tensor:
        logits = self._heads.logits(0)

        return torch.cat([logits[:, space.start : space.stop] for space in self._spaces], dim=-1)

    @override
    def stream(self, stream: int, ids: Tensor) -> Tensor:
        return self._heads.logits(stream, ids)
