"""Reads and checks one token shard. Legend: T codec frame, Q stream, N row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codec_s2st.data.alignment import AlignedSpan, Alignment
from codec_s2st.data.parquet import ParquetReader
from codec_s2st.data.shard_format import (
    ALIGNMENT_COLUMNS,
    SIDES,
    STRING_FIELDS,
    TRIM_ENDS,
    Codes,
    ShardMetadata,
    ShardRow,
    Side,
    parse_metadata,
    shard_schema,
)
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint


@dataclass(frozen=True, slots=True)
class SideColumns:
    """One side of the rows of a row group."""

    codes: Codes
    """``[sum of T, Q]``: the frames of all rows, one after the other."""

    starts: list[int]
    """``N + 1`` places in ``codes``; row i holds the frames from ``starts[i]`` to ``starts[i + 1]``, none if null."""

    strings: tuple[Any, Any, Any]
    """The ``pyarrow.StringArray`` of text, language and speaker."""

    alignments: Any = None
    """The ``pyarrow.ListArray`` of alignments, where the shard has any."""

    cuts: tuple[Any, Any] | None = None
    """The ``pyarrow.FloatArray`` of the seconds cut off begin and end, where the shard has any."""

    def has_alignment(self) -> NDArray[np.bool_]:
        if self.alignments is None:
            return np.zeros(len(self.starts) - 1, dtype=np.bool_)

        return cast("NDArray[np.bool_]", _to_numpy(self.alignments.is_valid()))

    def side(self, idx: int, num_streams: int | None) -> Side:
        start, end = self.starts[idx], self.starts[idx + 1]

        text, lang, speaker = self.strings

        return Side(
            self.codes[start:end, :num_streams] if end > start else None,
            text[idx].as_py(),
            lang[idx].as_py(),
            speaker[idx].as_py(),
            None if self.alignments is None else _parse_alignment(self.alignments[idx].as_py()),
            self._trimmed(idx),
        )

    def _trimmed(self, idx: int) -> tuple[float, float] | None:
        if self.cuts is None or not all(column[idx].is_valid for column in self.cuts):
            return None

        begin, end = (column[idx].as_py() for column in self.cuts)

        return begin, end


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The rows of one row group, in memory."""

    ids: Any
    splits: Any
    source: SideColumns
    target: SideColumns

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, idx: int, num_streams: int | None = None) -> ShardRow:
        """Returns a row with the codes of the first ``num_streams`` code books, of all if ``None``."""
        return ShardRow(
            self.ids[idx].as_py(),
            self.splits[idx].as_py(),
            self.source.side(idx, num_streams),
            self.target.side(idx, num_streams),
        )

    def rows(self) -> Iterator[ShardRow]:
        return (self.row(idx) for idx in range(len(self)))


class ShardReader:
    """A token shard, open for reading."""

    def __init__(self, path: Path) -> None:
        """
        :raises UserInputError: ``path`` is not a whole token shard.
        """
        self.path = path

        self._reader = ParquetReader(path)

        schema = self._reader.schema

        self.metadata: ShardMetadata = parse_metadata(path, schema.metadata)

        aligned = any(name in schema.names for name in ALIGNMENT_COLUMNS)

        trimmed = any(name.endswith(f"_trimmed_{end}") for name in schema.names for end in TRIM_ENDS)

        self._wanted = shard_schema(self.metadata.fingerprint, {}, aligned=aligned, trimmed=trimmed)

        for field in self._wanted:
            if (actual := schema.field(field.name) if field.name in schema.names else None) is None:
                raise UserInputError(f"{path}, column '{field.name}': missing")

            if not _same_type(actual.type, field.type):
                raise UserInputError(f"{path}, column '{field.name}': holds {actual.type}, must hold {field.type}")

        num_rows = self.metadata.provenance.get("num_rows")

        # An empty shard is one whose utterances are all quarantined, and says so itself.
        if num_rows != self._reader.num_rows:
            raise UserInputError(f"{path} holds {self._reader.num_rows} rows, but was written with {num_rows}")

        self.num_rows: int = self._reader.num_rows

    def row_groups(self) -> Iterator[RowGroup]:
        """Reads and checks the row groups, one after the other.

        :raises UserInputError: file, row group and, where there is one, utterance are named.
        """
        for idx, batch in enumerate(self._reader.row_groups(self._wanted.names)):
            yield _read_row_group(f"{self.path}, row group {idx}", batch, self.metadata.fingerprint)

    def count_frames(self) -> int:
        """Returns the number of codec frames of all rows, both sides together."""
        total = 0

        for batch in self._reader.row_groups([f"{side}_num_frames" for side in SIDES]):
            total += sum(pc.sum(column).as_py() or 0 for column in batch.columns)

        return total

    def close(self) -> None:
        self._reader.close()


def _read_row_group(where: str, batch: Any, fingerprint: CodecFingerprint | None) -> RowGroup:
    for name in ("id", "split"):
        if batch.column(name).null_count:
            raise UserInputError(f"{where}, column '{name}': is null")

    source, target = (_read_side(where, batch, side, fingerprint) for side in SIDES)

    # A string array stays valid only with its own buffers: slices of the batch keep them alive.
    return RowGroup(batch.column("id"), batch.column("split"), source, target)


