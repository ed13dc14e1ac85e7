"""The order of a corpus in an epoch: random, yet read in pieces. Legend: G row group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """Where the rows of a corpus lie in the row groups of its shards, of which each is read as a whole."""

    bounds: NDArray[np.int64]
    """Row group g holds the rows from ``bounds[g]`` to ``bounds[g + 1]`` of the corpus, none if these are equal.
    *Shape:* [G + 1]."""

    num_bytes: NDArray[np.int64]
    """What a row group takes in memory, rows of other corpora included. *Shape:* [G]."""

    def __len__(self) -> int:
        return int(self.bounds[-1])


@final
class EpochOrder:
    """The rows of a corpus in the order of one epoch, each once.

    The row groups are shuffled and gathered to windows of ``max_bytes``; the rows of a window are shuffled together.
    So whoever reads in this order needs one window in memory and reads every row group once an epoch, while a corpus
    that fits into one window is shuffled as a whole. A window is made when it is asked for: any place in the epoch is
    reached at once.
    """

    def __init__(self, layout: Layout, key: tuple[int, ...], max_bytes: int) -> None:
        """
        :param key: The seed; the order is a function of it and of ``layout`` and ``max_bytes``.
        """
        self._key = key

        self._size = len(layout)

        # A corpus may have rows in few of the row groups.
        used = np.flatnonzero(np.diff(layout.bounds))

        self._is_whole = int(layout.num_bytes[used].sum()) <= max_bytes

        groups = used if self._is_whole else np.random.default_rng(key).permutation(used)

        self._begins, ends = layout.bounds[groups], layout.bounds[groups + 1]

        self._counts = ends - self._begins

        num_bytes = layout.num_bytes[groups]

        # A group is of the window in which it begins.
        windows = np.zeros_like(groups) if self._is_whole else (np.cumsum(num_bytes) - num_bytes) // max_bytes

        # The first group of each window, and where its rows begin in the epoch.
        self._first_groups = np.append(np.flatnonzero(np.diff(windows, prepend=-1)), len(groups))

        self._starts = np.append(0, np.cumsum(self._counts))[self._first_groups]

        self._window = -1

        self._rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self._size

    @property
    def num_windows(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, place: int) -> int:
        """Returns the row that comes at ``place``, counted from 0.

        :raises IndexError: the epoch has no such place.
        """
        if not 0 <= place < self._size:
            raise IndexError(f"`place` must be between 0 and {self._size - 1}, but is {place} instead.")

        window = int(np.searchsorted(self._starts, place, side="right")) - 1

        if window != self._window:
            self._rows = self._shuffle(window)
            self._window = window

        return int(self._rows[place - self._starts[window]])

    def _shuffle(self, window: int) -> NDArray[np.int64]:
        if self._is_whole:
            return np.random.default_rng(self._key).permutation(self._size)

        groups = slice(self._first_groups[window], self._first_groups[window + 1])

        counts, begins = self._counts[groups], self._begins[groups]

        # The ranges of rows, one after the other.
        rows = np.repeat(begins - np.append(0, np.cumsum(counts)[:-1]), counts) + np.arange(counts.sum())

        return np.random.default_rng((*self._key, window)).permutation(rows)
