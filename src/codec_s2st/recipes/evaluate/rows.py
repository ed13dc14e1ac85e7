"""The rows of a manifest that a task can be scored on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codec_s2st.data.files import sha256_of
from codec_s2st.data.manifest import ManifestRow, iter_rows, manifest_path, read_manifest
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.evaluation.normalise import BASIC
from codec_s2st.evaluation.report import LeftOut

REFERENCE_SIDES: Final = {"s2st": "target", "s2tt": "target", "asr": "source"}
"""The side whose text the output of a task is compared with."""


@dataclass(frozen=True)
class Selection:
    """What is to be translated, and with what it is compared."""

    manifest: Path
    """The manifest's file."""

    manifest_hash: str

    task: str

    rows: tuple[ManifestRow, ...]

    left_out: tuple[LeftOut, ...]

    def reference(self, row: ManifestRow) -> str:
        text = row.source_text if REFERENCE_SIDES[self.task] == "source" else row.target_text

        assert text is not None

        return text


def select_rows(manifest: Path, *, task: str, split: str | None, max_items: int | None) -> Selection:
    """Reads a manifest.

    :raises UserInputError: it cannot be read, has no such split, or not one row has what ``task`` is scored on.
    """
    if task not in REFERENCE_SIDES:
        raise unknown_name("task to evaluate", task, REFERENCE_SIDES)

    file = manifest_path(manifest)

    rows = list(iter_rows(read_manifest(file)))

    if split is not None:
        splits = {row.split for row in rows}

        if split not in splits:
            raise unknown_name(f"split of manifest {file}", split, splits)

        rows = [row for row in rows if row.split == split]

    usable, left_out = [], []

    for row in rows:
        reason = next(_flaws(row, task), None)

        if reason is None:
            usable.append(row)
        else:
            left_out.append(LeftOut(row.id, reason))

    if not usable:
        columns = sorted({item.reason.split()[0] for item in left_out})

        raise UserInputError(
            f"manifest {file} has no {' and '.join(columns)}, which task '{task}' is scored on",
            hint="see the columns in docs/guides/your-corpus.md",
        )

    return Selection(file, sha256_of(file), task, tuple(usable[:max_items]), tuple(left_out))


def _flaws(row: ManifestRow, task: str) -> Iterator[str]:
    """Yields why ``row`` cannot be scored; the first word is the column."""
    column = f"{REFERENCE_SIDES[task]}_text"

    for name in ("source_audio", column):
        if getattr(row, name) is None:
            yield f"{name} is null"

    # Nothing can be compared with it.
    if not BASIC(getattr(row, column) or ""):
        yield f"{column} has no words"
