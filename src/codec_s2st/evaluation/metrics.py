"""WER and CER by jiwer, BLEU, chrF and chrF++ by sacrebleu, over normalised texts.

WER and CER are fractions (0 is perfect, and they can exceed 1), BLEU and chrF go from 0 to 100. All are of the corpus
as a whole, not means over its items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final

from codec_s2st.errors import unknown_name
from codec_s2st.evaluation.normalise import BASIC, Normaliser
from codec_s2st.evaluation.resampling import Interval, ItemCounts, bootstrap_interval


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

    interval: Interval | None
    """Where the value would lie on 95 % of other samples; ``None`` for fewer than two items."""

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

    compute: Callable[[list[str], list[str], str | None], float]
    """Maps references, hypotheses and their language to the value."""

    counts: Callable[[list[str], list[str], str | None], ItemCounts]
    """Maps them to what the value is made of."""

    signature: Callable[[str | None], str]
    """Maps the language to the signature."""


def score(
    metric: str,
    pairs: Sequence[TextPair],
    *,
    language: str | None = None,
    normaliser: Normaliser = BASIC,
    seed: int = 0,
) -> MetricResult:
    """Scores a corpus.

    :param language: The ISO 639-3 code of the texts' language, which decides what BLEU takes for words.
    :param seed: Decides the resamples of the interval.

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
        value=found.compute(references, hypotheses, language) if references else None,
        interval=bootstrap_interval(found.counts(references, hypotheses, language), seed=seed) if references else None,
        signature=found.signature(language),
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


def item_counts(
    metric: str, references: Sequence[str], hypotheses: Sequence[str], language: str | None = None
) -> ItemCounts:
    """Returns what the metric of a corpus is made of, item by item; the texts are normalised already.

    :raises UserInputError: there is no such metric.
    """
    return find_metric(metric).counts(list(references), list(hypotheses), language)


def _wer(references: list[str], hypotheses: list[str], language: str | None) -> float:
    import jiwer

    return float(jiwer.process_words(references, hypotheses).wer)


def _cer(references: list[str], hypotheses: list[str], language: str | None) -> float:
    import jiwer

    return float(jiwer.process_characters(references, hypotheses).cer)


def _edits(process: str) -> Callable[[list[str], list[str], str | None], ItemCounts]:
    def counts(references: list[str], hypotheses: list[str], language: str | None) -> ItemCounts:
        import jiwer
        import numpy as np

        rows = []

        for reference, hypothesis in zip(references, hypotheses, strict=True):
            output = getattr(jiwer, process)(reference, hypothesis)

            edits = output.substitutions + output.deletions + output.insertions

            rows.append((edits, output.hits + output.substitutions + output.deletions))

        return ItemCounts(np.array(rows, dtype=np.float64), lambda sums: float(sums[0] / sums[1]))

    return counts


def _jiwer_signature(language: str | None) -> str:
    return f"jiwer:{version('jiwer')}"


def _sacrebleu_metric(name: str, make: Callable[[str | None], Any]) -> Metric:
    def compute(references: list[str], hypotheses: list[str], language: str | None) -> float:
        return float(make(language).corpus_score(hypotheses, [references]).score)

    def counts(references: list[str], hypotheses: list[str], language: str | None) -> ItemCounts:
        import numpy as np

        metric = make(language)

        # As sacrebleu's own tests of significance do it.
        rows = metric._extract_corpus_statistics(hypotheses, [references])

        return ItemCounts(
            np.array(rows, dtype=np.float64),
            lambda sums: float(metric._compute_score_from_stats(sums.astype(int).tolist()).score),
        )

    def signature(language: str | None) -> str:
        metric = make(language)

        # sacrebleu learns the number of references from what it scores.
        metric.corpus_score(["a"], [["a"]])

        return str(metric.get_signature())

    return Metric(name, True, compute, counts, signature)


def _bleu(language: str | None) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=bleu_tokenizer(language))


def _chrf(word_order: int) -> Callable[[str | None], Any]:
    def make(language: str | None) -> Any:
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(word_order=word_order)

    return make


def bleu_tokenizer(language: str | None) -> str:
    """Returns sacrebleu's name of what parts a language's texts into words; characters where nothing better is there.

    Japanese and Korean need extras of sacrebleu (``sacrebleu[ja]``, ``sacrebleu[ko]``) for words. The signature tells.
    """
    if language in ("cmn", "zho", "yue"):
        return "zh"

    if language in _WORD_TOKENIZERS:
        name, package = _WORD_TOKENIZERS[language]

        return name if find_spec(package) is not None else "char"

    return "char" if is_unspaced(language) else "13a"


def is_unspaced(language: str | None) -> bool:
    """Returns whether a language is written without blanks between words, so that characters are counted."""
    return language in _UNSPACED


_WORD_TOKENIZERS: Final = {"jpn": ("ja-mecab", "MeCab"), "kor": ("ko-mecab", "mecab_ko")}

_UNSPACED: Final = frozenset({"cmn", "zho", "yue", "jpn", "tha", "lao", "khm", "mya", "bod"})

METRICS: Final = {
    metric.name: metric
    for metric in (
        _sacrebleu_metric("bleu", _bleu),
        _sacrebleu_metric("chrf", _chrf(0)),
        _sacrebleu_metric("chrf++", _chrf(2)),
        Metric("wer", False, _wer, _edits("process_words"), _jiwer_signature),
        Metric("cer", False, _cer, _edits("process_characters"), _jiwer_signature),
    )
}
