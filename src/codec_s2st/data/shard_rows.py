"""The rows of a row group of a token shard, in memory. Legend: T codec frame, Q stream, N row of the group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec_s2st.data.alignment import AlignedSpan, Alignment
from codec_s2st.data.shard_format import Codes, ShardRow, Side


@dataclass(frozen=True, slots=True)
class SideCodes:
    """The codes of one side of the rows."""

    codes: Codes
    """``[sum of T, Q]``: the frames of all rows, one after the other."""

    starts: NDArray[np.int64]
    """``[N + 1]``: row i holds the frames from ``starts[i]`` to ``starts[i + 1]``, none if it has no codes."""

    def of(self, idx: int, num_streams: int | None = None) -> Codes | None:
        """Returns the codes of a row in the first ``num_streams`` code books, in all if ``None``."""
        start, end = self.starts[idx], self.starts[idx + 1]

        return self.codes[start:end, :num_streams] if end > start else None

    @property
    def num_bytes(self) -> int:
        return self.codes.nbytes + self.starts.nbytes


@dataclass(frozen=True, slots=True)
class SideLabels:
    """What one side of the rows holds beside codes; absent values are ``None``."""

    texts: list[str | None]
    langs: list[str | None]
    speakers: list[str | None]

    alignments: Any = None
    """The ``pyarrow.ListArray`` of alignments, where the shard has any."""

    cuts: list[tuple[float, float] | None] | None = None
    """The seconds cut off begin and end, where the shard has any."""

    def side(self, idx: int, codes: Codes | None) -> Side:
        alignment = None if self.alignments is None else _parse_alignment(self.alignments[idx].as_py())

        trimmed = None if self.cuts is None else self.cuts[idx]

        return Side(codes, self.texts[idx], self.langs[idx], self.speakers[idx], alignment, trimmed)


@dataclass(frozen=True, slots=True)
class RowLabels:
    """The rows without their codes."""

    ids: list[str]
    splits: list[str]
    source: SideLabels
    target: SideLabels

    num_bytes: int
    """About what they take in memory."""

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, idx: int, source_codes: Codes | None, target_codes: Codes | None) -> ShardRow:
        return ShardRow(
            self.ids[idx],
            self.splits[idx],
            self.source.side(idx, source_codes),
            self.target.side(idx, target_codes),
        )


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The rows."""

    labels: RowLabels
    source: SideCodes
    target: SideCodes

    def __len__(self) -> int:
        return len(self.labels)

    def row(self, idx: int) -> ShardRow:
        return self.labels.row(idx, self.source.of(idx), self.target.of(idx))

    def rows(self) -> Iterator[ShardRow]:
        return (self.row(idx) for idx in range(len(self)))


def _parse_alignment(spans: list[dict[str, Any]] | None) -> Alignment | None:
    return None if spans is None else tuple(AlignedSpan(span["text"], span["begin"], span["end"]) for span in spans)
