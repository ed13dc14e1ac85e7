"""What a row must be to get into a manifest. One that is not is left out, and does not stop the others."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from codec_s2st.audio_segments import SEGMENT_MARK, SEGMENT_PATTERN
from codec_s2st.data.corpora.corpus import TRAIN, VALID, Skipped
from codec_s2st.data.manifest_row import SIDES, ManifestRow
from codec_s2st.errors import UserInputError

BAD_ID: Final = "id is not usable as a file name"

BAD_LANGUAGE: Final = "language is not an ISO 639-3 code"

NO_LANGUAGE: Final = "language is not given"

OUTSIDE: Final = "audio is not below the corpus's folders"

OTHER_SPLIT: Final = "split was not asked for"

EMPTY_ROW: Final = "row has neither audio nor text"

# As `manifest_checks` has it.
_BAD_ID: Final = re.compile(r"[/\\\x00-\x1f\x7f]|^\.{1,2}$|^\s|\s$")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which rows are taken, and what is done to them."""

    needs: tuple[str, ...] = ()
    """Columns that must not be empty."""

    roots: tuple[Path, ...] = ()
    """The folders below which audio must lie; empty where it may lie anywhere."""

    splits: Sequence[str] = ()
    """The splits to take; empty for all."""

    lowercase: bool = False

    hold_out: float = 0.0
    """The share of the split ``train`` that becomes ``valid``, by speaker where one is known."""

    def apply(self, rows: Iterable[ManifestRow | Skipped]) -> Iterator[ManifestRow | Skipped]:
        roots = [os.path.abspath(root) for root in self.roots]

        for row in rows:
            yield row if isinstance(row, Skipped) else self._apply(row, roots)

    def _apply(self, row: ManifestRow, roots: list[str]) -> ManifestRow | Skipped:
        row = self._clean(row)

        if row.split == TRAIN and self.hold_out > 0 and _share(row) < self.hold_out:
            row = replace(row, split=VALID)

        if self.splits and row.split not in self.splits:
            return Skipped(OTHER_SPLIT, f"{row.id} of {row.split}", expected=True)

        for value in (row.id, row.split):
            if not value or _BAD_ID.search(value) or len(value.encode(errors="replace")) > 200:
                return Skipped(BAD_ID, repr(value))

        for name in self.needs:
            if getattr(row, name) is None:
                return Skipped(f"{name} is empty", row.id)

        for side in SIDES:
            audio, text, lang = (getattr(row, f"{side}_{field}") for field in ("audio", "text", "lang"))

            if (audio or text) and not lang:
                return Skipped(NO_LANGUAGE, f"{row.id}: {side}_lang")

            if (audio or text) and not re.fullmatch("[a-z]{3}", lang or ""):
                return Skipped(BAD_LANGUAGE, f"{row.id}: {side} '{lang}'")

            if audio is not None and roots and not _is_below(audio, roots):
                return Skipped(OUTSIDE, f"{row.id}: {audio}")

        if not any((row.source_audio, row.source_text, row.target_audio, row.target_text)):
            return Skipped(EMPTY_ROW, row.id)

        return row

    def _clean(self, row: ManifestRow) -> ManifestRow:
        fields: dict[str, str | None] = {}

        for side in SIDES:
            audio, text, speaker = (getattr(row, f"{side}_{name}") for name in ("audio", "text", "speaker"))

            if audio is not None:
                fields[f"{side}_audio"] = audio = os.path.abspath(audio) if audio.strip() else None

            if text is not None:
                text = " ".join(text.split()) or None

                fields[f"{side}_text"] = text.lower() if self.lowercase and text is not None else text

            if speaker is not None:
                fields[f"{side}_speaker"] = " ".join(speaker.split()) or None

            if audio is None and text is None:
                # A side that is not there has no language and no speaker.
                fields[f"{side}_lang"] = fields[f"{side}_speaker"] = None

        return replace(row, **fields)  # type: ignore[arg-type]


def stored_path(audio: str, out: str) -> str:
    """Returns a path of audio as the manifest of a folder has it: relative where it is below that folder.

    :param out: The folder's absolute path.
    """
    folder = out.rstrip(os.sep) + os.sep

    return audio[len(folder) :] if audio.startswith(folder) else audio


def check_hold_out(hold_out: float) -> None:
    """
    :raises UserInputError: it is no share.
    """
    if not 0.0 <= hold_out < 1.0:
        raise UserInputError(f"the share to hold out is {hold_out}, but it must be 0 or more and less than 1")


def _is_below(audio: str, roots: list[str]) -> bool:
    # By name: what a link leads to is the user's own doing.
    path = re.sub(SEGMENT_PATTERN, "", audio) if SEGMENT_MARK in audio else audio

    return any(path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)


def _share(row: ManifestRow) -> float:
    """Returns a number of [0, 1) that is always the same, and the same for all rows of a speaker."""
    key = row.source_speaker or row.id

    return int.from_bytes(hashlib.blake2b(key.encode(errors="replace"), digest_size=8).digest(), "big") / 2**64
