"""From what was said to scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from codec_s2st.evaluation.chance import derangement
from codec_s2st.evaluation.judges.judge import QUALITY, SIMILARITY
from codec_s2st.evaluation.metrics import TextPair, find_metric, is_unspaced, score
from codec_s2st.evaluation.normalise import BASIC, Normaliser
from codec_s2st.evaluation.report import CHANCE, CODEC_TOPLINE, MODEL, REFERENCE_AUDIO, Identity, ScoreRecord
from codec_s2st.recipes.evaluate.items import EvaluatedItem

METRICS: Final = {
    "s2st": ("bleu", "chrf", "chrf++", "wer"),
    "s2tt": ("bleu", "chrf", "chrf++"),
    "asr": ("wer", "cer"),
    "tts": ("wer", "cer"),
}
"""The metrics of each kind of task; where words are not parted by blanks, CER stands for WER."""

_JUDGES: Final = {
    QUALITY: "nobody judges it: judges=[{name: squim, model: FILE}], or a command of yours",
    SIMILARITY: "nobody judges it: judges=[{name: xvector, model: FOLDER}], or a command of yours",
}


def unmeasured(kind: str, judged: Collection[str]) -> dict[str, str]:
    """Returns what a report says nothing about, and what would.

    :param kind: How the outcome is scored, such as ``s2st``.
    :param judged: The qualities that somebody judges.
    """
    missing = {"text retention": "codec-s2st text-report tells, beside the base LLM"}

    if kind in ("s2tt", "asr"):
        return missing

    return {**{quality: reason for quality, reason in _JUDGES.items() if quality not in judged}, **missing}


def score_items(
    kind: str,
    items: Sequence[EvaluatedItem],
    *,
    transcribers: Sequence[str],
    model: Identity,
    codec: Identity,
    seed: int,
    normaliser: Normaliser = BASIC,
    instruments: Mapping[str, Identity | None] | None = None,
) -> list[ScoreRecord]:
    """Scores a task's items, each language by itself, beside the toplines and chance.

    :param kind: How its outcome is scored, such as ``s2st``.
    :param transcribers: The names of the listeners, for tasks that end in speech; empty for the others.
    :param instruments: The weights of each listener.
    :param seed: Decides who is answered by whose reference in the baseline of chance, and the resamples.
    """
    done = [item for item in items if item.translated]

    # What is a word differs, and so does how hard it is to say.
    languages = dict.fromkeys(item.language for item in done) or {None: None}

    return [
        record
        for language in languages
        for record in _LanguageScorer(
            kind, language, transcribers, model, codec, seed, normaliser, instruments or {}
        ).score([item for item in done if item.language == language])
    ]


def metrics_of(kind: str, language: str | None) -> tuple[str, ...]:
    """Returns the names of the metrics that a kind of task is scored by in a language."""
    metrics = METRICS[kind]

    if is_unspaced(language):
        metrics = tuple(dict.fromkeys("cer" if metric == "wer" else metric for metric in metrics))

    return metrics


@dataclass(frozen=True)
class _LanguageScorer:
    """Scores items whose references are of one language."""

    kind: str
    language: str | None
    transcribers: Sequence[str]
    model: Identity
    codec: Identity
    seed: int
    normaliser: Normaliser
    instruments: Mapping[str, Identity | None]

    def score(self, items: Sequence[EvaluatedItem]) -> list[ScoreRecord]:
        records: list[ScoreRecord] = []

        metrics = metrics_of(self.kind, self.language)

        for transcriber in self.transcribers or (None,):
            systems: dict[str, Identity | None] = {MODEL: self.model}

            if transcriber is not None:
                systems = {REFERENCE_AUDIO: None, CODEC_TOPLINE: self.codec, **systems}

            toplines: dict[str, ScoreRecord] = {}

            # The model's own figures come first in the report, though the topline has to be known before.
            group: list[ScoreRecord] = []

            for system, subject in systems.items():
                pairs = _pairs_of(items, system, transcriber)

                scored = [
                    self._record(metric, items, pairs, system, subject, transcriber, toplines.get(metric))
                    for metric in metrics
                ]

                if system == REFERENCE_AUDIO:
                    toplines = dict(zip(metrics, scored, strict=True))

                group = scored + group

            records += group

        chance = _exchanged(items, self.seed)

        return records + [self._record(metric, items, chance, CHANCE, None, None) for metric in metrics]

    def _record(
        self,
        metric: str,
        items: Sequence[EvaluatedItem],
        pairs: Sequence[TextPair],
        system: str,
        subject: Identity | None,
        transcriber: str | None,
        topline: ScoreRecord | None = None,
    ) -> ScoreRecord:
        result = score(metric, pairs, language=self.language, normaliser=self.normaliser, seed=self.seed)

        share = None

        # Perfection is 0 for error rates: no share of it can be had. Nor do figures of different items make one.
        if result.value is not None and topline is not None and topline.value and find_metric(metric).higher_is_better:
            if topline.num_items == result.num_items:
                share = result.value / topline.value

        reason = None

        if result.value is None:
            reason = f"{system}: no item has {'a reference with words' if pairs else 'what it needs'}"

            if not pairs and system in (CODEC_TOPLINE, REFERENCE_AUDIO):
                reason = f"{system}: the manifest has no target_audio that can be read"

        heard = {pair.id for pair in pairs}

        return ScoreRecord(
            system=system,
            subject=subject,
            language=self.language,
            metric=f"asr-{metric}" if self.transcribers else metric,
            value=result.value,
            interval=result.interval,
            not_measured=reason,
            signature=result.signature,
            normaliser=result.normaliser,
            num_items=result.num_items,
            transcriber=transcriber,
            instrument=None if transcriber is None else self.instruments.get(transcriber),
            share_of_reference=share,
            empty_hypotheses=result.empty_hypotheses,
            # Every item has an output of the model, even where nothing is left of it.
            failed=tuple(item.id for item in items if item.id not in heard) if system == MODEL else (),
        )


def _pairs_of(items: Sequence[EvaluatedItem], system: str, transcriber: str | None) -> list[TextPair]:
    return [
        TextPair(item.id, item.reference, hypothesis.text)
        for item in items
        for hypothesis in item.hypotheses
        if hypothesis.system == system and hypothesis.transcriber == transcriber
    ]


def _exchanged(items: Sequence[EvaluatedItem], seed: int) -> list[TextPair]:
    if len(items) < 2:
        return []

    order = derangement(len(items), seed)

    return [TextPair(item.id, item.reference, items[j].reference) for item, j in zip(items, order, strict=True)]
