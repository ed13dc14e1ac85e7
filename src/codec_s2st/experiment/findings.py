"""What follows from the scores: whether a statement is confirmed, refuted, or not decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from codec_s2st.evaluation.resampling import PairedTests
from codec_s2st.experiment.experiment import Check, Finding
from codec_s2st.experiment.samples import Sample, compare_samples, is_higher_better

CONFIRMED: Final = "confirmed"

REFUTED: Final = "refuted"

NOT_DECIDED: Final = "not decided"

MISSING: Final = "missing"

LEVEL: Final = 0.05
"""Below it, the paired bootstrap's p-value decides, if the interval of the difference does not hold zero."""

SamplesOf = Callable[[str, str], dict[int, Sample]]
"""Maps an arm and a task to what was scored, by seed."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What has become of one check."""

    better: str
    worse: str
    task: str
    metric: str | None
    verdict: str
    tests: PairedTests | None
    """The difference is that of ``better`` less ``worse``."""

    seeds: tuple[int, ...]
    """Those that both have."""


@dataclass(frozen=True, kw_only=True)
class FindingResult:
    name: str
    statement: str
    verdict: str
    checks: tuple[CheckResult, ...]


def decide(findings: Sequence[Finding], samples_of: SamplesOf) -> tuple[FindingResult, ...]:
    """Returns what the scores say of each statement."""
    results = []

    for finding in findings:
        checks = tuple(_check(check, samples_of) for check in finding.checks)

        results.append(
            FindingResult(
                name=finding.name,
                statement=finding.statement,
                verdict=_verdict([check.verdict for check in checks]),
                checks=checks,
            )
        )

    return tuple(results)


def _check(check: Check, samples_of: SamplesOf) -> CheckResult:
    better, worse = samples_of(check.better, check.task), samples_of(check.worse, check.task)

    seeds = tuple(seed for seed in better if seed in worse)

    tests = compare_samples([worse[seed] for seed in seeds], [better[seed] for seed in seeds]) if seeds else None

    metric = better[seeds[0]].metric if seeds else None

    if tests is None or metric is None:
        verdict = MISSING
    # Of few items, or of two systems that are the same, the p-value is small for want of other draws.
    elif tests.bootstrap_p >= LEVEL or tests.interval.low <= 0 <= tests.interval.high:
        verdict = NOT_DECIDED
    else:
        verdict = CONFIRMED if (tests.difference > 0) == is_higher_better(metric) else REFUTED

    return CheckResult(
        better=check.better,
        worse=check.worse,
        task=check.task,
        metric=metric,
        verdict=verdict,
        tests=tests,
        seeds=seeds,
    )


def _verdict(verdicts: Sequence[str]) -> str:
    """One that is refuted refutes the statement; to confirm it takes all."""
    for verdict in (REFUTED, MISSING, NOT_DECIDED):
        if verdict in verdicts:
            return verdict

    return CONFIRMED
