"""Readers of batches whose state is a cursor: resuming costs the making of one block, however far the run has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, final

import numpy as np
from fairseq2.datasets import DataReader
from fairseq2.logging import log
from typing_extensions import Self, override

from codec_s2st.data.batch import SpeechTextBatch, collate, collate_packed
from codec_s2st.data.mixture import Mixture, TaskSource
from codec_s2st.data.packing import pack
from codec_s2st.data.templates import LossPolicy, TextEncoder, count_frames, count_steps, render
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.sequence import SequenceBuilder

Draw: TypeAlias = tuple[TaskSource, int]
"""An example: its source, and its position there."""


@dataclass(frozen=True)
class BatchMaker:
    """Groups examples to batches, and renders them."""

    builder: SequenceBuilder

    encode_text: TextEncoder

    loss: LossPolicy

    max_batch_steps: int
    """The largest number of steps of a batch, padding included; if packed, the number of steps of each batch."""

    max_seq_len: int
    """Longer sequences are left out, and counted."""

    packed: bool = False
    """If ``True``, the sequences of a batch stand in one row; if not, each has its own and is padded."""

    def plan(self, draws: Sequence[Draw], *, multiple: int = 1) -> list[list[Draw]]:
        """Groups examples to batches, without rendering them; those longer than ``max_seq_len`` are left out.

        :param multiple: The number of batches is made a multiple of it, by halving the largest ones.

        :raises UserInputError: no example is short enough, or there are too few of them.
        """
        lengths = [count_steps(src.template, src.outline(i), self.builder, self.encode_text) for src, i in draws]

        kept = self._find_short(lengths)

        lengths = [lengths[k] for k in kept]

        groups = pack(lengths, self.max_batch_steps) if self.packed else self._group_by_length(lengths)

        return [[draws[kept[i]] for i in group] for group in _split(groups, multiple)]

    def _find_short(self, lengths: Sequence[int]) -> list[int]:
        kept = [k for k, length in enumerate(lengths) if length <= self.max_seq_len]

        if len(kept) < len(lengths):
            num_left_out, longest = len(lengths) - len(kept), max(lengths)

            log.warning("{} of {} examples are longer than {} steps and left out; the longest has {}.", num_left_out, len(lengths), self.max_seq_len, longest)  # fmt: skip  # noqa: E501

        if not kept:
            raise UserInputError(
                f"every sequence is longer than {self.max_seq_len} steps", hint="raise `data.max_seq_len`"
            )

        return kept

    def _group_by_length(self, lengths: Sequence[int]) -> list[list[int]]:
        groups: list[list[int]] = [[]]

        for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
            if groups[-1] and (len(groups[-1]) + 1) * lengths[i] > self.max_batch_steps:
                groups.append([])

            groups[-1].append(i)

        return groups

    def make(self, draws: Sequence[Draw]) -> SpeechTextBatch:
        """Renders the examples of a batch."""
        sequences, num_frames = [], 0

        examples = [source.example(i) for source, i in draws]

        for (source, _), example in zip(draws, examples, strict=True):
            loss = source.loss or self.loss

            sequences.append(render(source.template, example, self.builder, self.encode_text, loss))

            num_frames += count_frames(source.template, example)

        tasks, row_ids = [source.name for source, _ in draws], [example.id for example in examples]

        pad = self.builder.vocabulary.pad

        if self.packed:
            return collate_packed(
                sequences, tasks, row_ids, pad=pad, num_frames=num_frames, num_steps=self.max_batch_steps
            )

        return collate(sequences, tasks, row_ids, pad=pad, num_frames=num_frames)


def _split(groups: list[list[int]], multiple: int) -> list[list[int]]:
    while len(groups) % multiple != 0:
        largest = max(range(len(groups)), key=lambda g: len(groups[g]))

        group = groups[largest]

        if len(group) < 2:
            raise UserInputError(f"{sum(map(len, groups))} examples are too few for {multiple} batches")

        groups[largest : largest + 1] = [group[: len(group) // 2], group[len(group) // 2 :]]

    return groups


@final
class MixtureReader(DataReader[SpeechTextBatch]):
    """Reads batches of a mixture, endlessly.

    Examples are drawn in blocks; a block's examples are grouped to batches, and these are shuffled. The batches of all
    blocks are one stream, a function of the seed alone, which is dealt to the ranks in turn. So the state, a place in
    the stream, is the same on all ranks and holds for any number of them: the block's number, the number of its batches
    already dealt, and the number of examples drawn from each source before it.
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
        :param block_size: The number of examples that are drawn and grouped together.
        :param num_accumulate: The number of batches that a rank reads in one step.
        """
        self._mixture = mixture
        self._maker = maker
        self._block_size = block_size
        self._rank = rank
        self._world_size = world_size
        self._num_accumulate = num_accumulate

        self._batches: list[list[Draw]] | None = None

        self._sources_of_block: list[int] = []

        self.reset()

    @override
    def reset(self) -> None:
        self._block = 0
        self._batch = 0
        self._drawn = [0] * len(self._mixture.sources)
        self._batches = None

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[SpeechTextBatch]:
        return [self._maker.make(draws) for draws in self._next_step()]

    def skip(self) -> None:
        """Passes over the batches of a step, without rendering them."""
        self._next_step()

    def _next_step(self) -> list[list[Draw]]:
        """Returns what this rank's batches of the next step hold."""
        draws = [self._next_draws() for _ in range(self._world_size * self._num_accumulate)]

        return draws[self._rank :: self._world_size]

    def _next_draws(self) -> list[Draw]:
        if self._batches is None:
            self._batches = self._make_block()

        while self._batch >= len(self._batches):
            for source in self._sources_of_block:
                self._drawn[source] += 1

            self._block += 1
            self._batch = 0
            self._batches = self._make_block()

        self._batch += 1

        return self._batches[self._batch - 1]

    def _make_block(self) -> list[list[Draw]]:
        draws = self._mixture.draw(self._block, self._block_size, self._drawn)

        self._sources_of_block = [source for source, _ in draws]

        batches = self._maker.plan([(self._mixture.sources[source], i) for source, i in draws])

        order = np.random.default_rng((self._mixture.seed, 2, self._block)).permutation(len(batches))

        return [batches[i] for i in order]

    @override
    def state_dict(self) -> dict[str, object]:
        return {"block": self._block, "batch": self._batch, "drawn": list(self._drawn)}

    @override
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """
        :raises ValueError: the state is of another mixture.
        """
        state = cast(dict[str, Any], state_dict)

        if len(state["drawn"]) != len(self._drawn):
            raise ValueError(f"The state has {len(state['drawn'])} sources, but the mixture has {len(self._drawn)}.")

        self._block, self._batch, self._drawn = int(state["block"]), int(state["batch"]), list(state["drawn"])

        self._batches = None

    @property
    @override
    def num_accumulate(self) -> int:
        return self._num_accumulate


@final
class SourceReader(DataReader[SpeechTextBatch]):
    """Reads the first examples of some sources once, for validation.

    The batches are dealt to the ranks in turn. Where there are fewer examples than ranks, some ranks get empty lists.
    """

    def __init__(
        self,
        sources: Sequence[TaskSource],
        maker: BatchMaker,
        *,
        max_examples: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """
        :param max_examples: The number of examples that are read of each source.
        """
        draws = [(source, i) for source in sources for i in range(min(max_examples, len(source)))]

        plan = maker.plan(draws)

        if -(-len(plan) // world_size) * world_size <= len(draws):
            plan = maker.plan(draws, multiple=world_size)

        batches = [[maker.make(batch)] for batch in plan[rank::world_size]]

        # All ranks must take part in the same number of steps.
        self._batches = batches + [[] for _ in range(-(-len(plan) // world_size) - len(batches))]

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
