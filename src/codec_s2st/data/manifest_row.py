"""A row of a manifest as a value; without polars, so that what makes rows is light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from codec_s2st.data.alignment import TimedSpan

SIDES: Final = ("source", "target")


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One utterance or pair of utterances; the fields are the columns."""

    id: str
    split: str

    source_audio: str | None = None
    source_text: str | None = None
    source_lang: str | None = None
    source_speaker: str | None = None
    source_seconds: float | None = None

    target_audio: str | None = None
    target_text: str | None = None
    target_lang: str | None = None
    target_speaker: str | None = None
    target_seconds: float | None = None

    source_alignment: tuple[TimedSpan, ...] | None = None
    target_alignment: tuple[TimedSpan, ...] | None = None
    """Which words are said when."""
