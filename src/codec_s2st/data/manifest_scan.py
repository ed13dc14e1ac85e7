"""Manifests that may be larger than memory, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from codec_s2st.data.manifest import manifest_path, schema_with, typed
from codec_s2st.data.parquet import ParquetReader
from codec_s2st.errors import UserInputError

_ROWS_PER_PIECE: Final = 1 << 16


def scan_schema(path: Path) -> pl.Schema:
    """Returns the columns of a manifest: those of ``MANIFEST_SCHEMA``, and alignments if it has any.

    :raises UserInputError: there is no such file, or it is damaged.
    """
    reader = ParquetReader(manifest_path(path))

    try:
        return schema_with(reader.schema.names)
    finally:
        reader.close()


def scan_manifest(path: Path, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """Yields the rows of the manifest at ``path``, a file or its folder, in their order.

    Columns are checked here. Rows are not: a manifest of :func:`write_manifest` has been checked whole, and whatever
    trains or tokenizes reads it with :func:`read_manifest`.

    :param columns: By default all of :func:`scan_schema`.
    :raises UserInputError: there is no such file, it is damaged, or columns are missing or of other types.
    """
    file = manifest_path(path)

    reader = ParquetReader(file)

    schema = schema_with(reader.schema.names)

    columns = schema.names() if columns is None else columns

    try:
        for name in columns:
            if name not in reader.schema.names:
                raise UserInputError(f"manifest {file}, column '{name}': missing")

        for batch in reader.batches(columns, _ROWS_PER_PIECE):
            frame = pl.DataFrame(batch)

            try:
                yield frame.select(typed(name, schema[name]) for name in columns)
            except pl.exceptions.PolarsError as ex:
                raise UserInputError(f"manifest {file} holds values that cannot be read: {ex}") from None
    finally:
        reader.close()
