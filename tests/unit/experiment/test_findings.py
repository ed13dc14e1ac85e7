from __future__ import annotations

from random import Random

import numpy as np
import pytest

from codec_s2st.evaluation.resampling import paired_tests
from codec_s2st.experiment.experiment import Check, Finding
from codec_s2st.experiment.findings import CONFIRMED, MISSING, NOT_DECIDED, REFUTED, decide
from codec_s2st.experiment.samples import Sample, compare_samples, pool, sample_of_texts

NUM_ITEMS = 60


def wrong_words(rate: float, seed: int) -> Sample:
    """A word error rate of about ``rate`` on sentences of ten words."""
    rng = Random(seed)

    rows = {str(idx): np.array([sum(rng.random() < rate for _ in range(10)), 10.0]) for idx in range(NUM_ITEMS)}

    return Sample("wer", rows, lambda sums: float(sums[0] / sums[1]))


ARMS = {
    "good": {1: wrong_words(0.1, 1), 2: wrong_words(0.1, 2)},
    "bad": {1: wrong_words(0.5, 3), 2: wrong_words(0.5, 4)},
    "as_bad": {1: wrong_words(0.5, 5), 2: wrong_words(0.5, 6)},
    "one_seed": {2: wrong_words(0.5, 7)},
    "no_run": {},
}


def verdict(*checks: tuple[str, str]) -> str:
    finding = Finding(name="f", statement="f", checks=tuple(Check(better=b, worse=w, task="asr") for b, w in checks))

    return decide([finding], lambda arm, task: ARMS[arm])[0].verdict


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        # Of an error rate, less is better.
        ([("good", "bad")], CONFIRMED),
        ([("bad", "good")], REFUTED),
        ([("bad", "as_bad")], NOT_DECIDED),
        ([("bad", "bad")], NOT_DECIDED),
        ([("good", "no_run")], MISSING),
        ([("good", "one_seed")], CONFIRMED),
        ([("good", "bad"), ("good", "as_bad")], CONFIRMED),
        ([("good", "bad"), ("bad", "as_bad")], NOT_DECIDED),
        ([("good", "bad"), ("good", "no_run")], MISSING),
        ([("good", "bad"), ("bad", "good"), ("good", "no_run")], REFUTED),
    ],
)
def test_verdict(checks: list[tuple[str, str]], expected: str) -> None:
    assert verdict(*checks) == expected


def test_a_few_items_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(num_wrong: int) -> Sample:
        rows = {str(idx): np.array([float(idx < num_wrong), 10.0]) for idx in range(4)}

        return Sample("wer", rows, lambda sums: float(sums[0] / sums[1]))

    monkeypatch.setitem(ARMS, "few", {1: few(0)})
    monkeypatch.setitem(ARMS, "one_wrong", {1: few(1)})

    assert verdict(("few", "one_wrong")) == NOT_DECIDED


def test_a_check_says_which_seeds_it_is_of() -> None:
    finding = Finding(name="f", statement="f", checks=(Check(better="good", worse="one_seed", task="asr"),))

    [result] = decide([finding], lambda arm, task: ARMS[arm])

    [check] = result.checks

    assert check.seeds == (2,) and check.tests is not None and check.tests.difference < 0


def test_seeds_are_drawn_together() -> None:
    good, bad = list(ARMS["good"].values()), list(ARMS["bad"].values())

    found = compare_samples(bad, good)

    # By hand: an item's counts are the sums over seeds.
    ids = list(good[0].rows)

    assert pool(good, ids).counts.tolist() == [list(good[0].rows[i] + good[1].rows[i]) for i in ids]

    assert found == paired_tests(pool(bad, ids), pool(good, ids), seed=0)


def test_perplexity_is_of_all_ids() -> None:
    sample = sample_of_texts([2.0, 6.0], [1, 3])

    assert sample.value == pytest.approx(np.exp(8.0 / 4))