def _read_side(where: str, batch: Any, side: str, fingerprint: CodecFingerprint | None) -> SideColumns:
    column, num_frames = batch.column(f"{side}_codes"), batch.column(f"{side}_num_frames")

    strings = tuple(batch.column(f"{side}_{name}") for name in STRING_FIELDS)

    def refuse(bad: NDArray[np.bool_], reason: str, what: str = "codes") -> None:
        if bad.any():
            id_ = batch.column("id")[int(bad.argmax())]

            raise UserInputError(f"{where}, utterance '{id_}': {side}_{what} {reason}")

    num_streams = 1 if fingerprint is None else len(fingerprint.codebook_sizes)

    is_null = _to_numpy(pc.is_null(column))

    if fingerprint is None:
        refuse(~is_null, "hold codes, but the shard names no codec")

    # [N]; null lists and null frame counts as -1.
    lengths = _to_numpy(pc.fill_null(pc.list_value_length(column), -1)).astype(np.int64)

    frames = _to_numpy(pc.fill_null(num_frames, -1)).astype(np.int64)

    refuse(is_null & (frames >= 0), f"are null, but {side}_num_frames is not")
    refuse(~is_null & (frames < 0), f"are there, but {side}_num_frames is null")
    refuse(~is_null & (lengths == 0), "are empty")
    refuse(~is_null & (lengths % num_streams != 0), f"are no multiple of {num_streams} code books")
    refuse(~is_null & (lengths != frames * num_streams), f"disagree with {side}_num_frames")

    # `flatten` skips whatever lies behind null lists, so that the offsets are the lengths' running sums.
    values = column.flatten()

    if values.null_count:
        refuse(_rows_with(lengths, np.flatnonzero(_to_numpy(pc.is_null(values)))), "hold a null code")

    codes = _to_numpy(values).reshape(-1, num_streams)

    if fingerprint is not None and len(codes):
        for idx, size in enumerate(fingerprint.codebook_sizes):
            stream = codes[:, idx]

            if stream.min() < 0 or stream.max() >= size:
                flat = np.flatnonzero((stream < 0) | (stream >= size)) * num_streams

                refuse(_rows_with(lengths, flat), f"leave code book {idx} of size {size}")

    starts = np.concatenate([[0], np.cumsum(np.maximum(lengths, 0) // num_streams)])

    alignments = None

    if f"{side}_alignment" in batch.schema.names:
        alignments = batch.column(f"{side}_alignment")

        _check_alignments(alignments, frames, lambda bad, reason: refuse(bad, reason, "alignment"))

    cuts = None

    if f"{side}_trimmed_begin" in batch.schema.names:
        cuts = batch.column(f"{side}_trimmed_begin"), batch.column(f"{side}_trimmed_end")

    return SideColumns(codes, starts.tolist(), (strings[0], strings[1], strings[2]), alignments, cuts)


def _check_alignments(column: Any, frames: NDArray[np.int64], refuse: Callable[[NDArray[np.bool_], str], None]) -> None:
    """
    :param frames: The number of frames of each row, below 1 where it has no codes. *Shape:* [N].
    """
    # [N]; null lists as 0.
    lengths = _to_numpy(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)

    refuse(_to_numpy(column.is_valid()) & (frames < 1), "is there, but codes are not")
    refuse(_to_numpy(column.is_valid()) & (lengths == 0), "is empty")

    texts, begins, ends = column.flatten().flatten()

    absent = _to_numpy(pc.or_(texts.is_null(), pc.or_(begins.is_null(), ends.is_null())))

    refuse(_rows_with(lengths, np.flatnonzero(absent)), "holds a span without text, begin or end")

    begin, end = (_to_numpy(pc.fill_null(values, 0)) for values in (begins, ends))

    rows = np.repeat(np.arange(len(lengths)), lengths)

    # The begin of the span before, in the same row.
    last = np.where(np.append(-1, rows)[:-1] == rows, np.append(0, begin)[:-1], 0)

    bad = (begin < last) | (end < begin) | (end > frames[rows])

    refuse(_rows_with(lengths, np.flatnonzero(bad)), "holds spans that are not in order within its frames")


def _parse_alignment(spans: list[dict[str, Any]] | None) -> Alignment | None:
    return None if spans is None else tuple(AlignedSpan(span["text"], span["begin"], span["end"]) for span in spans)


def _rows_with(lengths: NDArray[np.int64], flat: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns which of the lists hold one of the flat positions."""
    ends = np.cumsum(np.maximum(lengths, 0))

    found = np.zeros(len(lengths), dtype=np.bool_)

    found[np.searchsorted(ends, flat, side="right")] = True

    return found


def _same_type(actual: Any, wanted: Any) -> bool:
    if pa.types.is_list(wanted):
        # Other writers name the element differently, or let it be null: null codes are found later, with their row.
        return bool(pa.types.is_list(actual) and actual.value_type == wanted.value_type)

    return bool(actual == wanted)


def _to_numpy(array: Any) -> Any:
    return array.to_numpy(zero_copy_only=isinstance(array, pa.Int16Array | pa.Int32Array) and not array.null_count)
