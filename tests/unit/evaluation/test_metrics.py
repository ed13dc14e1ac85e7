"""Metrics against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.metrics import METRICS, TextPair, score


def pairs(*texts: tuple[str, str]) -> list[TextPair]:
    return [TextPair(f"i{idx}", reference, hypothesis) for idx, (reference, hypothesis) in enumerate(texts)]


def f_score_of_ngrams(reference: str, hypothesis: str, *, orders: Sequence[int], beta: float) -> float:
    """chrF of one pair: the F-score of the mean precision and the mean recall of n-grams without blanks."""
    precisions, recalls = [], []

    for order in orders:
        grams = [
            [text[idx : idx + order] for idx in range(len(text) - order + 1)]
            for text in (reference.replace(" ", ""), hypothesis.replace(" ", ""))
        ]

        matches = sum(min(grams[0].count(gram), grams[1].count(gram)) for gram in set(grams[1]))

        precisions.append(matches / len(grams[1]))
        recalls.append(matches / len(grams[0]))

    precision, recall = (sum(values) / len(values) for values in (precisions, recalls))

    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


class TestWer:
    def test_errors_are_counted_over_the_corpus(self) -> None:
        # One substitution and one insertion; one deletion; over 4 + 2 words.
        result = score("wer", pairs(("the cat sat down", "the dog sat down now"), ("good morning", "good")))

        assert result.value == pytest.approx(3 / 6)
        assert result.num_items == 2
        assert result.signature == f"jiwer:{version('jiwer')}"

    def test_can_exceed_one(self) -> None:
        assert score("wer", pairs(("yes", "no no no"))).value == pytest.approx(3.0)


class TestCer:
    def test_characters_are_counted_with_blanks(self) -> None:
        # "a bc" against "a bd e": one substitution, two insertions, over 4 characters.
        assert score("cer", pairs(("a bc", "a bd e"))).value == pytest.approx(3 / 4)


class TestBleu:
    def test_value_of_one_wrong_word(self) -> None:
        # The third word is wrong: of the 4 3-grams only "on the mat" stays, and none of the 3 4-grams, whose count of 0
        # is smoothed to a half. Lengths are equal: no brevity penalty.
        result = score("bleu", pairs(("the cat sat on the mat", "the cat lay on the mat")))

        expected = 100 * math.exp((math.log(5 / 6) + math.log(3 / 5) + math.log(1 / 4) + math.log(1 / 6)) / 4)

        assert result.value == pytest.approx(expected)

    def test_brevity_penalty(self) -> None:
        result = score("bleu", pairs(("a b c d e f g h", "a b c d")))

        assert result.value == pytest.approx(100 * math.exp(1 - 8 / 4))

    def test_signature_is_sacrebleus(self) -> None:
        signature = score("bleu", pairs(("a", "a"))).signature

        assert signature == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version('sacrebleu')}"


class TestChrf:
    def test_value_of_a_slow_count(self) -> None:
        reference, hypothesis = "seven green chairs", "seven great chairs"

        expected = f_score_of_ngrams(reference, hypothesis, orders=range(1, 7), beta=2.0)

        assert score("chrf", pairs((reference, hypothesis))).value == pytest.approx(expected)

    def test_signature_is_sacrebleus(self) -> None:
        signature = score("chrf", pairs(("a", "a"))).signature

        assert signature == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version('sacrebleu')}"


class TestScore:
    @pytest.mark.parametrize("metric", METRICS)
    def test_perfect_is_perfect_after_normalisation(self, metric: str) -> None:
        perfect = 100.0 if METRICS[metric].higher_is_better else 0.0

        result = score(metric, pairs(("It's Seven, o'clock!", "its seven  oclock"), ("We met four old men.",) * 2))

        assert result.value == pytest.approx(perfect)
        assert result.normaliser == "basic-1"

    @pytest.mark.parametrize("metric", METRICS)
    def test_empty_reference_is_named_and_left_out(self, metric: str) -> None:
        good = ("the red house", "the red horse")

        result = score(metric, pairs(good, ("?!", "the red house"), good))

        assert result.value == score(metric, pairs(good, good)).value
        assert result.empty_references == ("i1",)
        assert result.num_items == 2

    @pytest.mark.parametrize("metric", METRICS)
    def test_empty_hypothesis_is_named_and_costs(self, metric: str) -> None:
        good = ("the red house is far", "the red house is far")

        result = score(metric, pairs(good, ("the red house is far", "...")))

        assert result.empty_hypotheses == ("i1",)
        assert result.num_items == 2

        assert result.value is not None

        if METRICS[metric].higher_is_better:
            assert result.value < 95
        else:
            assert result.value == pytest.approx(0.5)

    @pytest.mark.parametrize("metric", METRICS)
    def test_nothing_to_score_has_no_value(self, metric: str) -> None:
        assert score(metric, []).value is None

        assert score(metric, pairs(("", "a"))).value is None

    def test_unknown_metric_suggests_the_nearest(self) -> None:
        with pytest.raises(UserInputError, match="did you mean 'bleu'"):
            score("blue", [])
