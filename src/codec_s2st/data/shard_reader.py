"""Reads and checks one token shard. Legend: T codec frame, Q stream, N row of a row group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codec_s2st.data.parquet import DamagedFileError, ParquetReader
from codec_s2st.data.shard_checks import Refuse, check_alignments, check_codes, to_numpy
from codec_s2st.data.shard_format import (
    ALIGNMENT_COLUMNS,
    SIDES,
    STRING_FIELDS,
    TRIM_ENDS,
    ShardMetadata,
    parse_metadata,
    shard_schema,
)
from codec_s2st.data.shard_rows import RowGroup, RowLabels, SideCodes, SideLabels
from codec_s2st.errors import UserInputError


@dataclass(frozen=True)
class SideOutline:
    """What is to be known of one side of the rows before one is read."""

    num_frames: NDArray[np.int32]
    """0 where a row has no codes. *Shape:* [N]."""

    has_text: NDArray[np.bool_]
    """*Shape:* [N]."""

    has_alignment: NDArray[np.bool_]
    """*Shape:* [N]."""


@dataclass(frozen=True)
class Outline:
    """What is to be known of the rows of a row group before one is read."""

    split_names: list[str]

    splits: NDArray[np.int32]
    """The place in ``split_names`` of each row's split. *Shape:* [N]."""

    source: SideOutline
    target: SideOutline

    def __len__(self) -> int:
        return len(self.splits)


