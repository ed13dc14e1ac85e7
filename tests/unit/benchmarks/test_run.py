from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import busy
import pytest
import run
from run import Script

ROWS = """
import json, sys
path = sys.argv[sys.argv.index("--json") + 1]
row = {"id": "X1a", "what": "w", "unit": "s", "value": 1.0, "goal": "<= 2"}
open(path, "w").write(json.dumps([row]))
"""


@pytest.fixture
def scripts(tmp_path: Path) -> tuple[Script, ...]:
    def write(name: str, text: str) -> str:
        tmp_path.joinpath(name).write_text(text)

        return str(tmp_path / name)

    return (
        Script(write("bad.py", "raise SystemExit(3)"), ("B",)),
        Script(write("half.py", ROWS + "sys.exit(1)"), ("H",)),
        Script(write("silent.py", ""), ("S",)),
        Script(write("slow.py", "import time; time.sleep(60)"), ("T",)),
        Script(write("good.py", ROWS), ("X1",)),
    )


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "describe_machine", lambda: {"cpu": "some"})
    monkeypatch.setattr(run, "watch_others", lambda seconds: 0.0)
    monkeypatch.setattr(run.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(run, "processors_of_others", lambda begin, end: 0.0)


def read_results(folder: Path) -> dict[str, object]:
    (file,) = folder.iterdir()

    results: dict[str, object] = json.loads(file.read_text())

    return results


@pytest.mark.usefixtures("quiet")
def test_script_that_fails_is_a_row_and_the_others_go_on(tmp_path: Path, scripts: tuple[Script, ...]) -> None:
    code = run.main(["--results", str(tmp_path / "results"), "--timeout", "5"], scripts)

    assert code == 1

    metrics = read_results(tmp_path / "results")["metrics"]

    assert isinstance(metrics, list)

    assert [(row["id"], row["met"]) for row in metrics] == [
        ("bad", False),
        ("X1a", True),
        ("half", False),
        ("silent", False),
        ("slow", False),
        ("X1a", True),
    ]

    errors = [row["error"] for row in metrics]

    assert "ended with 3" in errors[0] and "wrote no rows" in errors[3] and "after 5 s" in errors[4]


@pytest.mark.usefixtures("quiet")
def test_only_runs_the_scripts_of_these_parts(tmp_path: Path, scripts: tuple[Script, ...]) -> None:
    assert run.main(["--results", str(tmp_path / "results"), "--only", "X1"], scripts) == 0

    results = read_results(tmp_path / "results")

    assert {"machine", "versions", "load", "metrics"} <= results.keys()
    assert [row["busy"] for row in results["metrics"]] == [False]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("quiet")
def test_busy_machine_is_refused_in_one_line(
    tmp_path: Path, scripts: tuple[Script, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "watch_others", lambda seconds: 1.5)

    assert run.main(["--results", str(tmp_path / "results")], scripts) == 1

    error = capsys.readouterr().err

    assert error.count("\n") == 1 and "1.50" in error and "--force" in error

    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("quiet")
def test_forced_rows_are_marked(
    tmp_path: Path, scripts: tuple[Script, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "watch_others", lambda seconds: 1.5)

    assert run.main(["--results", str(tmp_path / "results"), "--force", "--only", "X1"], scripts) == 0

    results = read_results(tmp_path / "results")

    assert [row["busy"] for row in results["metrics"]] == [True]  # type: ignore[attr-defined]

    assert "yes (busy)" in capsys.readouterr().out


@pytest.mark.usefixtures("quiet")
def test_rows_are_marked_where_others_came_in_between(
    tmp_path: Path, scripts: tuple[Script, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "processors_of_others", lambda begin, end: 0.9)

    run.main(["--results", str(tmp_path / "results"), "--only", "X1"], scripts)

    assert [row["busy"] for row in read_results(tmp_path / "results")["metrics"]] == [True]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("quiet")
def test_no_gpu_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "has_gpu", lambda: False)

    assert run.main(["--gpu", "--results", str(tmp_path / "results")]) == 1

    error = capsys.readouterr().err

    assert error.count("\n") == 1 and "NVIDIA GPU" in error


def test_every_script_is_there_and_takes_the_arguments_that_it_is_given() -> None:
    for script in (*run.SCRIPTS, *run.GPU_SCRIPTS):
        text = (run.FOLDER / script.file).read_text()

        for argument in script.arguments[::2]:
            assert f'"{argument}"' in text or argument == "--rounds", (script.file, argument)

        for part in script.parts:
            assert f'"{part}"' in text, (script.file, part)


def test_children_are_not_others() -> None:
    begin = busy.cpu_times()

    subprocess.run([sys.executable, "-c", "sum(i for i in range(3_000_000))"], check=True)

    end = busy.cpu_times()

    assert end.own - begin.own > 0.05
    assert end.system > begin.system


def test_others_are_what_the_system_did_beside_us() -> None:
    begin = busy.CpuTimes(clock=10.0, system=100.0, own=5.0)

    assert busy.processors_of_others(begin, busy.CpuTimes(clock=14.0, system=108.0, own=9.0)) == 1.0
    assert busy.processors_of_others(begin, busy.CpuTimes(clock=14.0, system=104.0, own=9.1)) == 0.0


def test_why_busy() -> None:
    assert busy.why_busy(0.05, 0.9, 2) is None
    assert "0.50 of 2 processors" in (busy.why_busy(0.5, 0.0, 2) or "")
    assert "1.20" in (busy.why_busy(0.0, 1.2, 2) or "")
