"""Readers of batches whose state is a cursor: resuming costs the making of one block, however far the run has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, final

import numpy as np
from fairseq2.datasets import DataReader
from fairseq2.logging import log
from typing_extensions import Self, override

from codec_s2st.data.batch import SpeechTextBatch, collate
from codec_s2st.data.mixture import Mixture, TaskSource
from codec_s2st.data.templates import LossPolicy, TextEncoder, render
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.sequence import SequenceBuilder, TokenSequence

Example: TypeAlias = tuple[TokenSequence, str, str, int]
"""A sequence, its task's name, its row's id, and the number of codec frames in it."""


@dataclass(frozen=True)
class BatchMaker:
    """Renders examples to sequences and groups sequences of similar length to batches."""

    builder: SequenceBuilder

    encode_text: TextEncoder

    loss: LossPolicy

    max_batch_steps: int
    """The largest number of steps of a batch, padding included."""

    max_seq_len: int
    """Longer sequences are left out, and counted."""

    def render(self, source: TaskSource, position: int) -> Example:
        row = source.row(position)

        sequence = render(source.template, row, self.builder, self.encode_text, source.loss or self.loss)

        codes = (slot.of(row).codes for slot in source.template.slots if slot.modality.value == "speech")

        return sequence, source.name, row.id, sum(len(item) for item in codes if item is not None)

    def leave_out_long(self, examples: Sequence[Example]) -> list[Example]:
        """Returns the examples of at most ``max_seq_len`` steps; the others are counted in the log.

        :raises UserInputError: none is short enough.
        """
        kept = [example for example in examples if len(example[0]) <= self.max_seq_len]

        if len(kept) < len(examples):
            num_left_out, longest = len(examples) - len(kept), max(len(example[0]) for example in examples)

            log.warning("{} of {} examples are longer than {} steps and left out; the longest has {}.", num_left_out, len(examples), self.max_seq_len, longest)  # fmt: skip  # noqa: E501

        if not kept:
            raise UserInputError(
                f"every sequence is longer than {self.max_seq_len} steps", hint="raise `data.max_seq_len`"
            )

        return kept

    def group(self, lengths: Sequence[int], *, multiple: int = 1) -> list[list[int]]:
        """Returns groups of indices into ``lengths`` that fit into ``max_batch_steps`` each, short ones first.

        :param multiple: The number of groups is made a multiple of it, by halving the largest ones.

        :raises UserInputError: there are too few sequences for that.
        """
        groups: list[list[int]] = [[]]

        for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
            if groups[-1] and (len(groups[-1]) + 1) * lengths[i] > self.max_batch_steps:
                groups.append([])

            groups[-1].append(i)

        while len(groups) % multiple != 0:
            largest = max(range(len(groups)), key=lambda g: len(groups[g]))

            group = groups[largest]

            if len(group) < 2:
                raise UserInputError(
                    f"a block of {len(lengths)} examples is too small for {multiple} batches a step",
                    hint="raise `data.block_size`",
                )

            groups[largest : largest + 1] = [group[: len(group) // 2], group[len(group) // 2 :]]

        return groups

    def collate(self, examples: Sequence[Example]) -> SpeechTextBatch:
        sequences, tasks, row_ids, num_frames = zip(*examples, strict=True)

        pad = self.builder.vocabulary.pad

        return collate(sequences, tasks, row_ids, pad=pad, num_frames=sum(num_frames))


@final
class MixtureReader(DataReader[SpeechTextBatch]):
    """Reads batches of a mixture, endlessly.

    Examples are drawn in blocks; a block's sequences are grouped by length, its batches are shuffled and dealt to the
    ranks in turn. Order is a function of the seed alone; the state is the block's number, the number of examples drawn
    before it, and the batches already given.
    """

    def __init__(
        self,
        mixture: Mixture,
        maker: BatchMaker,
        *,
        block_size: int,
        rank: int = 0,
        world_size: int = 1,
        num_accumulate: int = 1,
    ) -> None:
        """
        :param block_size: The number of examples that are drawn and sorted together.
        :param num_accumulate: The number of batches that a rank reads in one step.
        """
        self._mixture = mixture
        self._maker = maker
        self._block_size = block_size
        self._rank = rank
        self._world_size = world_size
        self._num_accumulate = num_accumulate

        self._batches: list[Callable[[], SpeechTextBatch]] | None = None

        self.reset()

    @override
    def reset(self) -> None:
        self._block = 0
        self._step = 0
        self._drawn = [0] * len(self._mixture.sources)
        self._batches = None

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[SpeechTextBatch]:
        stride = self._world_size * self._num_accumulate

        if self._batches is None:
            self._batches = self._make_block(stride)

        if self._step * stride >= len(self._batches):
            for source, _ in self._mixture.draw(self._block, self._block_size, self._drawn):
                self._drawn[source] += 1

            self._block += 1
            self._step = 0
            self._batches = self._make_block(stride)

        begin = self._step * stride

        mine = self._batches[begin : begin + stride][self._rank :: self._world_size]

        self._step += 1

        return [make() for make in mine]

    def _make_block(self, stride: int) -> list[Callable[[], SpeechTextBatch]]:
        maker = self._maker

        draws = self._mixture.draw(self._block, self._block_size, self._drawn)

        kept = maker.leave_out_long([maker.render(self._mixture.sources[source], i) for source, i in draws])

        groups = maker.group([len(example[0]) for example in kept], multiple=stride)

        order = np.random.default_rng((self._mixture.seed, 2, self._block)).permutation(len(groups))

        def make_batch(group: list[int]) -> SpeechTextBatch:
            return maker.collate([kept[i] for i in group])

        return [lambda group=groups[i]: make_batch(group) for i in order]  # type: ignore[misc]

    @override
    def state_dict(self) -> dict[str, object]:
        return {"block": self._block, "step": self._step, "drawn": list(self._drawn)}

    @override
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """
        :raises ValueError: the state is of another mixture.
        """
        state = cast(dict[str, Any], state_dict)

        if len(state["drawn"]) != len(self._drawn):
            raise ValueError(f"The state has {len(state['drawn'])} sources, but the mixture has {len(self._drawn)}.")

        self._block, self._step, self._drawn = int(state["block"]), int(state["step"]), list(state["drawn"])

        self._batches = None

    @property
    @override
    def num_accumulate(self) -> int:
        return self._num_accumulate


@final
class SourceReader(DataReader[SpeechTextBatch]):
    """Reads one source once, in order of length; for validation.

    The batches are dealt to the ranks in turn. Where there are fewer examples than ranks, some ranks get empty lists.
    """

    def __init__(
        self, source: TaskSource, maker: BatchMaker, *, max_examples: int, rank: int = 0, world_size: int = 1
    ) -> None:
        examples = maker.leave_out_long([maker.render(source, i) for i in range(min(max_examples, len(source)))])

        lengths = [len(example[0]) for example in examples]

        groups = maker.group(lengths)

        if -(-len(groups) // world_size) * world_size <= len(examples):
            groups = maker.group(lengths, multiple=world_size)

        batches = [[maker.collate([examples[i] for i in group])] for group in groups[rank::world_size]]

        # All ranks must take part in the same number of steps.
        self._batches = batches + [[] for _ in range(-(-len(groups) // world_size) - len(batches))]

        self._iterator: Iterator[list[SpeechTextBatch]] = iter(self._batches)

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[SpeechTextBatch]:
        # fairseq2 takes the batches out of the list, which is needed again at the next validation.
        return list(next(self._iterator))

    @override
    def reset(self) -> None:
        self._iterator = iter(self._batches)

    @override
    def state_dict(self) -> dict[str, object]:
        return {}

    @override
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        pass

    @property
    @override
    def num_accumulate(self) -> int:
        return 1
