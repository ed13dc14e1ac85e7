"""WER and CER by jiwer, BLEU and chrF by sacrebleu, over normalised texts.

WER and CER are fractions (0 is perfect, and they can exceed 1), BLEU and chrF go from 0 to 100. All are of the corpus
as a whole, not means over its items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from codec_s2st.errors import unknown_name
from codec_s2st.evaluation.normalise import BASIC, Normaliser


@dataclass(frozen=True)
class TextPair:
    """One item to be scored."""

    id: str
    reference: str
    hypothesis: str


@dataclass(frozen=True, kw_only=True)
class MetricResult:
    """The value of one metric, and all that is needed to compute it again."""

    metric: str

    value: float | None
    """``None`` if no item could be scored."""

    signature: str
    """sacrebleu's signature, or package and version."""

    normaliser: str

    num_items: int
    """The number of items that were scored."""

    empty_references: tuple[str, ...]
    """The ids of the items that were left out, since nothing can be compared with an empty reference."""

    empty_hypotheses: tuple[str, ...]
    """The ids of the items whose hypothesis is empty. They are scored: saying nothing is an error like others."""


@dataclass(frozen=True)
class Metric:
    name: str

    higher_is_better: bool

    compute: Callable[[list[str], list[str]], float]
    """Maps references and hypotheses to the value."""

    signature: Callable[[], str]


def score(metric: str, pairs: Sequence[TextPair], *, normaliser: Normaliser = BASIC) -> MetricResult:
    """Scores a corpus.

    :raises UserInputError: there is no such metric.
    """
    found = find_metric(metric)

    references, hypotheses = [], []

    empty_references, empty_hypotheses = [], []

    for pair in pairs:
        reference, hypothesis = normaliser(pair.reference), normaliser(pair.hypothesis)

        if not reference:
            empty_references.append(pair.id)

            continue

        if not hypothesis:
            empty_hypotheses.append(pair.id)

        references.append(reference)
        hypotheses.append(hypothesis)

    return MetricResult(
        metric=metric,
        value=found.compute(references, hypotheses) if references else None,
        signature=found.signature(),
        normaliser=normaliser.name,
        num_items=len(references),
        empty_references=tuple(empty_references),
        empty_hypotheses=tuple(empty_hypotheses),
    )


def find_metric(name: str) -> Metric:
    """
    :raises UserInputError: there is no such metric.
    """
    try:
        return METRICS[name]
    except KeyError:
        raise unknown_name("metric", name, METRICS) from None


def _wer(references: list[str], hypotheses: list[str]) -> float:
    import jiwer

    return float(jiwer.process_words(references, hypotheses).wer)


def _cer(references: list[str], hypotheses: list[str]) -> float:
    import jiwer

    return float(jiwer.process_characters(references, hypotheses).cer)


def _jiwer_signature() -> str:
    return f"jiwer:{version('jiwer')}"


def _bleu(references: list[str], hypotheses: list[str]) -> float:
    from sacrebleu.metrics.bleu import BLEU

    return float(BLEU().corpus_score(hypotheses, [references]).score)


def _chrf(references: list[str], hypotheses: list[str]) -> float:
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().corpus_score(hypotheses, [references]).score)


def _bleu_signature() -> str:
    from sacrebleu.metrics.bleu import BLEU

    return _sacrebleu_signature(BLEU())


def _chrf_signature() -> str:
    from sacrebleu.metrics.chrf import CHRF

    return _sacrebleu_signature(CHRF())


def _sacrebleu_signature(metric: object) -> str:
    # sacrebleu learns the number of references from what it scores.
    metric.corpus_score(["a"], [["a"]])  # type: ignore[attr-defined]

    return str(metric.get_signature())  # type: ignore[attr-defined]


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("bleu", True, _bleu, _bleu_signature),
        Metric("chrf", True, _chrf, _chrf_signature),
        Metric("wer", False, _wer, _jiwer_signature),
        Metric("cer", False, _cer, _jiwer_signature),
    )
}
