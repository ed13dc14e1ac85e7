"""What scores are made of, item by item, so that several seeds count as one and arms can be tested as pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codec_s2st.evaluation.metrics import find_metric
from codec_s2st.evaluation.normalise import find_normaliser
from codec_s2st.evaluation.report import MODEL
from codec_s2st.evaluation.resampling import Interval, ItemCounts, PairedTests, bootstrap_interval, paired_tests
from codec_s2st.recipes.evaluate.comparison import Scored, ScoreKey

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PERPLEXITY = "perplexity"


@dataclass(frozen=True)
class Sample:
    """The score of one run."""

    metric: str

    rows: Mapping[str, NDArray[Any]]
    """What each item adds to the sums that the score is a function of."""

    score_of: Callable[[NDArray[Any]], float]

    @property
    def value(self) -> float:
        return pool([self], list(self.rows)).score()


def is_higher_better(metric: str) -> bool:
    """
    :raises UserInputError: there is no such metric.
    """
    return metric != _PERPLEXITY and find_metric(metric.removeprefix("asr-")).higher_is_better


def sample_of_report(scored: Scored, key: ScoreKey) -> Sample:
    """Returns what a score of texts in a report is made of."""
    normalise = find_normaliser(scored.scores()[key]["normaliser"])

    ids, references, hypotheses = [], [], []

    for item in scored.items.values():
        said = [
            hypothesis.text
            for hypothesis in item.hypotheses
            if hypothesis.system == MODEL and _name(hypothesis.transcriber) == key.transcriber
        ]

        reference = normalise(item.reference)

        if item.language == key.language and said and reference:
            ids.append(item.id)

            references.append(reference)
            hypotheses.append(normalise(said[0]))

    counts = find_metric(key.metric.removeprefix("asr-")).counts(references, hypotheses, key.language)

    return Sample(key.metric, dict(zip(ids, counts.counts, strict=True)), counts.score_of)


def sample_of_texts(nats: Sequence[float], num_ids: Sequence[int]) -> Sample:
    """Returns what a perplexity is made of.

    :param nats: Minus the log-probability of each text.
    :param num_ids: How many ids of each were scored.
    """
    rows = {str(idx): np.array(row) for idx, row in enumerate(zip(nats, num_ids, strict=True))}

    return Sample(_PERPLEXITY, rows, lambda sums: math.exp(float(sums[0] / sums[1])))


def pool(samples: Sequence[Sample], ids: Sequence[str]) -> ItemCounts:
    """Returns the items of several seeds as one: drawing an item draws it of all seeds."""
    rows = [sum(sample.rows[id_] for sample in samples) for id_ in ids]

    return ItemCounts(np.array(rows, dtype=np.float64), samples[0].score_of)


def common_ids(samples: Sequence[Sample]) -> list[str]:
    return [id_ for id_ in samples[0].rows if all(id_ in sample.rows for sample in samples)]


def interval_of(samples: Sequence[Sample]) -> Interval | None:
    """Returns the 95 % interval of the score over all seeds; ``None`` for fewer than two items."""
    return bootstrap_interval(pool(samples, common_ids(samples)), seed=0) if common_ids(samples) else None


def compare_samples(first: Sequence[Sample], second: Sequence[Sample]) -> PairedTests | None:
    """Tests whether the second differ from the first; ``None`` for fewer than two items in common."""
    ids = common_ids([*first, *second])

    if len(ids) < 2:
        return None

    return paired_tests(pool(first, ids), pool(second, ids), seed=0)


def _name(transcriber: str | None) -> str | None:
    return None if transcriber is None else transcriber.partition(" ")[0]
