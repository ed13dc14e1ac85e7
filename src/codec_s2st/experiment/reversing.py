"""A manifest with source and target exchanged: what is read aloud in one direction is translated into in the other."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from codec_s2st.data.manifest import (
    ManifestRow,
    iter_rows,
    manifest_frame,
    manifest_path,
    read_manifest,
    write_manifest,
)

_SIDES = {"source": "target", "target": "source"}


def reverse_manifest(manifest: Path, out: Path) -> Path:
    """Writes ``out/manifest.parquet``, whose paths are absolute, and returns it.

    :raises UserInputError: ``manifest`` cannot be read, or ``out`` cannot be written.
    """
    file = manifest_path(manifest)

    folder = file.absolute().parent

    rows = [_reverse(row, folder) for row in iter_rows(read_manifest(file))]

    out.mkdir(parents=True, exist_ok=True)

    return write_manifest(manifest_frame(rows), out)


def _reverse(row: ManifestRow, folder: Path) -> ManifestRow:
    values = {}

    for field in fields(row):
        side, _, name = field.name.partition("_")

        value = getattr(row, field.name)

        if name == "audio" and value is not None:
            value = str(folder / value)

        values[f"{_SIDES[side]}_{name}" if side in _SIDES else field.name] = value

    return ManifestRow(**values)
