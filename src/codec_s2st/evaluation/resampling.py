"""How sure a score is, and a difference of two: resampling of items.

A score of a corpus is a function of sums over its items (matched n-grams, edits, lengths), so that it can be computed
for thousands of other corpora of the same items at the price of a sum each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_RESAMPLES: Final = 1_000

NUM_TRIALS: Final = 10_000
"""Of an approximate randomisation."""


@dataclass(frozen=True)
class ItemCounts:
    """What a score is made of."""

    counts: NDArray[Any]
    """A row an item; their sum is all that the score needs."""

    score_of: Callable[[NDArray[Any]], float]
    """Maps a sum of rows to the score."""

    @property
    def num_items(self) -> int:
        return len(self.counts)

    def score(self) -> float:
        return self.score_of(self.counts.sum(0))


class Interval(NamedTuple):
    """Where a score would lie on 95 % of other samples of the same kind."""

    low: float
    high: float


def bootstrap_interval(items: ItemCounts, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> Interval | None:
    """Returns the percentile bootstrap's 95 % interval (Koehn 2004); ``None`` for fewer than two items."""
    import numpy as np

    if items.num_items < 2:
        return None

    scores = [items.score_of(sums[0]) for sums in _resample(items, seed=seed, num_resamples=num_resamples)]

    low, high = np.percentile(scores, [2.5, 97.5])

    return Interval(float(low), float(high))


@dataclass(frozen=True, kw_only=True)
class PairedTests:
    """Whether two systems differ on the same items."""

    difference: float
    """The second's score less the first's."""

    interval: Interval
    """The percentile bootstrap's 95 % interval of the difference."""

    bootstrap_p: float
    """Of the paired bootstrap."""

    randomisation_p: float
    """Of the approximate randomisation."""


def paired_tests(
    one: ItemCounts,
    two: ItemCounts,
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
    num_trials: int = NUM_TRIALS,
) -> PairedTests:
    """Tests whether two systems' scores of the same items differ by more than chance.

    Both p-values are two-sided and are sacrebleu's (``PairedTest``) for the same seed: the paired bootstrap of Koehn
    (2004) as in Moses, and approximate randomisation (Riezler and Maxwell 2005) as in MultEval. Neither is ever 0.
    Of systems that are equal item by item both are 1, where sacrebleu's are the smallest.

    :raises ValueError: the items are not as many, or fewer than two.
    """
    import numpy as np

    if one.num_items != two.num_items or one.num_items < 2:
        raise ValueError(f"Both must have the same two or more items, but have {one.num_items} and {two.num_items}.")

    # Nothing is ever greater than no difference at all, which would look like certainty.
    if np.array_equal(one.counts, two.counts):
        return PairedTests(difference=0.0, interval=Interval(0.0, 0.0), bootstrap_p=1.0, randomisation_p=1.0)

    difference = two.score() - one.score()

    resampled = np.array(
        [
            two.score_of(sums_two) - one.score_of(sums_one)
            for sums_one, sums_two in _resample(one, two, seed=seed, num_resamples=num_resamples)
        ]
    )

    distances = np.abs(resampled)

    low, high = np.percentile(resampled, [2.5, 97.5])

    trials = np.array(
        [
            abs(two.score_of(sums_two) - one.score_of(sums_one))
            for sums_one, sums_two in _exchange(one, two, seed=seed, num_trials=num_trials)
        ]
    )

    return PairedTests(
        difference=difference,
        interval=Interval(float(low), float(high)),
        bootstrap_p=_p_value(distances - distances.mean(), abs(difference)),
        randomisation_p=_p_value(trials, abs(difference)),
    )


def _resample(*systems: ItemCounts, seed: int, num_resamples: int) -> Iterator[list[NDArray[Any]]]:
    """Yields the sums of each system over items that are drawn with replacement, the same for all."""
    import numpy as np

    size = systems[0].num_items

    for drawn in np.random.default_rng(seed).choice(size, size=(num_resamples, size), replace=True):
        times = np.bincount(drawn, minlength=size)

        yield [times @ system.counts for system in systems]


def _exchange(one: ItemCounts, two: ItemCounts, *, seed: int, num_trials: int) -> Iterator[list[NDArray[Any]]]:
    """Yields the sums of both where half of the items, at random, are exchanged between them."""
    import numpy as np

    both = one.counts.sum(0) + two.counts.sum(0)

    for kept in np.random.default_rng(seed).integers(2, size=(num_trials, one.num_items), dtype=bool):
        sums = kept @ one.counts + ~kept @ two.counts

        yield [sums, both - sums]


def _p_value(values: NDArray[Any], observed: float) -> float:
    # One more on both sides, so that no finite number of trials claims certainty.
    return (int((values > observed).sum()) + 1) / (len(values) + 1)
