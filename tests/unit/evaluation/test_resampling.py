"""Tests of intervals and of tests of significance."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from codec_s2st.evaluation.metrics import METRICS, TextPair, item_counts, score
from codec_s2st.evaluation.resampling import ItemCounts, bootstrap_interval, paired_tests

WORDS = "we like the white flowers of my old friend who lives in the house behind the river".split()


def corpus(error_rate: float, seed: int, size: int = 40) -> tuple[list[str], list[str]]:
    """Returns references, and hypotheses with so many wrong words."""
    random = Random(7)

    references = [" ".join(random.choices(WORDS, k=random.randint(4, 12))) for _ in range(size)]

    random = Random(seed)

    return references, [
        " ".join("wrong" if random.random() < error_rate else word for word in reference.split())
        for reference in references
    ]


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_score_is_a_function_of_sums_over_items(metric: str) -> None:
    references, hypotheses = corpus(0.3, 1)

    hypotheses[3] = ""

    counts = item_counts(metric, references, hypotheses)

    assert counts.num_items == 40

    assert counts.score() == pytest.approx(METRICS[metric].compute(references, hypotheses, None), rel=1e-12)


@pytest.mark.parametrize(("metric", "name"), [("bleu", "BLEU"), ("chrf", "chrF2"), ("chrf++", "chrF2++")])
def test_p_values_are_those_of_sacrebleu(metric: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.significance import PairedTest

    monkeypatch.setenv("SACREBLEU_SEED", "5")

    references, one = corpus(0.3, 1)

    _, two = corpus(0.25, 2)

    theirs = {"bleu": BLEU(), "chrf": CHRF(), "chrf++": CHRF(word_order=2)}[metric]

    tests = paired_tests(
        item_counts(metric, references, one),
        item_counts(metric, references, two),
        seed=5,
        num_resamples=100,
        num_trials=200,
    )

    for test_type, num, p_value in [("bs", 100, tests.bootstrap_p), ("ar", 200, tests.randomisation_p)]:
        test = PairedTest([("one", one), ("two", two)], {name: theirs}, [references], test_type, n_samples=num)

        _, results = test()

        [first, second] = results[name]

        # They hold their sums in 32 bits.
        assert p_value == pytest.approx(second.p_value, abs=1e-9)

        assert tests.difference == pytest.approx(second.score - first.score)


def test_interval_is_that_of_a_slow_loop() -> None:
    references, hypotheses = corpus(0.3, 1)

    rng = np.random.default_rng(9)

    values = []

    for drawn in rng.choice(40, size=(50, 40), replace=True):
        pairs = [TextPair(str(idx), references[item], hypotheses[item]) for idx, item in enumerate(drawn)]

        values.append(score("wer", pairs).value)

    interval = bootstrap_interval(item_counts("wer", references, hypotheses), seed=9, num_resamples=50)

    assert interval == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_interval_narrows_with_more_items() -> None:
    widths = []

    for size in (10, 40, 160):
        interval = bootstrap_interval(item_counts("wer", *corpus(0.3, 1, size)), seed=0)

        assert interval is not None

        widths.append(interval.high - interval.low)

    assert widths[0] > widths[1] > widths[2]


def test_one_item_has_no_interval() -> None:
    assert bootstrap_interval(item_counts("wer", ["a b"], ["a"]), seed=0) is None

    assert score("wer", [TextPair("1", "a b", "a")]).interval is None


def test_equal_systems_do_not_differ() -> None:
    counts = item_counts("wer", *corpus(0.3, 1))

    tests = paired_tests(counts, counts, seed=0, num_resamples=50, num_trials=50)

    assert tests.difference == 0.0 and tests.interval == (0.0, 0.0)

    # The smallest p-value, which no resample exceeding zero would make of it, were a lie.
    assert tests.bootstrap_p == tests.randomisation_p == 1.0


def test_clear_difference_is_found_and_is_the_seconds_less_the_firsts() -> None:
    one, two = item_counts("wer", *corpus(0.5, 1)), item_counts("wer", *corpus(0.1, 2))

    tests = paired_tests(one, two, seed=0, num_resamples=200, num_trials=200)

    assert tests.difference == pytest.approx(two.score() - one.score()) and tests.difference < 0

    assert tests.interval.high < 0

    assert tests.bootstrap_p == tests.randomisation_p == pytest.approx(1 / 201)


@pytest.mark.parametrize("sizes", [(2, 3), (1, 1)])
def test_items_that_cannot_be_paired_raise_error(sizes: tuple[int, int]) -> None:
    one, two = (ItemCounts(np.ones((size, 2)), lambda sums: float(sums[0])) for size in sizes)

    with pytest.raises(ValueError, match="must have the same two or more items"):
        paired_tests(one, two, seed=0)
