"""Manifests that may be larger than memory, written a piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from codec_s2st.data.files import atomic_path
from codec_s2st.data.manifest import MANIFEST_SCHEMA


@contextmanager
def open_manifest_writer(file: Path, schema: pl.Schema = MANIFEST_SCHEMA) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Yields a function that appends rows to the manifest ``file``, which appears when the body has ended well.

    The rows have the columns of ``schema``; they are not checked. Equal pieces give equal bytes.

    :raises UserInputError: ``file`` cannot be written.
    """
    arrow_schema = _to_arrow(pl.DataFrame(schema=schema)).schema

    with (
        atomic_path(file) as temporary,
        pq.ParquetWriter(temporary, arrow_schema, compression="zstd", write_page_checksum=True) as writer,
    ):

        def append(frame: pl.DataFrame) -> None:
            # A row group without rows is refused by who reads it.
            if len(frame):
                writer.write_table(_to_arrow(frame.select(schema.names())).cast(arrow_schema))

        yield append


def _to_arrow(frame: pl.DataFrame) -> Any:
    # Old readers of parquet do not know the newest kinds of strings.
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
