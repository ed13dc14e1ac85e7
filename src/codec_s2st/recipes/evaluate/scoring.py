"""From what was said to scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from codec_s2st.evaluation.chance import derangement
from codec_s2st.evaluation.metrics import TextPair, find_metric, score
from codec_s2st.evaluation.report import CHANCE, CODEC_TOPLINE, MODEL, REFERENCE_AUDIO, Identity, ScoreRecord
from codec_s2st.recipes.evaluate.items import EvaluatedItem

METRICS: Final = {"s2st": ("bleu", "chrf", "chrf++", "wer"), "s2tt": ("bleu", "chrf", "chrf++"), "asr": ("wer", "cer")}
"""The metrics of each kind of task."""

UNMEASURED: Final = {
    "speech quality": "there is no predictor of quality here",
    "speaker similarity": "there is no speaker encoder here",
    "text retention": "it is the base LLM's text scores that tell; they are not part of this report",
}
"""What a report says nothing about."""


def score_items(
    kind: str,
    items: Sequence[EvaluatedItem],
    *,
    transcribers: Sequence[str],
    model: Identity,
    codec: Identity,
    seed: int,
) -> list[ScoreRecord]:
    """Scores a task's items, beside the toplines and chance.

    :param kind: How its outcome is scored, such as ``s2st``.
    :param transcribers: The names of the listeners, for tasks that end in speech; empty for the others.
    :param seed: Decides who is answered by whose reference in the baseline of chance, and the resamples.
    """
    records: list[ScoreRecord] = []

    done = [item for item in items if item.translated]

    prefix = "asr-" if transcribers else ""

    for transcriber in transcribers or (None,):
        systems = {REFERENCE_AUDIO: None, CODEC_TOPLINE: codec, MODEL: model} if transcriber else {MODEL: model}

        toplines: dict[str, ScoreRecord] = {}

        # The model's own figures come first in the report, though the topline has to be known before.
        group: list[ScoreRecord] = []

        for system, subject in systems.items():
            pairs = _pairs_of(done, system, transcriber)

            scored = [
                _score(prefix, metric, pairs, system, subject, transcriber, seed, toplines.get(metric))
                for metric in METRICS[kind]
            ]

            if system == REFERENCE_AUDIO:
                toplines = dict(zip(METRICS[kind], scored, strict=True))

            group = scored + group

        records += group

    return records + _score_chance(prefix, kind, done, seed)


def _pairs_of(items: Sequence[EvaluatedItem], system: str, transcriber: str | None) -> list[TextPair]:
    return [
        TextPair(item.id, item.reference, hypothesis.text)
        for item in items
        for hypothesis in item.hypotheses
        if hypothesis.system == system and hypothesis.transcriber == transcriber
    ]


def _score(
    prefix: str,
    metric: str,
    pairs: Sequence[TextPair],
    system: str,
    subject: Identity | None,
    transcriber: str | None,
    seed: int,
    topline: ScoreRecord | None = None,
) -> ScoreRecord:
    result = score(metric, pairs, seed=seed)

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

    return ScoreRecord(
        system=system,
        subject=subject,
        metric=prefix + metric,
        value=result.value,
        interval=result.interval,
        not_measured=reason,
        signature=result.signature,
        normaliser=result.normaliser,
        num_items=result.num_items,
        transcriber=transcriber,
        share_of_reference=share,
        empty_hypotheses=result.empty_hypotheses,
    )


def _score_chance(prefix: str, kind: str, items: Sequence[EvaluatedItem], seed: int) -> list[ScoreRecord]:
    pairs: list[TextPair] = []

    if len(items) > 1:
        order = derangement(len(items), seed)

        pairs = [TextPair(item.id, item.reference, items[j].reference) for item, j in zip(items, order, strict=True)]

    return [_score(prefix, metric, pairs, CHANCE, None, None, seed) for metric in METRICS[kind]]
