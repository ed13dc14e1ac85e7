"""Readers of batches whose state is a cursor: resuming costs the making of one block, however far the run has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast, final

import numpy as np
from fairseq2.datasets import DataReader
from fairseq2.logging import log
from numpy.typing import NDArray
from typing_extensions import Self, override

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.data.batch_maker import BatchMaker as BatchMaker
from codec_s2st.data.batch_maker import Draw
from codec_s2st.data.mixture import Mixture, TaskSource
from codec_s2st.data.over_long import OverLongLog, describe_over_long


@final
class MixtureReader(DataReader[SpeechTextBatch]):
    """Reads batches of a mixture, endlessly.

    Examples are drawn in blocks; a block's examples are grouped to batches, and these are shuffled. The batches of all
    blocks are one stream, a function of the seed alone, which is dealt to the ranks in turn. So the state, a place in
    the stream, is the same on all ranks and holds for any number of them: the block's number, the number of its batches
    already dealt, and for each source the numbers of examples drawn, and too long, before it.
    """

    _block: int
    _batch: int

    _batches: list[list[Draw]] | None
    """The block's; ``None`` before it is made."""

    # By source, before the block and in it.
    _drawn: NDArray[np.int64]
    _over_long: NDArray[np.int64]
    _drawn_in_block: NDArray[np.int64]
    _over_long_in_block: NDArray[np.int64]

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

        self.over_long_log: OverLongLog | None = None
        """Is told what was too long, where it is set."""

        if rank == 0:
            names = [source.name for source in mixture.sources]

            self.over_long_log = OverLongLog(names, maker.max_seq_len, cropped=maker.crop)

        self.reset()

    @override
    def reset(self) -> None:
        zeros = [0] * len(self._mixture.sources)

        self.load_state_dict({"block": 0, "batch": 0, "drawn": zeros, "over_long": zeros})

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

        if self.over_long_log is not None:
            self.over_long_log.tell(self.drawn, self.over_long)

        return draws[self._rank :: self._world_size]

    @property
    def drawn(self) -> list[int]:
        """The number of examples drawn from each source, those of the present block included."""
        return cast(list[int], (self._drawn + self._drawn_in_block).tolist())

    @property
    def over_long(self) -> list[int]:
        """The number of examples of each source that were too long, those of the present block included."""
        return cast(list[int], (self._over_long + self._over_long_in_block).tolist())

    @property
    def epochs(self) -> list[float]:
        """How often the rows of each source have been read: 0.5 is a half of them, 2 is each of them twice."""
        share = self._batch / len(self._batches) if self._batches else 0.0

        sizes = [len(source) for source in self._mixture.sources]

        return cast(list[float], ((self._drawn + share * self._drawn_in_block) / sizes).tolist())

    def _next_draws(self) -> list[Draw]:
        if self._batches is None:
            self._batches = self._make_block()

        while self._batch >= len(self._batches):
            self._drawn = self._drawn + self._drawn_in_block

            self._over_long = self._over_long + self._over_long_in_block

            self._block += 1
            self._batch = 0
            self._batches = self._make_block()

        self._batch += 1

        return self._batches[self._batch - 1]

    def _make_block(self) -> list[list[Draw]]:
        draws = self._mixture.draw(self._block, self._block_size, self._drawn.tolist())

        plan = self._maker.plan([(self._mixture.sources[source], i) for source, i in draws])

        num_sources = len(self._mixture.sources)

        sources = np.array([source for source, _ in draws])

        self._drawn_in_block = np.bincount(sources, minlength=num_sources)

        self._over_long_in_block = np.bincount(sources[plan.over_long], minlength=num_sources)

        order = np.random.default_rng((self._mixture.seed, 2, self._block)).permutation(len(plan.batches))

        return [plan.batches[i] for i in order]

    @override
    def state_dict(self) -> dict[str, object]:
        return {
            "block": self._block,
            "batch": self._batch,
            "drawn": self._drawn.tolist(),
            "over_long": self._over_long.tolist(),
        }

    @override
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """
        :raises ValueError: the state is of another mixture.
        """
        state = cast(dict[str, Any], state_dict)

        num_sources = len(self._mixture.sources)

        if len(state["drawn"]) != num_sources:
            raise ValueError(f"The state has {len(state['drawn'])} sources, but the mixture has {num_sources}.")

        self._block, self._batch = int(state["block"]), int(state["batch"])

        self._drawn, self._over_long = np.array(state["drawn"]), np.array(state["over_long"])

        self._drawn_in_block = self._over_long_in_block = np.zeros(num_sources, dtype=np.int64)

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

        plan = maker.plan(draws, purpose="to validate on")

        if -(-len(plan.batches) // world_size) * world_size <= sum(map(len, plan.batches)):
            plan = maker.plan(draws, multiple=world_size)

        if plan.over_long and rank == 0:
            what = describe_over_long(len(draws), len(plan.over_long), maker.max_seq_len, cropped=maker.crop)

            log.warning("To validate '{}': {}.", sources[0].name, what)

        batches = [[maker.make(batch)] for batch in plan.batches[rank::world_size]]

        # All ranks must take part in the same number of steps.
        self._batches = batches + [[] for _ in range(-(-len(plan.batches) // world_size) - len(batches))]

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
