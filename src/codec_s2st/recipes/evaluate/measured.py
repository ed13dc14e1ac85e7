"""From what was measured of each item's speech to scores, and what failed on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.measures import Gauge, Measure, mean_counts
from codec_s2st.evaluation.report import ItemWarning, ScoreRecord
from codec_s2st.evaluation.resampling import bootstrap_interval
from codec_s2st.recipes.evaluate.items import EvaluatedItem


def score_measures(
    items: Sequence[EvaluatedItem],
    gauges: Sequence[Gauge],
    *,
    subjects: Mapping[str, Identity | None],
    seed: int,
) -> list[ScoreRecord]:
    """Returns the mean of each measure over the items that have it, all languages together.

    :param subjects: The weights of each system.
    :param seed: Decides the resamples of the intervals.
    """
    done = [item for item in items if item.translated]

    return [
        _record(gauge, system, _measures_of(done, gauge, system), subjects.get(system), seed)
        for gauge in gauges
        for system in gauge.systems
    ]


def item_warnings(items: Sequence[EvaluatedItem], gauges: Sequence[Gauge]) -> list[ItemWarning]:
    """Returns what is odd about items, in their order.

    A metric that has no value for any item, all for one reason, says so in its score, and not for every item again.
    """
    done = [item for item in items if item.translated]

    everywhere = {
        (gauge.metric, gauge.judge, system)
        for gauge in gauges
        for system in gauge.systems
        if _common_reason(_measures_of(done, gauge, system)) is not None
    }

    warnings = []

    for item in done:
        warnings += [ItemWarning(item.id, warning) for warning in item.warnings]

        for found in item.measures:
            if found.value is None and (found.metric, found.judge, found.system) not in everywhere:
                warnings.append(ItemWarning(item.id, f"{found.metric} of {found.system}: {found.not_measured}"))

    return warnings


def _record(
    gauge: Gauge, system: str, measures: Mapping[str, Measure], subject: Identity | None, seed: int
) -> ScoreRecord:
    values = [measure.value for measure in measures.values() if measure.value is not None]

    counts = mean_counts(values)

    reason = None

    if not values:
        reason = gauge.absent or _common_reason(measures) or f"{gauge.metric} of {system}: no item has what it needs"

        if gauge.absent is None and measures and _common_reason(measures) is None:
            reason = f"{gauge.metric} of {system}: it failed on all {len(measures)} items"

    return ScoreRecord(
        system=system,
        subject=subject,
        metric=gauge.metric,
        value=counts.score() if values else None,
        interval=bootstrap_interval(counts, seed=seed) if values else None,
        not_measured=reason,
        signature=f"mean|{gauge.signature}",
        normaliser=None,
        num_items=len(values),
        transcriber=None,
        judge=gauge.judge,
        instrument=gauge.instrument,
        failed=tuple(id_ for id_, measure in measures.items() if measure.value is None),
    )


def _measures_of(items: Sequence[EvaluatedItem], gauge: Gauge, system: str) -> dict[str, Measure]:
    return {
        item.id: measure
        for item in items
        for measure in item.measures
        if (measure.metric, measure.judge, measure.system) == (gauge.metric, gauge.judge, system)
    }


def _common_reason(measures: Mapping[str, Measure]) -> str | None:
    """Returns why there is not one value, if it is the same everywhere and of more than one item."""
    reasons = Counter(measure.not_measured for measure in measures.values())

    if len(reasons) != 1 or any(measure.value is not None for measure in measures.values()):
        return None

    [(reason, _)] = reasons.items()

    metric = next(iter(measures.values())).metric

    return f"{metric}: {reason}"