class ShardReader:
    """A token shard, open for reading. Its row groups are counted from 0."""

    def __init__(self, path: Path) -> None:
        """
        :raises UserInputError: ``path`` is not a token shard.
        :raises DamagedFileError: it is not whole.
        """
        self.path = path

        self._reader = ParquetReader(path)

        schema = self._reader.schema

        self.metadata: ShardMetadata = parse_metadata(path, schema.metadata)

        aligned = any(name in schema.names for name in ALIGNMENT_COLUMNS)

        trimmed = any(name.endswith(f"_trimmed_{end}") for name in schema.names for end in TRIM_ENDS)

        wanted = shard_schema(self.metadata.fingerprint, {}, aligned=aligned, trimmed=trimmed)

        for field in wanted:
            if (actual := schema.field(field.name) if field.name in schema.names else None) is None:
                raise UserInputError(f"{path}, column '{field.name}': missing")

            if not _same_type(actual.type, field.type):
                raise UserInputError(f"{path}, column '{field.name}': holds {actual.type}, must hold {field.type}")

        num_rows = self.metadata.provenance.get("num_rows")

        # An empty shard is one whose utterances are all quarantined, and says so itself.
        if num_rows != self._reader.num_rows:
            raise DamagedFileError(f"{path} holds {self._reader.num_rows} rows, but was written with {num_rows}")

        self.num_rows: int = self._reader.num_rows

        # pyarrow writes an empty table as one row group without rows.
        self.num_row_groups: int = self._reader.num_row_groups if self.num_rows else 0

        self._labels = [name for name in wanted.names if not name.endswith("_codes")]

    def read_outline(self, idx: int) -> Outline:
        """
        :raises DamagedFileError: file and row group are named.
        """
        # The footer would say where texts are, but pyarrow aborts the process over one with a flipped bit.
        wanted = [f"{side}_{name}" for side in SIDES for name in ("num_frames", "text", "alignment")]

        batch = self._reader.row_group(idx, ["split", *(name for name in wanted if name in self._labels)])

        self._refuse_null(idx, batch, "split")

        def is_valid(name: str) -> NDArray[np.bool_]:
            if name not in self._labels:
                return np.zeros(len(batch), dtype=np.bool_)

            valid: NDArray[np.bool_] = to_numpy(batch.column(name).is_valid())

            return valid

        sides = [
            SideOutline(
                to_numpy(pc.fill_null(batch.column(f"{side}_num_frames"), 0)),
                is_valid(f"{side}_text"),
                is_valid(f"{side}_alignment"),
            )
            for side in SIDES
        ]

        splits = batch.column("split").dictionary_encode()

        return Outline(splits.dictionary.to_pylist(), to_numpy(splits.indices), sides[0], sides[1])

    def read_labels(self, idx: int) -> RowLabels:
        """Reads and checks the rows of a row group, but for their codes.

        :raises DamagedFileError: file, row group and, where there is one, utterance are named.
        """
        batch = self._reader.row_group(idx, self._labels)

        for name in ("id", "split"):
            self._refuse_null(idx, batch, name)

        source, target = (self._read_side(idx, batch, side) for side in SIDES)

        # A string has 49 bytes beside its characters.
        num_bytes = batch.nbytes + 49 * sum(len(batch) - batch.column(name).null_count for name in self._labels)

        return RowLabels(batch.column("id").to_pylist(), batch.column("split").to_pylist(), source, target, num_bytes)

    def _read_side(self, idx: int, batch: Any, side: str) -> SideLabels:
        text = batch.column(f"{side}_text")

        is_blank = to_numpy(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), False))

        self._refuse(idx, f"{side}_text")(is_blank, "is blank; absent values are null")

        alignments = cuts = None

        if f"{side}_alignment" in self._labels:
            alignments = batch.column(f"{side}_alignment")

            check_alignments(alignments, batch.column(f"{side}_num_frames"), self._refuse(idx, f"{side}_alignment"))

        if f"{side}_trimmed_begin" in self._labels:
            ends = zip(*(batch.column(f"{side}_trimmed_{end}").to_pylist() for end in TRIM_ENDS), strict=True)

            cuts = [None if None in cut else cut for cut in ends]

        strings = [batch.column(f"{side}_{name}").to_pylist() for name in STRING_FIELDS]

        return SideLabels(strings[0], strings[1], strings[2], alignments, cuts)

    def read_codes(self, idx: int, side: str) -> SideCodes:
        """Reads and checks the codes of one side ("source" or "target") of a row group.

        :raises DamagedFileError: file, row group and, where there is one, utterance are named.
        """
        batch = self._reader.row_group(idx, [f"{side}_codes", f"{side}_num_frames"])

        codes, num_frames = batch.column(f"{side}_codes"), batch.column(f"{side}_num_frames")

        return check_codes(codes, num_frames, self.metadata.fingerprint, self._refuse(idx, f"{side}_codes"))

    def row_groups(self) -> Iterator[RowGroup]:
        """Reads and checks the row groups, one after the other.

        :raises DamagedFileError: file, row group and, where there is one, utterance are named.
        """
        for idx in range(self.num_row_groups):
            yield RowGroup(self.read_labels(idx), self.read_codes(idx, "source"), self.read_codes(idx, "target"))

    def count_frames(self) -> int:
        """Returns the number of codec frames of all rows, both sides together."""
        total = 0

        for batch in self._reader.row_groups([f"{side}_num_frames" for side in SIDES]):
            total += sum(pc.sum(column).as_py() or 0 for column in batch.columns)

        return total

    def count_trimmed_seconds(self) -> float:
        """Returns the seconds of silence that were cut off the recordings of all rows."""
        names = [name for name in self._labels if name.endswith(tuple(f"_trimmed_{end}" for end in TRIM_ENDS))]

        total = 0.0

        for batch in self._reader.row_groups(names) if names else ():
            total += sum(pc.sum(column).as_py() or 0.0 for column in batch.columns)

        return total

    def close(self) -> None:
        self._reader.close()

    def _refuse_null(self, idx: int, batch: Any, name: str) -> None:
        if batch.column(name).null_count:
            raise DamagedFileError(f"{self.path}, row group {idx}, column '{name}': is null")

    def _refuse(self, idx: int, column: str) -> Refuse:
        def refuse(bad: NDArray[np.bool_], reason: str) -> None:
            if bad.any():
                id_ = self._reader.row_group(idx, ["id"]).column(0)[int(bad.argmax())]

                raise DamagedFileError(f"{self.path}, row group {idx}, utterance '{id_}': {column} {reason}")

        return refuse


def _same_type(actual: Any, wanted: Any) -> bool:
    if pa.types.is_list(wanted):
        # Other writers name the element differently, or let it be null: null codes are found later, with their row.
        return bool(pa.types.is_list(actual) and actual.value_type == wanted.value_type)

    return bool(actual == wanted)
