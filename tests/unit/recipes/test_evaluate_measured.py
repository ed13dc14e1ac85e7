"""From what was measured of items to scores and warnings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codec_s2st.evaluation.measures import Gauge, Measure
from codec_s2st.evaluation.report import CHANCE, MODEL, REFERENCE_AUDIO, Identity
from codec_s2st.recipes.evaluate.items import EvaluatedItem, Hypothesis
from codec_s2st.recipes.evaluate.measured import item_warnings, score_measures
from codec_s2st.recipes.evaluate.scoring import score_items

LM = Identity("lm", "aa")

JUDGE = Identity("judge", "bb")

GAUGE = Gauge(metric="likeness", systems=(MODEL, REFERENCE_AUDIO), signature="cosine", judge="x (1)", instrument=JUDGE)


def item(id_: str, value: float | None, reason: str | None = None, **fields: object) -> EvaluatedItem:
    measure = Measure(system=MODEL, metric="likeness", judge="x (1)", value=value, not_measured=reason)

    return EvaluatedItem(id=id_, reference="one", measures=(measure,), **fields)  # type: ignore[arg-type]


def test_score_is_the_mean_with_all_that_it_needs() -> None:
    items = [item("a", 0.2), item("b", None, "too short"), item("c", 0.6), item("d", 9.0, translated=False)]

    model, reference = score_measures(items, [GAUGE], subjects={MODEL: LM}, seed=0)

    assert model.value == pytest.approx(0.4) and model.num_items == 2 and model.failed == ("b",)

    assert model.interval is not None and model.interval.low == pytest.approx(0.2)
    assert model.interval.high == pytest.approx(0.6)

    assert (model.subject, model.judge, model.instrument) == (LM, "x (1)", JUDGE)
    assert (model.signature, model.normaliser, model.transcriber) == ("mean|cosine", None, None)

    assert (
        reference.value is None and reference.not_measured == "likeness of reference audio: no item has what it needs"
    )

    assert [(found.id, found.reason) for found in item_warnings(items, [GAUGE])] == [
        ("b", "likeness of model: too short")
    ]


def test_what_fails_everywhere_is_said_once() -> None:
    items = [item("a", None, "not installed"), item("b", None, "not installed", warnings=("the output is silent",))]

    [model, _] = score_measures(items, [GAUGE], subjects={}, seed=0)

    assert model.value is None and model.not_measured == "likeness: not installed" and model.failed == ("a", "b")

    assert [(found.id, found.reason) for found in item_warnings(items, [GAUGE])] == [("b", "the output is silent")]


def test_what_fails_everywhere_for_different_reasons_is_said_of_each() -> None:
    items = [item("a", None, "too short"), item("b", None, "too long")]

    [model, _] = score_measures(items, [GAUGE], subjects={}, seed=0)

    assert model.not_measured == "likeness of model: it failed on all 2 items"

    assert len(item_warnings(items, [GAUGE])) == 2


def test_absent_judge_says_what_would_help() -> None:
    gauge = replace(GAUGE, absent="likeness: fetch it")

    assert {record.not_measured for record in score_measures([], [gauge], subjects={}, seed=0)} == {
        "likeness: fetch it"
    }


def test_item_that_a_listener_failed_on_is_named_and_the_others_are_scored() -> None:
    heard = Hypothesis(MODEL, "ear (1)", "one")

    items = [
        EvaluatedItem(id="a", reference="one", hypotheses=(heard,)),
        EvaluatedItem(id="b", reference="one", warnings=("listener ear of model: RuntimeError: no",)),
    ]

    records = score_items("s2st", items, transcribers=["ear (1)"], model=LM, codec=LM, seed=0)

    for record in records:
        if record.system == MODEL:
            assert record.num_items == 1 and record.failed == ("b",)
        else:
            assert record.failed == () and (record.system != CHANCE or record.num_items == 2)

    assert item_warnings(items, [])[0].reason == "listener ear of model: RuntimeError: no"
