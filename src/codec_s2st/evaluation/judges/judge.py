"""What every judge of speech has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.measures import Gauge
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.signal import Measurement

ALL_SYSTEMS: Final = (MODEL, CODEC_TOPLINE, REFERENCE_AUDIO)

QUALITY: Final = "speech quality"

SIMILARITY: Final = "speaker similarity"


@dataclass(frozen=True)
class Recording:
    """Speech that is to be judged, as wav files of one channel."""

    id: str

    system: str

    audio: Path

    source: Path | None
    """The recording that was translated."""

    reference: Path | None
    """The reference's own recording, if there is one; ``None`` where it is itself judged."""


class Judge(Protocol):
    """Gives each recording a number, or several."""

    @property
    def name(self) -> str:
        """What reports call it: a word and, behind a blank, what is needed to do the same again, such as a version."""

    @property
    def quality(self) -> str:
        """What it judges: :data:`QUALITY` or :data:`SIMILARITY`."""

    @property
    def instrument(self) -> Identity | None:
        """Its weights; ``None`` if it has none, or they are not known."""

    @property
    def metrics(self) -> Mapping[str, tuple[str, ...]]:
        """The names of its numbers, and the systems that each is given to."""

    @property
    def signature(self) -> str:
        """What is needed to measure the same again."""

    def judge(self, recordings: Sequence[Recording]) -> list[dict[str, Measurement]]:
        """Returns the numbers of each recording, or why there are none. Metrics that do not apply are left out."""


def gauges_of(judge: Judge) -> list[Gauge]:
    """Returns what a judge measures."""
    return [
        Gauge(
            metric=metric,
            systems=systems,
            signature=judge.signature,
            judge=judge.name,
            instrument=judge.instrument,
        )
        for metric, systems in judge.metrics.items()
    ]
