"""What is monitored of a training is the same in one process and in two, whatever the layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from codec_s2st.codecs import load_codec
from tests.factories import toy_rows, write_toy_shards
from tests.parallel.runs import NUM_STEPS, RANKS, train
from tests.toy_runs import Toy, read_metrics

LAYOUTS: Final = ("ddp", "fsdp-layer", "tp")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("monitored")

    rows = toy_rows(120, num_streams=3, num_valid=20)

    write_toy_shards(folder / "shards", rows, load_codec("demo_codec").fingerprint.first(3))

    # Odd numbers, of which the ranks have unequal shares.
    (folder / "texts.txt").write_text("uno dos tres casa\nrio sol uno dos\ncasa casa rio\n")

    question = {"context": "uno dos", "choices": [" tres", " casa"], "answer": 0}

    (folder / "choices.jsonl").write_text(f"{json.dumps(question)}\n" * 3)

    options = [
        f"text_retention={{texts: {folder / 'texts.txt'}, choices: {folder / 'choices.jsonl'}, language: eng}}",
        "validation_samples={num_items: 1, max_seconds: 1}",
    ]

    toy = Toy(folder)

    layouts = {**train(toy, {"one": options}, 1), **train(toy, {name: [*options, *RANKS[name]] for name in LAYOUTS}, 2)}

    return {name: layout.folder for name, layout in layouts.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_texts_are_scored_alike(runs: dict[str, Path], layout: str) -> None:
    one, two = (read_metrics(runs[name], "valid/text_retention") for name in ("one", layout))

    assert list(one) == list(two) == [0, NUM_STEPS]

    for step, values in one.items():
        assert len([name for name in values if name.startswith("text")]) == 12

        assert two[step] == pytest.approx(values, rel=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_are_measured_alike(runs: dict[str, Path], layout: str) -> None:
    one, two = (read_metrics(runs[name]) for name in ("one", layout))

    for step, values in one.items():
        for name, value in values.items():
            if name.startswith("weights/norm"):
                assert two[step][name] == pytest.approx(value, rel=1e-4), (step, name)

            # Where a rank has other parts, other numbers are looked at: a mistaken sum over ranks would be a factor.
            if name.startswith("weights/update_ratio"):
                assert two[step][name] == pytest.approx(value, rel=0.15), (step, name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_predictions_of_validations_are_measured_alike(runs: dict[str, Path], layout: str) -> None:
    for task in ("s2st", "asr-reverse", "s2tt"):
        one, two = (read_metrics(runs[name], f"valid/{task}")[NUM_STEPS] for name in ("one", layout))

        names = [name for name in one if name.startswith(("accuracy/", "entropy/", "codes/"))]

        assert len(names) > 10

        assert {name: two[name] for name in names} == pytest.approx({name: one[name] for name in names}, rel=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_samples_are_generated_alike(runs: dict[str, Path], layout: str) -> None:
    one, two = (read_metrics(runs[name], "valid/samples")[NUM_STEPS] for name in ("one", layout))

    assert two["samples/length_ratio"] == pytest.approx(one["samples/length_ratio"])
