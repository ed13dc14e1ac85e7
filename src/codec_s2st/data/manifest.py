"""The manifest: one parquet row an utterance or a pair of utterances.

A row has a source side and a target side; what is absent is null. Audio paths are absolute, or relative to the
manifest's folder and then inside it; ``talk.opus#t=12.5,17.25`` is a stretch of a file. Languages are ISO 639-3
codes. Two further columns, with alignments, may be there. Rows are counted from 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import polars as pl

from codec_s2st.data.alignment import parse_spans
from codec_s2st.data.manifest_checks import check_manifest
from codec_s2st.data.manifest_row import SIDES as SIDES
from codec_s2st.data.manifest_row import ManifestRow as ManifestRow
from codec_s2st.data.parquet import read_table, write_table
from codec_s2st.errors import UserInputError

MANIFEST_FILE: Final = "manifest.parquet"

MANIFEST_SCHEMA: Final = pl.Schema(
    {
        "id": pl.String(),
        "split": pl.String(),
        **{
            f"{side}_{field}": pl.Float64() if field == "seconds" else pl.String()
            for side in SIDES
            for field in ("audio", "text", "lang", "speaker", "seconds")
        },
    }
)


ALIGNMENT_COLUMNS: Final = tuple(f"{side}_alignment" for side in SIDES)

ALIGNMENT_TYPE: Final = pl.List(pl.Struct({"text": pl.String(), "start": pl.Float64(), "end": pl.Float64()}))


def schema_with(columns: Collection[str]) -> pl.Schema:
    """Returns the columns that every manifest has, and those with alignments that are among ``columns``."""
    return pl.Schema({**MANIFEST_SCHEMA, **{name: ALIGNMENT_TYPE for name in ALIGNMENT_COLUMNS if name in columns}})


def manifest_path(path: Path) -> Path:
    """Returns the manifest's file: ``path`` itself, or ``manifest.parquet`` in the folder ``path``.

    :raises UserInputError: there is no such file.
    """
    file = path / MANIFEST_FILE if path.is_dir() else path

    if not file.is_file():
        raise UserInputError(f"manifest {file} does not exist", hint="give a manifest's file or its folder")

    return file


def read_manifest(path: Path) -> pl.DataFrame:
    """Reads and checks the manifest at ``path``, a file or its folder.

    :returns: the columns of ``MANIFEST_SCHEMA``, in that order, and alignments if there are any; further columns of the
        file are left out.
    :raises UserInputError: file, row and column of the first thing that is wrong are named.
    """
    file = manifest_path(path)

    # Through pyarrow, because polars panics (and prints a stack) on some damaged files.
    try:
        frame = pl.DataFrame(read_table(file))
    except pl.exceptions.PolarsError as ex:
        raise UserInputError(f"manifest {file} holds columns that cannot be read: {ex}") from None

    frame = _conform(frame, str(file), complete=True)

    check_manifest(frame, str(file))

    return frame


def write_manifest(frame: pl.DataFrame, path: Path) -> Path:
    """Checks ``frame`` and writes it atomically; equal frames give equal bytes.

    :param frame: holds at least ``id`` and ``split``; absent columns are filled with nulls, unknown ones refused.
    :param path: a ``.parquet`` file, or a folder that will hold ``manifest.parquet``.
    :returns: the file.
    :raises UserInputError: as for :func:`read_manifest`; nothing is written then.
    """
    file = path if path.suffix == ".parquet" else path / MANIFEST_FILE

    for name in frame.columns:
        if name not in (known := schema_with(ALIGNMENT_COLUMNS)):
            raise UserInputError(f"manifest {file}, column '{name}': unknown (known: {', '.join(known)})")

    frame = _conform(frame, str(file), complete=False)

    check_manifest(frame, str(file))

    write_table(frame.to_arrow(), file)

    return file


def iter_rows(frame: pl.DataFrame) -> Iterator[ManifestRow]:
    """Iterates over the rows of a manifest that was read or checked."""
    for row in frame.select(schema_with(frame.columns).names()).iter_rows(named=True):
        for name in ALIGNMENT_COLUMNS:
            if name in row:
                row[name] = parse_spans(row[name])

        yield ManifestRow(**row)


def manifest_frame(rows: list[ManifestRow]) -> pl.DataFrame:
    """Returns the frame of ``rows``, in their order."""
    columns = {name: [getattr(row, name) for row in rows] for name in MANIFEST_SCHEMA}

    for name in ALIGNMENT_COLUMNS:
        alignments = [getattr(row, name) for row in rows]

        if any(spans is not None for spans in alignments):
            columns[name] = [None if spans is None else [asdict(span) for span in spans] for spans in alignments]

    return pl.DataFrame(columns, schema=schema_with(columns))


def resolve_audio(manifest: Path, audio: str) -> Path:
    """Returns where the audio of a row lies.

    :param manifest: the manifest's file (see :func:`manifest_path`).
    :param audio: the value of ``source_audio`` or ``target_audio``; the file need not exist.
    """
    # An absolute `audio` replaces the folder.
    return manifest.parent / audio


def typed(name: str, dtype: pl.DataType) -> pl.Expr:
    """Returns the column ``name`` as ``dtype``; structs may have their fields in another order."""
    column = pl.col(name)

    if name in ALIGNMENT_COLUMNS:
        fields = [pl.element().struct.field(field) for field in ("text", "start", "end")]

        column = column.list.eval(pl.struct(fields))

    return column.cast(dtype)


def _conform(frame: pl.DataFrame, where: str, *, complete: bool) -> pl.DataFrame:
    """Returns the columns of the schema with its types."""
    required = list(MANIFEST_SCHEMA) if complete else ["id", "split"]

    for name in required:
        if name not in frame.columns:
            raise UserInputError(f"manifest {where}, column '{name}': missing")

    columns: list[pl.Expr] = []

    for name, dtype in schema_with(frame.columns).items():
        if name not in frame.columns:
            columns.append(pl.lit(None, dtype=dtype).alias(name))

            continue

        actual = frame.schema[name]

        is_null = actual == pl.Null
        is_number = dtype.is_numeric() and actual.is_numeric()
        is_string = actual in (pl.String, pl.Categorical) or isinstance(actual, pl.Enum)
        is_aligned = name in ALIGNMENT_COLUMNS and _holds_spans(actual)

        if not (is_null or is_number or (dtype == pl.String and is_string) or is_aligned):
            kind = "numbers" if dtype.is_numeric() else "strings"

            if name in ALIGNMENT_COLUMNS:
                kind = "lists of structs with text, start and end, in seconds"

            raise UserInputError(f"manifest {where}, column '{name}': holds {actual}, must hold {kind}")

        columns.append(pl.lit(None, dtype=dtype).alias(name) if is_null else typed(name, dtype))

    return frame.select(columns)


def _holds_spans(dtype: pl.DataType) -> bool:
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return False

    fields = {field.name: field.dtype for field in dtype.inner.fields}

    kinds = {"text": fields.get("text") == pl.String}

    kinds |= {name: name in fields and fields[name].is_numeric() for name in ("start", "end")}

    return fields.keys() == kinds.keys() and all(kinds.values())
