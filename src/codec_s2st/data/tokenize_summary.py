"""What a run of ``tokenize`` says at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codec_s2st.errors import UserInputError

QUARANTINE_FILE: Final = "quarantine.parquet"


@dataclass(frozen=True, kw_only=True)
class TokenizeSummary:
    """The outcome of a run, printed as one line."""

    num_rows: int
    """The rows in the shards."""

    num_quarantined: int

    num_shards: int

    audio_seconds: float
    """The duration of all codes in the shards."""

    trimmed_seconds: float
    """The silence that was cut off the recordings of the shards."""

    encoded_seconds: float
    """The duration of the audio that this process encoded; less than the above where shards were there already."""

    wall_seconds: float

    def __str__(self) -> str:
        line = (
            f"{self.num_rows:,} rows in {self.num_shards:,} shard(s), {self.num_quarantined:,} quarantined"
            f"{f' (see {QUARANTINE_FILE})' if self.num_quarantined else ''}, "
            f"{self.audio_seconds / 3600:.3f} h of audio"
        )

        if self.trimmed_seconds:
            line += f" ({self.trimmed_seconds / 3600:.3f} h of silence cut off)"

        if not self.encoded_seconds:
            return f"{line}, nothing left to encode"

        return (
            f"{line}, {self.encoded_seconds / 3600:.3f} h encoded in {self.wall_seconds:.1f} s: "
            f"{self.encoded_seconds / max(self.wall_seconds, 1e-9):.1f} audio-hours an hour"
        )


def check_strict(summary: TokenizeSummary, out: Path) -> None:
    """
    :raises UserInputError: an utterance was quarantined.
    """
    if summary.num_quarantined:
        raise UserInputError(
            f"{summary.num_quarantined} utterance(s) were quarantined, and strict is set",
            hint=f"reasons are in {out / QUARANTINE_FILE}",
        )
