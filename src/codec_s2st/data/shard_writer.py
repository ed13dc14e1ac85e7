"""Writes token shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codec_s2st.data.parquet import write_table
from codec_s2st.data.shard_format import (
    SIDES,
    STRING_FIELDS,
    TRIM_ENDS,
    Quarantined,
    ShardRow,
    Side,
    shard_schema,
)
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint

ROWS_PER_GROUP: Final = 1024
"""The largest number of rows of a row group, the unit in which a shard is read."""

CODES_PER_GROUP: Final = 1 << 19
"""About the largest number of codes of one side in a row group. With fewer, the dictionaries of the groups take up what
packing gains; with more, whoever wants one row reads more than a megabyte for it."""


def write_shard(
    path: Path,
    rows: Iterable[ShardRow],
    fingerprint: CodecFingerprint | None,
    provenance: Mapping[str, object],
    *,
    quarantined: Sequence[Quarantined] = (),
) -> None:
    """Writes ``rows`` atomically; equal input gives equal bytes.

    :param fingerprint: the codec that made the codes; a shard without codes carries none.
    :param provenance: how the shard was made, as JSON values; ``num_rows`` is added.
    :param quarantined: the rows that were left out.
    :raises ValueError: codes do not fit ``fingerprint``.
    :raises UserInputError: ``path`` cannot be written, or the codes are too many for one shard.
    """
    rows = list(rows)

    if not any(side.codes is not None for row in rows for side in (row.source, row.target)):
        fingerprint = None

    aligned = any(side.alignment is not None for row in rows for side in (row.source, row.target))

    trimmed = any(side.trimmed is not None for row in rows for side in (row.source, row.target))

    made_by = {**provenance, "num_rows": len(rows)}

    schema = shard_schema(fingerprint, made_by, quarantined, aligned=aligned, trimmed=trimmed)

    columns: list[Any] = [[row.id for row in rows], [row.split for row in rows]]

    for name in SIDES:
        sides: list[Side] = [getattr(row, name) for row in rows]

        for row, side in zip(rows, sides, strict=True):
            _check_codes(row.id, name, side, fingerprint)

        columns.append(_codes_array(path, sides, schema.field(f"{name}_codes").type))
        columns.append([None if side.codes is None else len(side.codes) for side in sides])
        columns.extend([getattr(side, field) for side in sides] for field in STRING_FIELDS)

    # Shards without alignments are as they were before there were any.
    if aligned:
        columns.extend([_spans(getattr(row, name)) for row in rows] for name in SIDES)

    if trimmed:
        for name in SIDES:
            cuts = [getattr(row, name).trimmed or (None, None) for row in rows]

            columns.extend([cut[end] for cut in cuts] for end in range(len(TRIM_ENDS)))

    table = pa.table(
        [
            column if isinstance(column, pa.Array) else pa.array(column, type=field.type)
            for column, field in zip(columns, schema, strict=True)
        ],
        schema=schema,
    )

    # Codes are close to random: dictionary pages pack them to their bits, and compressing these gains nothing.
    leaves = {f"{side}_codes.list.element": "none" for side in SIDES}

    names = [column for column in schema.names if not column.endswith("_codes")]

    write_table(
        table,
        path,
        compression={**dict.fromkeys(names, "zstd"), **leaves},
        rows_per_group=_rows_per_group(table),
    )


def _rows_per_group(table: Any) -> int:
    num_codes = max(pc.sum(pc.list_value_length(table.column(f"{side}_codes"))).as_py() or 0 for side in SIDES)

    # All row groups but the last are of one size: a writer of parquet takes no other wishes.
    return max(min(ROWS_PER_GROUP, CODES_PER_GROUP * len(table) // max(num_codes, 1)), 1)


def _spans(side: Side) -> list[dict[str, object]] | None:
    return None if side.alignment is None else [asdict(span) for span in side.alignment]


def _check_codes(id_: str, name: str, side: Side, fingerprint: CodecFingerprint | None) -> None:
    if side.codes is None:
        return

    if fingerprint is None:
        raise ValueError(f"`fingerprint` must be given for the {name} codes of utterance '{id_}'.")

    sizes = np.asarray(fingerprint.codebook_sizes)

    if side.codes.ndim != 2 or side.codes.shape[1] != len(sizes) or not len(side.codes):
        raise ValueError(
            f"The {name} codes of utterance '{id_}' must be of shape [T, {len(sizes)}] with T > 0, "
            f"but are of shape {list(side.codes.shape)} instead."
        )

    if side.codes.min() < 0 or (side.codes.max(axis=0) >= sizes).any():
        raise ValueError(f"The {name} codes of utterance '{id_}' do not fit the code books {sizes.tolist()}.")


def _codes_array(path: Path, sides: Sequence[Side], dtype: Any) -> Any:
    lengths = [0 if side.codes is None else side.codes.size for side in sides]

    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    if offsets[-1] > np.iinfo(np.int32).max:
        raise UserInputError(f"{path}: {offsets[-1]} codes are too many for one shard", hint="lower rows_per_shard")

    flat = [side.codes.reshape(-1) for side in sides if side.codes is not None]

    values = np.concatenate(flat) if flat else np.empty(0)

    return pa.ListArray.from_arrays(
        pa.array(offsets, type=pa.int32()),
        pa.array(values.astype(dtype.value_type.to_pandas_dtype())),
        type=dtype,
        mask=pa.array([side.codes is None for side in sides], type=pa.bool_()),
    )
