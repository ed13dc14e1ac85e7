from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codec_s2st.cli import main
from codec_s2st.experiment import pipeline
from codec_s2st.experiment.experiment import Experiment
from codec_s2st.experiment.pipeline import Compiled
from tests.experiments import write_yaml


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets an experiment be compiled to two steps of a moment each."""

    def compile_experiment(experiment: Experiment, *, only: str | None = None) -> Compiled:
        steps = {
            # `cp` refuses to replace a file: a step that were run twice would fail.
            "copy": {"run": ["cp", "slurm/local", "${out}/copy.yaml"], "creates": ["${out}/copy.yaml"]},
            "table": {"needs": ["copy"], "run": ["experiment", "table", "${out}"], "creates": ["${out}/results.json"]},
        }

        return Compiled(steps=steps, configs={"asr-joint-1": {"seed": experiment.seeds[0]}})

    monkeypatch.setattr(pipeline, "compile_experiment", compile_experiment)


def started(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("copy: ", "table: "))]


@pytest.mark.usefixtures("light")
class TestRun:
    def test_second_call_runs_nothing(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        command = ["experiment", str(write_yaml(tmp_path)), str(tmp_path / "out"), "--launch", "local"]

        assert main(command) == 0

        assert started(capfd.readouterr().out) == ["copy: starts", "table: starts"]

        assert tmp_path.joinpath("out", "results.html").is_file()

        assert main(command) == 0

        assert started(capfd.readouterr().out) == ["copy: done", "table: done"]

        # What is lost is made again, and what needs nothing is not.
        tmp_path.joinpath("out", "results.json").unlink()

        assert main(command) == 0

        assert started(capfd.readouterr().out) == ["copy: done", "table: starts"]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"corpora": {"test": {"manifest": "/nowhere/m.parquet"}}}, "manifest /nowhere/m.parquet does not exist"),
            ({"retention": {"language": "eng", "text": "/nowhere/t.txt"}}, "file '/nowhere/t.txt', which `retention`"),
        ],
    )
    def test_absent_files_are_said_before_anything_runs(
        self, changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file, out = write_yaml(tmp_path / "source", **changes), tmp_path / "out"

        assert main(["experiment", str(file), str(out), "--launch", "local"]) == 2

        assert message in capsys.readouterr().err and not out.exists()

    def test_dry_run_writes_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file, out = write_yaml(tmp_path / "source"), tmp_path / "out"

        assert main(["experiment", str(file), str(out), "--dry-run"]) == 0

        printed = capsys.readouterr().out

        assert f"# copy: to do\ncodec-s2st cp slurm/local {out}/copy.yaml\n" in printed
        assert printed.endswith("2 steps, 0 of them done\n")

        assert not out.exists()

    def test_seeds_of_the_command_are_those_of_the_table(self, tmp_path: Path) -> None:
        file, out = write_yaml(tmp_path / "source"), tmp_path / "out"

        assert main(["experiment", str(file), str(out), "--seeds", "1"]) == 0

        assert "seed 2" not in out.joinpath("results.md").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["four-wya", "out"], "unknown experiment 'four-wya'"),
        (["four-way", "out", "--preset", "smal"], "did you mean 'small'?"),
        (["four-way", "out", "--seeds", "0", "--dry-run"], "--seeds is 0"),
        (["four-way", "out", "--only", "joint", "--dry-run"], "not of the form ARM/TASK"),
        (["four-way"], "the following arguments are required: OUT"),
        (["texts", "x.txt", "--world", "smal"], "did you mean 'small'?"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", *argv]) == 2

    error = capsys.readouterr().err

    assert message in error and error.count("\n") == 1


def test_texts_are_sentences_of_a_world(tmp_path: Path) -> None:
    file = tmp_path / "new" / "texts.txt"

    assert main(["experiment", "texts", str(file), "--world", "small", "--num", "7"]) == 0

    lines = file.read_text().splitlines()

    assert len(lines) == len(set(lines)) == 7 and all(4 <= len(line.split()) <= 9 for line in lines)
