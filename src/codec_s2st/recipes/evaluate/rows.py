"""The rows of a manifest that a task can be scored on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codec_s2st.data.files import sha256_of
from codec_s2st.data.manifest import ManifestRow, iter_rows, manifest_path, read_manifest
from codec_s2st.data.templates import TEMPLATES, TaskTemplate
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.evaluation.normalise import BASIC
from codec_s2st.evaluation.report import LeftOut

KINDS: Final = ("s2st", "s2tt", "asr", "tts")
"""How the outcome of a task is scored: a spoken and a written translation, a transcript, and a text that is spoken."""


@dataclass(frozen=True)
class Selection:
    """What is to be translated, and with what it is compared."""

    manifest: Path
    """The manifest's file."""

    manifest_hash: str

    template: TaskTemplate

    rows: tuple[ManifestRow, ...]

    left_out: tuple[LeftOut, ...]

    @property
    def kind(self) -> str:
        """One of :data:`KINDS`."""
        return kind_of(self.template)

    @property
    def is_spoken(self) -> bool:
        """Whether the outcome is speech, which a listener writes down."""
        return self.kind in ("s2st", "tts")

    @property
    def starts_from_text(self) -> bool:
        return self.template.starts_from_text

    def target_lang(self, row: ManifestRow) -> str | None:
        """Returns the language to translate to; ``None`` where something is only to be written down, or spoken."""
        return None if self.template.target.side == "source" else row.target_lang

    def reference_audio(self, row: ManifestRow) -> str | None:
        """Returns the recording of the reference, if there is one."""
        return row.source_audio if self.template.target.side == "source" else row.target_audio

    def reference(self, row: ManifestRow) -> str:
        text = row.source_text if self.template.target.side == "source" else row.target_text

        assert text is not None

        return text

    def language(self, row: ManifestRow) -> str | None:
        """Returns the language of the reference."""
        return row.source_lang if self.template.target.side == "source" else row.target_lang


def kind_of(template: TaskTemplate) -> str:
    """Returns how the outcome of a task is scored.

    :raises UserInputError: it starts from neither speech nor text, or ends in speech that nothing says how to score.
    """
    is_text, side = template.ends_in_text, template.target.side

    # Speech that says again what was said is not compared with what was said.
    if not (template.starts_from_text or (template.starts_from_speech and (is_text or side == "target"))):
        known = [name for name, other in TEMPLATES.items() if other.starts_from_speech or other.starts_from_text]

        raise unknown_name("task to evaluate", template.name, known)

    if is_text:
        return "s2tt" if side == "target" else "asr"

    return "s2st" if side == "target" else "tts"


def select_rows(manifest: Path, *, template: TaskTemplate, split: str | None, max_items: int | None) -> Selection:
    """Reads a manifest.

    :raises UserInputError: it cannot be read, has no such split, or not one row has what the task is scored on.
    """
    kind_of(template)

    file = manifest_path(manifest)

    rows = list(iter_rows(read_manifest(file)))

    if split is not None:
        splits = {row.split for row in rows}

        if split not in splits:
            raise unknown_name(f"split of manifest {file}", split, splits)

        rows = [row for row in rows if row.split == split]

    usable, left_out = [], []

    for row in rows:
        reason = next(_flaws(row, template), None)

        if reason is None:
            usable.append(row)
        else:
            left_out.append(LeftOut(row.id, reason))

    if not usable:
        columns = sorted({item.reason.split()[0] for item in left_out})

        raise UserInputError(
            f"manifest {file} has no {' and '.join(columns)}, which task '{template.name}' is scored on",
            hint="see the columns in docs/guides/your-corpus.md",
        )

    return Selection(file, sha256_of(file), template, tuple(usable[:max_items]), tuple(left_out))


def _flaws(row: ManifestRow, template: TaskTemplate) -> Iterator[str]:
    """Yields why ``row`` cannot be scored; the first word is the column."""
    column = f"{template.target.side}_text"

    given = "source_text" if template.starts_from_text else "source_audio"

    for name in dict.fromkeys((given, column)):
        if getattr(row, name) is None:
            yield f"{name} is null"

    # Nothing can be compared with it, or made of it.
    for name in dict.fromkeys((column, given)):
        if name.endswith("_text") and not BASIC(getattr(row, name) or ""):
            yield f"{name} has no words"
