"""Metrics that give each item a number, whose score is the mean over items. Legend: N sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from torch import Tensor

from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.resampling import ItemCounts
from codec_s2st.evaluation.signal import SIGNAL_METRICS

COMPLIANCE: Final = 0.2
"""How much longer or shorter than the source the output may be; the p of SLC_p (Wu et al. 2023, *VideoDubber*)."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What one metric says of one system's speech."""

    system: str
    metric: str

    judge: str | None = None
    """The judge, as reports call it; ``None`` where it is arithmetic alone."""

    value: float | None

    not_measured: str | None = None
    """Why there is no value."""


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """A metric that gives each item a number, and on which systems."""

    metric: str

    systems: tuple[str, ...]

    signature: str
    """What is needed to measure the same again."""

    of_source: bool = False
    """Whether speech is compared with the source's, which tasks that start from text have not."""

    judge: str | None = None

    instrument: Identity | None = None
    """The judge's weights."""

    absent: str | None = None
    """Why nothing can be measured, and what would help."""


def duration_gauges() -> list[Gauge]:
    """The lengths of what came out beside those of the source and of the reference's recording."""
    both = (MODEL, REFERENCE_AUDIO)

    return [
        Gauge(
            metric="duration-ratio-source", systems=both, signature="seconds by seconds, pauses in both", of_source=True
        ),
        Gauge(metric="duration-ratio-reference", systems=(MODEL,), signature="seconds by seconds, pauses in both"),
        Gauge(
            metric=f"slc-{COMPLIANCE}",
            systems=both,
            signature=f"share of items with {1.0 - COMPLIANCE:g} <= duration-ratio-source <= {1.0 + COMPLIANCE:g}",
            of_source=True,
        ),
    ]


def duration_measures(system: str, seconds: float, *, source: float | None, reference: float | None) -> list[Measure]:
    """Returns the measures of :func:`duration_gauges` that can be taken.

    :param seconds: Of the system's output.
    :param source: Seconds of the source's recording, if there is one.
    :param reference: Seconds of the reference's recording, if there is one.
    """
    measures = []

    if source:
        ratio = seconds / source

        # Ratios that are written 0.8 and 1.2 are within, whatever the division makes of them.
        complies = abs(ratio - 1.0) <= COMPLIANCE + 1e-9

        measures += [
            Measure(system=system, metric="duration-ratio-source", value=ratio),
            Measure(system=system, metric=f"slc-{COMPLIANCE}", value=float(complies)),
        ]

    if reference and system != REFERENCE_AUDIO:
        measures.append(Measure(system=system, metric="duration-ratio-reference", value=seconds / reference))

    return measures


_PACKAGES: Final = {"stoi": "pystoi", "pesq": "pesq"}


def signal_gauges() -> list[Gauge]:
    """What the codec makes of the reference's recording. Nothing else is in step with it, sample by sample."""
    return [
        Gauge(metric=metric.name, systems=(CODEC_TOPLINE,), signature=_signal_signature(metric.name))
        for metric in SIGNAL_METRICS
    ]


def signal_measures(reference: Tensor, decoded: Tensor, sample_rate: int) -> list[Measure]:
    """
    :param reference: *Shape:* [N].
    :param decoded: At least as long. *Shape:* [N].
    """
    measures = []

    for metric in SIGNAL_METRICS:
        found = metric.compute(reference, decoded[: reference.numel()], sample_rate)

        measures.append(
            Measure(system=CODEC_TOPLINE, metric=metric.name, value=found.value, not_measured=found.not_measured)
        )

    return measures


def _signal_signature(metric: str) -> str:
    package = _PACKAGES.get(metric, "codec_s2st")

    try:
        return f"{package}:{version(package)}"
    except PackageNotFoundError:
        return f"{package}:not installed"


def mean_counts(values: Sequence[float]) -> ItemCounts:
    """Returns what the mean of ``values`` is made of."""
    import numpy as np

    rows = np.array([(value, 1.0) for value in values], dtype=np.float64).reshape(-1, 2)

    return ItemCounts(rows, lambda sums: float(sums[0] / sums[1]))


def guarded(compute: Callable[[], list[Measure]], gauges: Sequence[Gauge]) -> list[Measure]:
    """Returns what ``compute`` returns; where it fails, that and why, so that the other items are scored."""
    try:
        return compute()
    except Exception as ex:
        reason = describe(ex)

        return [
            Measure(system=system, metric=gauge.metric, judge=gauge.judge, value=None, not_measured=reason)
            for gauge in gauges
            for system in gauge.systems
        ]


def describe(ex: Exception) -> str:
    """Returns one line that says what happened."""
    line = (str(ex).strip() or "no reason given").splitlines()[0]

    return f"{type(ex).__name__}: {line}"
