"""How long somebody who listens waits for the first sound of a translation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median

from fairseq2.logging import log

from codec_s2st.data.manifest import ManifestRow
from codec_s2st.evaluation.measures import describe
from codec_s2st.recipes.evaluate.rows import Selection
from codec_s2st.recipes.evaluate.work import read_given
from codec_s2st.recipes.translate.streaming import TimedStream
from codec_s2st.translator import SpeechTranslator


@dataclass(frozen=True, kw_only=True)
class FirstAudio:
    """The time to first audio, or why it is not known."""

    seconds: float | None = None
    """The median over items."""

    num_items: int = 0
    not_measured: str | None = None


def time_first_audio(translator: SpeechTranslator, selection: Selection, rows: Sequence[ManifestRow]) -> FirstAudio:
    """Streams the translation of one row after the other, each up to its first samples.

    The clock runs from what is given, as a whole and in memory, until the samples are on the host. Nothing that fails
    here is raised: the scores are worth more than their times.

    :param rows: Translated before, so that nothing here is the first of its kind.
    """
    if not rows:
        return FirstAudio(not_measured="no item has speech that came out")

    seconds, failures = [], []

    for row in rows:
        try:
            found = _time_row(translator, selection, row)
        except Exception as ex:
            failures.append(describe(ex))

            log.warning("'{}': the time to first audio is not measured: {}", row.id, failures[-1])
        else:
            if found is not None:
                seconds.append(found)

    if seconds:
        return FirstAudio(seconds=median(seconds), num_items=len(seconds))

    return FirstAudio(not_measured=failures[0] if failures else "nothing came out of the stream")


def _time_row(translator: SpeechTranslator, selection: Selection, row: ManifestRow) -> float | None:
    """Returns ``None`` where the stream has no samples."""
    given = read_given(selection, row, translator.codec.spec.sample_rate)

    target = selection.target_lang(row)

    stream = translator.stream(given, task=selection.template.name, source_lang=row.source_lang, target_lang=target)

    with closing(stream):
        timed = TimedStream(translator, stream)

        # The rest is not generated.
        next(iter(timed), None)

    return timed.first_audio_seconds
