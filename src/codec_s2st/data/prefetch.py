"""Reads batches that other processes have prepared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from fairseq2.datasets import DataReader
from typing_extensions import Self, override

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.data.reader import MixtureReader
from codec_s2st.data.workers import WorkerPool


@dataclass(frozen=True)
class _Step:
    batches: list[SpeechTextBatch]

    state: dict[str, object]
    """The reader's, after these batches."""

    drawn: list[int]

    over_long: list[int]

    epochs: list[float]


@final
class _StepProducer:
    def __init__(self, reader: MixtureReader) -> None:
        self._reader = reader

    def begin(self) -> None:
        # The threads of the process that was forked are not in this one.
        torch.set_num_threads(1)

        # It may have been forked while another thread was about to write to the log. The steps tell it all.
        self._reader.over_long_log = None

    def make(self) -> _Step:
        batches = next(self._reader)

        return _Step(
            batches, self._reader.state_dict(), self._reader.drawn, self._reader.over_long, self._reader.epochs
        )

    def skip(self) -> None:
        self._reader.skip()


@final
class PrefetchReader(DataReader[SpeechTextBatch]):
    """Reads what a :class:`MixtureReader` does.

    The state is that of the batches which were handed out, whatever has been prepared beyond them: a run goes on at the
    same place with any number of workers, or without.
    """

    def __init__(self, reader: MixtureReader, *, num_workers: int, num_prefetch: int) -> None:
        """
        :param num_prefetch: The number of steps that each worker keeps ready.
        """
        self._reader = reader
        self._num_workers = num_workers
        self._num_prefetch = num_prefetch

        self._state = reader.state_dict()

        self._epochs = reader.epochs

        self._pool: WorkerPool[_Step] | None = None

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[SpeechTextBatch]:
        if self._pool is None:
            self._pool = WorkerPool(_StepProducer(self._reader), self._num_workers, self._num_prefetch)

        step = next(self._pool)

        self._state, self._epochs = step.state, step.epochs

        if self._reader.over_long_log is not None:
            self._reader.over_long_log.tell(step.drawn, step.over_long)

        return step.batches

    @property
    def epochs(self) -> list[float]:
        """How often the rows of each source have been handed out."""
        return self._epochs

    @override
    def reset(self) -> None:
        self.close()

        self._reader.reset()

        self._state = self._reader.state_dict()

    @override
    def state_dict(self) -> dict[str, object]:
        return self._state

    @override
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """
        :raises ValueError: the state is of another mixture.
        """
        self.close()

        self._reader.load_state_dict(state_dict)

        self._state = self._reader.state_dict()

    def close(self) -> None:
        """Ends the workers; they begin again, at the present state, when the next batches are asked for."""
        if self._pool is not None:
            self._pool.close()

            self._pool = None

            self._reader.load_state_dict(self._state)

    @property
    @override
    def num_accumulate(self) -> int:
        return self._reader.num_accumulate
