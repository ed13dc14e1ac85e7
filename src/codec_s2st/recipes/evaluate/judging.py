"""Speech on its way to those who judge it. Legend: N sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from torch import Tensor

from codec_s2st.codecs.audio import write_audio
from codec_s2st.evaluation.judges.judge import ALL_SYSTEMS, Judge, Recording
from codec_s2st.evaluation.measures import Measure, describe
from codec_s2st.evaluation.report import MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.signal import Measurement
from codec_s2st.recipes.evaluate.items import EvaluatedItem

SOURCE: Final = "source"
"""What was translated, beside the names of systems."""

JUDGED_GLOB: Final = ".judged_*"


@dataclass(frozen=True)
class JudgedFolder:
    """Holds speech as wav files until it is judged, so that neither memory nor the time of translating is taken."""

    path: Path

    @classmethod
    @contextmanager
    def make(cls, out: Path, rank: int, judges: Sequence[Judge]) -> Iterator[JudgedFolder | None]:
        """Makes a folder within ``out`` that is removed at the end; yields ``None`` if nobody judges."""
        if not judges:
            yield None

            return

        with TemporaryDirectory(dir=out.resolve(), prefix=f".judged_{rank}_") as folder:
            yield cls(Path(folder))

    def write(self, id_: str, what: str, wave: Tensor, sample_rate: int) -> None:
        """
        :param what: A system, or :data:`SOURCE`.
        :param wave: *Shape:* [N], N > 0.
        """
        file = self._file(id_, what)

        file.parent.mkdir(exist_ok=True)

        write_audio(file, wave[None], sample_rate)

    def recordings(self, id_: str) -> Iterator[Recording]:
        """Yields what there is of an item."""
        source, reference = self.find(id_, SOURCE), self.find(id_, REFERENCE_AUDIO)

        for system in ALL_SYSTEMS:
            audio = self.find(id_, system)

            if audio is not None:
                yield Recording(id_, system, audio, source, None if system == REFERENCE_AUDIO else reference)

    def find(self, id_: str, what: str) -> Path | None:
        file = self._file(id_, what)

        return file if file.exists() else None

    def _file(self, id_: str, what: str) -> Path:
        return self.path / what.replace(" ", "_") / f"{id_}.wav"


def judge_items(items: Sequence[EvaluatedItem], judges: Sequence[Judge], folder: JudgedFolder) -> list[EvaluatedItem]:
    """Returns the items with what the judges say of them."""
    recordings = [recording for item in items for recording in folder.recordings(item.id)]

    measures: dict[str, list[Measure]] = {item.id: [] for item in items}

    heard = {recording.id for recording in recordings if recording.system == MODEL}

    for judge in judges:
        # Silence is not left out without a word.
        for id_ in measures.keys() - heard:
            measures[id_] += [
                Measure(system=MODEL, metric=metric, judge=judge.name, value=None, not_measured="the output is empty")
                for metric in judge.metrics
            ]

        for recording, found in zip(recordings, _judge(judge, recordings), strict=True):
            measures[recording.id] += [
                Measure(
                    system=recording.system,
                    metric=metric,
                    judge=judge.name,
                    value=measurement.value,
                    not_measured=measurement.not_measured,
                )
                for metric, measurement in found.items()
            ]

    return [replace(item, measures=(*item.measures, *measures[item.id])) for item in items]


def _judge(judge: Judge, recordings: Sequence[Recording]) -> list[dict[str, Measurement]]:
    """Returns what a judge says; if it fails, why, so that the others are heard."""
    try:
        return [
            {metric: _finite(measurement) for metric, measurement in found.items()} for found in judge.judge(recordings)
        ]
    except Exception as ex:
        failed = Measurement(None, describe(ex))

        return [
            {metric: failed for metric, systems in judge.metrics.items() if recording.system in systems}
            for recording in recordings
        ]


def _finite(measurement: Measurement) -> Measurement:
    # One such number would be the mean of all.
    if measurement.value is None or math.isfinite(measurement.value):
        return measurement

    return Measurement(None, f"the judge says {measurement.value}")
