"""Tests of ``codec-s2st compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from codec_s2st.cli import main
from codec_s2st.evaluation.measures import Gauge, Measure
from codec_s2st.evaluation.report import CHANCE, MODEL, write_report
from codec_s2st.recipes.evaluate.items import EvaluatedItem, Hypothesis, rank_file, write_items
from tests.reports import make_report

WORDS = "we like the white flowers of my old friend who lives in the house behind the river".split()

LISTENER = "open (ears 1.0)"


def make_items(error_rate: float, *, num: int = 30, listener: str | None = LISTENER) -> list[EvaluatedItem]:
    texts, errors = Random(7), Random(int(100 * error_rate))

    items = []

    for idx in range(num):
        reference = texts.choices(WORDS, k=6)

        heard = ["wrong" if errors.random() < error_rate else word for word in reference]

        hypothesis = Hypothesis(MODEL, listener, " ".join(heard))

        items.append(
            EvaluatedItem(id=f"i{idx}", reference=" ".join(reference), hypotheses=(hypothesis,), seconds_in=1.0)
        )

    return items


def write(
    folder: Path,
    items: list[EvaluatedItem],
    *,
    model: str = "m",
    num_ranks: int = 1,
    gauges: Sequence[Gauge] = (),
) -> Path:
    folder.mkdir(parents=True)

    write_report(make_report(items, model=f"codec_s2st_{model}", num_ranks=num_ranks, gauges=gauges), folder)

    for rank in range(num_ranks):
        write_items(rank_file(folder, rank), items[rank::num_ranks])

    return folder


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()

    assert main(["compare", *map(str, args)]) == 2

    [line] = capsys.readouterr().err.splitlines()

    return line


def compare(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, object]:
    capsys.readouterr()

    assert main(["compare", "--json", *map(str, args)]) == 0

    output: dict[str, object] = json.loads(capsys.readouterr().out)

    return output


def test_better_model_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "one", make_items(0.6), model="worse")
    two = write(tmp_path / "two", make_items(0.1), model="better", num_ranks=3)

    found = compare(capsys, one / "report.json", two, "--out", tmp_path / "out")

    differences = {entry["metric"]: entry for entry in found["differences"]}  # type: ignore[attr-defined]

    assert list(differences) == ["asr-bleu", "asr-chrf", "asr-chrf++", "asr-wer"]

    for metric, entry in differences.items():
        better = -1 if metric == "asr-wer" else 1

        assert entry["tests"]["difference"] * better > 0

        assert entry["tests"]["bootstrap_p"] < 0.01 and entry["tests"]["randomisation_p"] < 0.01

        assert entry["num_items"] == 30 and entry["transcriber"] == "open"

    # They are the reports' own figures.
    for folder, key in ((one, "first_value"), (two, "second_value")):
        report = json.loads((folder / "report.json").read_text())

        for record in report["scores"]:
            if record["system"] == MODEL:
                assert differences[record["metric"]][key] == pytest.approx(record["value"])

    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found

    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")

    assert "| asr-wer | open | " in (tmp_path / "out" / "comparison.md").read_text()


def test_table_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "one", make_items(0.3, listener=None))
    two = write(tmp_path / "two", make_items(0.3, listener=None))

    assert main(["compare", str(one), str(two), str(one)]) == 0

    lines = capsys.readouterr().out.splitlines()

    # Two of a name are told apart by letters.
    assert lines[2].split()[:3] == ["wer", "-", "-"] and lines[2].split()[4:7:2] == ["A", "B"]

    assert "+0.000 [+0.000, +0.000]" in lines[2] and f"A: {one}/report.json" in lines

    assert any(line.startswith("p-values are of one comparison each") for line in lines)


def test_items_of_one_alone_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path / "one", make_items(0.3), model="a")
    two = write(tmp_path / "two", make_items(0.2)[2:], model="b")

    found = compare(capsys, one, two)

    assert {entry["num_items"] for entry in found["differences"]} == {28}  # type: ignore[attr-defined]

    assert "2 items that only one of the two has are left out" in str(found["remarks"])


def test_languages_are_compared_by_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def mixed(error_rate: float) -> list[EvaluatedItem]:
        return [replace(item, language="eng" if idx % 3 else "deu") for idx, item in enumerate(make_items(error_rate))]

    found = compare(capsys, write(tmp_path / "one", mixed(0.5)), write(tmp_path / "two", mixed(0.2), model="b"))

    sizes = {(entry["language"], entry["num_items"]) for entry in found["differences"]}  # type: ignore[attr-defined]

    assert sizes == {("deu", 10), ("eng", 20)}


class TestMeasures:
    JUDGE = "xvector:x (transformers 1)"

    GAUGE = Gauge(metric="likeness", systems=(MODEL,), signature="s", judge=JUDGE)

    def judged(self, value: float, **more: object) -> list[EvaluatedItem]:
        return [
            replace(
                item,
                measures=(Measure(system=MODEL, metric="likeness", judge=self.JUDGE, value=value + 0.01 * (idx % 3)),),
                **more,  # type: ignore[arg-type]
            )
            for idx, item in enumerate(make_items(0.3))
        ]

    def test_means_are_compared_item_by_item(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        one = write(tmp_path / "one", self.judged(0.4, language="eng"), model="a", gauges=[self.GAUGE])

        items = self.judged(0.6, language="eng")

        # What failed for one of the two is left out of both.
        items[0] = replace(
            items[0],
            measures=(
                Measure(system=MODEL, metric="likeness", judge=self.JUDGE, value=None, not_measured="too short"),
            ),
        )

        two = write(tmp_path / "two", items, model="b", gauges=[self.GAUGE])

        found = compare(capsys, one, two, "--out", tmp_path / "out")

        [entry] = [entry for entry in found["differences"] if entry["metric"] == "likeness"]  # type: ignore[attr-defined]

        assert entry["num_items"] == 29 and entry["judge"] == "xvector:x" and entry["normaliser"] is None

        assert entry["tests"]["difference"] == pytest.approx(0.2) and entry["tests"]["bootstrap_p"] < 0.01

        assert "| likeness | xvector:x | " in (tmp_path / "out" / "comparison.md").read_text()

    def test_other_judge_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        one = write(tmp_path / "one", self.judged(0.4), gauges=[self.GAUGE])

        gauge = replace(self.GAUGE, judge="xvector:x (transformers 2)")

        items = [replace(item, measures=(replace(item.measures[0], judge=gauge.judge),)) for item in self.judged(0.4)]

        two = write(tmp_path / "two", items, gauges=[gauge])

        assert "the judge of likeness differs" in refused(capsys, one, two)

    def test_one_item_is_no_comparison(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        def write_one(name: str) -> Path:
            items = self.judged(0.4)

            items[1:] = [replace(item, measures=()) for item in items[1:]]

            return write(tmp_path / name, items, gauges=[self.GAUGE])

        found = compare(capsys, write_one("one"), write_one("two"))

        assert "likeness is of fewer than two items in common" in str(found["remarks"])


class TestRefused:
    def test_files(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        one = write(tmp_path / "one", make_items(0.3))

        assert "one report cannot be compared" in refused(capsys, one)

        assert "does not exist" in refused(capsys, one, tmp_path / "absent.json")

        tmp_path.joinpath("x.json").write_text("{")

        assert "x.json' is not a report" in refused(capsys, one, tmp_path / "x.json")

        tmp_path.joinpath("x.json").write_text("[]")

        assert "x.json' is not a report of" in refused(capsys, one, tmp_path / "x.json")

        assert "must not be negative" in refused(capsys, one, one, "--seed", "-1")

        assert "is not a folder" in refused(capsys, one, one, "--out", tmp_path / "x.json")

    def test_report_without_its_items(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        one, two = write(tmp_path / "one", make_items(0.3)), write(tmp_path / "two", make_items(0.3), num_ranks=2)

        two.joinpath("rank_1.jsonl").rename(tmp_path / "elsewhere")

        assert "keep rank_*.jsonl beside report.json" in refused(capsys, one, two)

        two.joinpath("rank_1.jsonl").write_text("{}\n")

        assert "rank_1.jsonl' cannot be read" in refused(capsys, one, two)

    def test_report_of_another_format(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        one = write(tmp_path / "one", make_items(0.3))

        file = one / "report.json"

        file.write_text(json.dumps({**json.loads(file.read_text()), "format": 1}))

        assert "has the format 1, but this is 3" in refused(capsys, one, one)

    @pytest.mark.parametrize(("name", "value"), [("signature", "tok:zh"), ("normaliser", "other-1")])
    def test_score_of_another_kind(
        self, name: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one, two = write(tmp_path / "one", make_items(0.3)), write(tmp_path / "two", make_items(0.2))

        file = two / "report.json"

        report = json.loads(file.read_text())

        for record in report["scores"]:
            if record["system"] != CHANCE:
                record[name] = value

        file.write_text(json.dumps(report))

        assert f"the {name} of asr-bleu differs (" in refused(capsys, one, two)

    def test_other_version_of_the_listener(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        one = write(tmp_path / "one", make_items(0.3))
        two = write(tmp_path / "two", make_items(0.2, listener="open (ears 2.0)"))

        assert f"the transcriber of asr-bleu differs ({LISTENER} | open (ears 2.0))" in refused(capsys, one, two)

    def test_nothing_in_common(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        one = write(tmp_path / "one", make_items(0.3))
        two = write(tmp_path / "two", make_items(0.3, listener=None))

        assert "they have no score in common" in refused(capsys, one, two)

        items = [replace(item, id=f"other{item.id}") for item in make_items(0.3)]

        assert "they have 0 items in common" in refused(capsys, one, write(tmp_path / "three", items))

    def test_another_reference(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        items = make_items(0.3)

        one = write(tmp_path / "one", items)
        two = write(tmp_path / "two", [replace(items[0], reference="something else"), *items[1:]])

        assert "the reference of item 'i0' differs" in refused(capsys, one, two)
