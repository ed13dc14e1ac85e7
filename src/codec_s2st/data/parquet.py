"""Parquet files with checksums, read one row group at a time, so that a fault can be located."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from codec_s2st.data.files import atomic_path, read_retrying
from codec_s2st.errors import UserInputError

T = TypeVar("T")


class DamagedFileError(UserInputError):
    """A file, or a row group of it, is not as it was written."""


class ParquetReader:
    """A parquet file, open for reading. pyarrow has no types, so a table is ``Any`` to the type checker."""

    def __init__(self, path: Path) -> None:
        """
        :raises UserInputError: ``path`` does not exist.
        :raises DamagedFileError: it is not parquet, or is cut short.
        """
        self.path = path

        self._is_stale = False

        try:
            self._file = read_retrying(path, lambda: _open(path))
        except (pa.ArrowException, OSError, ValueError) as ex:
            raise DamagedFileError(f"{path} is not a readable parquet file: {_first_line(ex)}") from None

    @property
    def schema(self) -> Any:
        """The ``pyarrow.Schema``, with its metadata."""
        return self._file.schema_arrow

    @property
    def num_rows(self) -> int:
        return int(self._file.metadata.num_rows)

    @property
    def num_row_groups(self) -> int:
        return int(self._file.metadata.num_row_groups)

    def row_groups(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yields one ``pyarrow.RecordBatch`` a row group.

        :raises DamagedFileError: a page is damaged; file and row group are named.
        """
        # pyarrow writes an empty table as one row group without rows.
        for idx in range(self.num_row_groups if self.num_rows else 0):
            yield self.row_group(idx, columns)

    def row_group(self, idx: int, columns: Sequence[str]) -> Any:
        try:
            table = self._read(lambda file: file.read_row_group(idx, columns=list(columns), use_threads=False))

            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError) as ex:
            raise DamagedFileError(f"{self.path}, row group {idx}: is damaged: {_first_line(ex)}") from None

        if table.num_rows == 0:
            raise DamagedFileError(f"{self.path}, row group {idx}: holds no rows")

        return table.combine_chunks().to_batches()[0]

    def _read(self, read: Callable[[Any], T]) -> T:
        """Reads from the file, again if the file system fails; then anew, because a handle may have gone stale."""

        def attempt() -> T:
            if self._is_stale:
                self._file, self._is_stale = _open(self.path), False

            try:
                return read(self._file)
            except OSError as ex:
                # An error without a number is the file's own.
                self._is_stale = ex.errno is not None

                raise

        return read_retrying(self.path, attempt)

    def batches(self, columns: Sequence[str], num_rows: int) -> Iterator[Any]:
        """Yields record batches of at most ``num_rows`` rows, however large the row groups are.

        :raises DamagedFileError: a page is damaged.
        """
        batches = self._file.iter_batches(num_rows, columns=list(columns), use_threads=False)

        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as ex:
                raise DamagedFileError(f"{self.path} is damaged: {_first_line(ex)}") from None

            if batch is None:
                return

            yield batch

    def close(self) -> None:
        self._file.close()


def _open(path: Path) -> Any:
    # Not memory-mapped: a file cut short while it is mapped kills the process with SIGBUS.
    return pq.ParquetFile(path, page_checksum_verification=True)


def read_table(path: Path) -> Any:
    """Reads a whole file as a ``pyarrow.Table``.

    :raises UserInputError: see :class:`ParquetReader`.
    """
    reader = ParquetReader(path)

    try:
        return pa.Table.from_batches(list(reader.row_groups(reader.schema.names)), schema=reader.schema)
    finally:
        reader.close()


def write_table(
    table: Any,
    path: Path,
    *,
    compression: str | dict[str, str] = "zstd",
    use_dictionary: bool | list[str] = True,
    rows_per_group: int | None = None,
) -> None:
    """Writes a ``pyarrow.Table`` atomically, with a checksum a page; equal tables give equal bytes.

    :raises UserInputError: ``path`` cannot be written.
    """
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression=compression,
            use_dictionary=use_dictionary,
            row_group_size=rows_per_group,
            write_page_checksum=True,
        )


def _first_line(ex: BaseException) -> str:
    lines = str(ex).strip().splitlines()

    return lines[0] if lines else type(ex).__name__
