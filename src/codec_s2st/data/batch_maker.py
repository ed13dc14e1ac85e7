"""Groups examples to batches, and renders them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, TypeAlias

from codec_s2st.data.batch import SpeechTextBatch, collate, collate_packed
from codec_s2st.data.mixture import TaskSource
from codec_s2st.data.packing import pack
from codec_s2st.data.templates import LossPolicy, TextEncoder, count_steps, render
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.sequence import SequenceBuilder, TokenSequence

Draw: TypeAlias = tuple[TaskSource, int]
"""An example: its source, and its position there."""

_NUM_KNOWN_TEXTS: Final = 1 << 14
"""Texts are encoded to be counted, and soon again to be rendered."""


@dataclass(frozen=True)
class Plan:
    """What batches hold, before they are rendered."""

    batches: list[list[Draw]]

    over_long: list[int]
    """The places of the examples that are too long, among those that were given; they are left out, or cropped."""


@dataclass(frozen=True)
class BatchMaker:
    """Groups examples to batches, and renders them."""

    builder: SequenceBuilder

    encode_text: TextEncoder

    loss: LossPolicy

    max_batch_steps: int
    """The largest number of steps of a batch, padding included; if packed, the number of steps of each batch."""

    max_seq_len: int
    """Longer sequences are left out, or cropped."""

    packed: bool = False
    """If ``True``, the sequences of a batch stand in one row; if not, each has its own and is padded."""

    crop: bool = False
    """If ``True``, the beginning of longer sequences is kept, where a task has a single segment."""

    def plan(self, draws: Sequence[Draw], *, multiple: int = 1, purpose: str = "to train on") -> Plan:
        """Groups examples to batches.

        :param multiple: The number of batches is made a multiple of it, by halving the largest ones.
        :param purpose: What the batches are for, to name it if there can be none.

        :raises UserInputError: no example is short enough, or there are too few of them.
        """
        lengths = [count_steps(src.template, src.outline(i), self.builder, self._encode_text) for src, i in draws]

        over_long = [k for k, length in enumerate(lengths) if length > self.max_seq_len]

        kept = [k for k in range(len(draws)) if lengths[k] <= self.max_seq_len or self.can_crop(draws[k][0])]

        if not kept:
            raise UserInputError(
                f"every sequence is longer than {self.max_seq_len} steps: the shortest of {len(draws)} {purpose}, "
                f"of {', '.join(sorted({source.name for source, _ in draws}))}, has {min(lengths)}",
                hint="raise `data.max_seq_len`",
            )

        lengths = [min(lengths[k], self.max_seq_len) for k in kept]

        groups = pack(lengths, self.max_batch_steps) if self.packed else self._group_by_length(lengths)

        batches = [[draws[kept[i]] for i in group] for group in _split(groups, multiple)]

        return Plan(batches, over_long)

    def can_crop(self, source: TaskSource) -> bool:
        """Returns whether sequences of ``source`` that are too long are cropped, not left out."""
        # The end of a text that is given or to be predicted belongs to it: half a translation is a wrong one.
        return self.crop and len(source.template.slots) == 1

    def _group_by_length(self, lengths: Sequence[int]) -> list[list[int]]:
        groups: list[list[int]] = [[]]

        for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
            if groups[-1] and (len(groups[-1]) + 1) * lengths[i] > self.max_batch_steps:
                groups.append([])

            groups[-1].append(i)

        return groups

    def make(self, draws: Sequence[Draw]) -> SpeechTextBatch:
        """Renders the examples of a batch."""
        sequences, row_ids = [], []

        for source, i in draws:
            example = source.example(i)

            sequence = render(source.template, example, self.builder, self._encode_text, source.loss or self.loss)

            if len(sequence) > self.max_seq_len:
                # What closes the segment goes as well: it has not ended there.
                sequence = TokenSequence(sequence.ids[: self.max_seq_len], sequence.loss_mask[: self.max_seq_len])

            sequences.append(sequence)

            row_ids.append(example.id)

        vocabulary = self.builder.vocabulary

        # In every pattern, each whole frame has a code in the last stream.
        num_frames = sum(int((sequence.ids[:, -1] >= vocabulary.codes_begin).sum()) for sequence in sequences)

        tasks = [source.name for source, _ in draws]

        if self.packed:
            return collate_packed(
                sequences, tasks, row_ids, pad=vocabulary.pad, num_frames=num_frames, num_steps=self.max_batch_steps
            )

        return collate(sequences, tasks, row_ids, pad=vocabulary.pad, num_frames=num_frames)

    @cached_property
    def _encode_text(self) -> TextEncoder:
        return lru_cache(_NUM_KNOWN_TEXTS)(self.encode_text)


def _split(groups: list[list[int]], multiple: int) -> list[list[int]]:
    while len(groups) % multiple != 0:
        largest = max(range(len(groups)), key=lambda g: len(groups[g]))

        group = groups[largest]

        if len(group) < 2:
            raise UserInputError(f"{sum(map(len, groups))} examples are too few for {multiple} batches")

        groups[largest : largest + 1] = [group[: len(group) // 2], group[len(group) // 2 :]]

    return groups
