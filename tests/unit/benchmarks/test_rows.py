from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rows import Limit, Peer, Row, Times, failed_row, interleave, make_parser, row_from_json, run_parts, write_rows


def make_row(**fields: Any) -> Row:
    return Row(**{"id": "P1a", "what": "steps", "unit": "1/s", "value": 6.0, **fields})


@pytest.mark.parametrize(
    ("goal", "value", "ratio", "met"),
    [
        (">= 5", 6.0, None, True),
        (">= 5", 5.0, None, True),
        (">= 5", 4.9, None, False),
        ("<= 0.6", 0.6, None, True),
        ("< 2", 2.0, None, False),
        ("> -1.5", -1.4, None, True),
        # The ratio is what a goal is about, where there is one.
        (">= 5", 100.0, 1.2, False),
        ("<= 1.1", 100.0, 1.0, True),
        (None, 1.0, 1.0, None),
    ],
)
def test_whether_a_goal_is_met_is_computed(
    goal: str | None, value: float, ratio: float | None, met: bool | None
) -> None:
    row = make_row(goal=goal, value=value, ratio=ratio)

    assert row.met is met

    assert row.to_json()["met"] is met


def test_nan_meets_no_goal() -> None:
    assert make_row(goal=">= 5", value=float("nan")).met is False
    assert make_row(goal="<= 5", value=float("nan")).met is False


@pytest.mark.parametrize("goal", ["5", ">= five", "about 5", "== 5", ">= 5x"])
def test_goal_that_is_no_comparison_is_refused(goal: str) -> None:
    with pytest.raises(ValueError, match="P1a"):
        make_row(goal=goal)


def test_row_without_value_needs_an_error() -> None:
    with pytest.raises(ValueError, match="either a value or an error"):
        make_row(value=None)


def test_met_cannot_be_given() -> None:
    fields = make_row(goal=">= 5", value=1.0).to_json()

    assert row_from_json({**fields, "met": True}).met is False


def test_json_and_back() -> None:
    row = make_row(goal=">= 5", peer=Peer(name="other", value=1.0), limit=Limit(value=9.0, how="measured"), ratio=6.0)

    assert row_from_json(json.loads(json.dumps(row.to_json()))) == row


def test_reason_is_written_only_where_the_goal_is_missed() -> None:
    assert make_row(goal=">= 5", value=6.0, reason="slow").to_json()["reason"] == ""
    assert make_row(goal=">= 5", value=4.0, reason="slow").to_json()["reason"] == "slow"
    assert make_row(goal=">= 5", value=4.0).to_json()["reason"] == "not looked into"


def test_ways_take_turns_and_neither_is_always_first() -> None:
    order: list[str] = []

    times = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2, warmups=1)

    assert "".join(order) == "baabba"

    assert {len(part) for way in times.values() for part in (way.wall, way.cpu)} == {2}


def test_speedup_is_the_median_of_the_rounds() -> None:
    ours, theirs = Times(wall=(1.0, 2.0, 4.0), cpu=(1.0,) * 3), Times(wall=(3.0, 2.0, 8.0), cpu=(5.0,) * 3)

    assert ours.speedup_over(theirs, "wall") == 2.0
    assert ours.speedup_over(theirs) == 5.0
    assert (ours.least("wall"), ours.middle("wall")) == (1.0, 2.0)


def test_part_that_fails_is_a_row_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.json"

    args = make_parser("", ["P1", "P2", "P3"]).parse_args(["--json", str(file), "--only", "P2", "P3"])

    def fail() -> list[Row]:
        raise RuntimeError("out of luck")

    code = run_parts({"P1": fail, "P2": fail, "P3": lambda: [make_row(id="P3a")]}, args)

    assert code == 1

    first, second = json.loads(file.read_text())

    assert first["id"] == "P2" and first["met"] is False and "out of luck" in first["error"]
    assert second["id"] == "P3a" and second["error"] == ""

    assert "out of luck" in capsys.readouterr().out


def test_numbers_of_other_kinds_are_written(tmp_path: Path) -> None:
    write_rows([make_row(value=np.float32(1.5), ratio=np.float64(2.0), goal=">= 1")], tmp_path / "rows.json")

    (row,) = json.loads(tmp_path.joinpath("rows.json").read_text())

    assert (row["value"], row["ratio"], row["met"]) == (1.5, 2.0, True)


def test_failed_row_is_never_met() -> None:
    assert failed_row("P1", "gone").met is False
