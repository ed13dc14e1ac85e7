"""Which example comes n-th: a pure function of the seed and the number of what was drawn before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codec_s2st.data.order import EpochOrder, Layout
from codec_s2st.data.shard_format import SIDES, ShardRow
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.slots import Example, LossPolicy, Need, SideName
from codec_s2st.data.templates import TaskTemplate, find_template, swap_sides
from codec_s2st.data.voices import Voices
from codec_s2st.errors import UserInputError, unknown_name


@dataclass(kw_only=True)
class MixtureEntry:
    """One part of a mixture."""

    task: str = "s2st"
    """The name of a task template."""

    weight: float = 1.0
    """The share of examples, relative to the other entries', before the temperature."""

    reverse: bool = False
    """If ``True``, source and target are exchanged: English to Spanish from a Spanish-English corpus."""

    loss: LossPolicy | None = None
    """What is scored: ``all`` segments, or the ``target`` alone; by default as the recipe has it."""

    corpus: str | None = None
    """The name of the folder of shards that is read, ``cvss/shards`` where two are ``shards``; by default all are."""

    max_examples: int | None = None
    """If given, only so many rows are read, chosen at random and the same in each run."""

    @property
    def name(self) -> str:
        """The name for metrics: ``asr``, or ``asr-reverse``."""
        return f"{self.task}-reverse" if self.reverse else self.task


@dataclass(frozen=True)
class TaskSource:
    """The rows of a shard set that can serve one task."""

    template: TaskTemplate
    shards: ShardSet
    indices: NDArray[np.int64]
    """The rows' indices. *Shape:* [N]."""

    reverse: bool

    loss: LossPolicy | None = None

    voices: Voices | None = None
    """Where the template has a voice."""

    seed: int = 0
    """Decides what a template leaves to chance."""

    @classmethod
    def select(
        cls,
        entry: MixtureEntry,
        shards: ShardSet,
        splits: Sequence[str],
        *,
        own: Mapping[str, TaskTemplate] | None = None,
        seed: int = 0,
    ) -> TaskSource:
        """Finds the rows of ``splits`` that have all that the entry's task needs.

        :param own: The tasks that a user has defined.

        :raises UserInputError: there is none, or task or corpus are not known.
        """
        template = find_template(entry.task, own)

        fits = shards.is_in_splits(splits)

        if entry.corpus is not None:
            if entry.corpus not in shards.corpora:
                raise unknown_name("corpus", entry.corpus, shards.corpora, hint="it is the name of a folder of shards")

            fits &= shards.is_of_corpus(entry.corpus)

        def side_of(side: SideName) -> SideName:
            if not entry.reverse:
                return side

            return "target" if side == "source" else "source"

        voices = None

        if template.voice is not None:
            voices = Voices(shards, template.voice, side_of(template.voice.side), fits, seed)

        advice = f"their splits are {', '.join(shards.splits)}"

        for slot in template.slots:
            side = side_of(slot.side)

            for need in slot.needs:
                if fits.any():
                    advice = f"{fits.sum()} rows come near, but none of them has {side} {need.value}"

                match need:
                    case Need.TEXT:
                        fits &= shards.has_text(side)
                    case Need.CODES:
                        fits &= shards.num_frames(side) > 0
                    case Need.ALIGNMENT:
                        fits &= shards.has_alignment(side)
                    case Need.VOICE:
                        assert voices is not None

                        fits &= voices.serves

        indices = np.flatnonzero(fits)

        if len(indices) == 0:
            what = f"task '{entry.task}'{' reversed' if entry.reverse else ''}"

            if entry.corpus is not None:
                what += f" of corpus '{entry.corpus}'"

            raise UserInputError(
                f"none of the {len(shards)} rows in the shards serves {what} in split {' or '.join(splits)}",
                hint=f"{advice}; give further shards: --shards A B",
            )

        if entry.max_examples is not None:
            indices = np.sort(np.random.default_rng(0).permutation(indices)[: entry.max_examples])

        return cls(template, shards, indices, entry.reverse, entry.loss, voices, seed)

    @property
    def name(self) -> str:
        """The name for metrics: ``asr``, or ``asr-reverse``."""
        return f"{self.template.name}-reverse" if self.reverse else self.template.name

    def __len__(self) -> int:
        return len(self.indices)

    def layout(self) -> Layout:
        """Returns where the rows lie."""
        return self.shards.layout(self.indices)

    def example(self, i: int) -> Example:
        """Returns what the task makes a sequence of."""
        return self._example(i, self.shards.row)

    def outline(self, i: int) -> Example:
        """Returns what :meth:`example` does, but with zeros for codes, which are not read."""
        return self._example(i, self.shards.outline)

    def _example(self, i: int, read: Callable[[int, Collection[str]], ShardRow]) -> Example:
        idx = int(self.indices[i])

        row = read(idx, self._spoken_sides)

        voice = None if self.voices is None else self.voices.of(idx, row.id, read)

        return Example(swap_sides(row) if self.reverse else row, voice, self.seed)

    @cached_property
    def _spoken_sides(self) -> frozenset[str]:
        """The sides of the rows whose codes are needed."""
        sides = {slot.side for slot in self.template.slots if Need.CODES in slot.needs}

        return frozenset(SIDES) - sides if self.reverse and len(sides) == 1 else frozenset(sides)


@dataclass
class Mixture:
    """Draws examples from several sources, endlessly; each source is shuffled anew in each of its epochs."""

    sources: Sequence[TaskSource]

    weights: Sequence[float]

    seed: int

    temperature: float = 1.0
    """Weights are raised to ``1 / temperature``: 1 keeps them, larger values even them out."""

    shuffle_bytes: int = 1 << 30
    """Rows are shuffled over as many row groups as have so many bytes together; see :class:`EpochOrder`."""

    _orders: dict[int, tuple[int, EpochOrder]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.sources or len(self.sources) != len(self.weights):
            raise ValueError("`sources` must not be empty and have as many items as `weights`.")

        if min(self.weights) <= 0 or self.temperature <= 0:
            raise UserInputError("the weights and the temperature of a mixture must be positive")

    @property
    def shares(self) -> NDArray[np.float64]:
        """The expected share of examples of each source."""
        shares = np.asarray(self.weights, dtype=np.float64) ** (1.0 / self.temperature)

        return np.asarray(shares / shares.sum())

    def draw(self, block: int, size: int, drawn: Sequence[int]) -> list[tuple[int, int]]:
        """Returns the examples of block number ``block`` as (source, position in source) pairs.

        :param size: The number of examples of a block.
        :param drawn: How many examples were drawn from each source before this block.
        """
        generator = np.random.default_rng((self.seed, 0, block))

        counts = list(drawn)

        examples = []

        for source in generator.choice(len(self.sources), size=size, p=self.shares):
            epoch, position = divmod(counts[source], len(self.sources[source]))

            examples.append((int(source), self._order(int(source), epoch)[position]))

            counts[source] += 1

        return examples

    def _order(self, source: int, epoch: int) -> EpochOrder:
        known = self._orders.get(source)

        if known is None or known[0] != epoch:
            order = EpochOrder(
                self.sources[source].layout(),
                (self.seed, 1, source, epoch),
                max(self.shuffle_bytes // len(self.sources), 1),
            )

            self._orders[source] = known = (epoch, order)

        return known[1]
