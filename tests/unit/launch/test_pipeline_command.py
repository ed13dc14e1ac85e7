from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.launch import pipeline_command
from codec_s2st.launch.pipeline_command import main
from codec_s2st.launch.record import Record, process_start
from tests.launches import FakeSlurm

# `cp` refuses to replace a file: a step that were run twice would fail.
PIPELINE = """
out: {out}
steps:
  first:
    run: cp cpt/demo/joint ${{out}}/first.yaml
    creates: ["${{out}}/first.yaml"]
  second:
    needs: [first]
    run: cp slurm/local ${{out}}/second.yaml
    creates: ["${{out}}/second.yaml"]
  beside:
    array: 2
    run: ls --kind presets
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "p.yaml"

    file.write_text(PIPELINE.format(out=tmp_path / "out"))

    return file


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    file = tmp_path / "cluster.yaml"

    file.write_text("cluster: slurm\ntime: 10\n")

    return file


def lines_of(text: str) -> list[str]:
    """What the command says itself, without what its steps print."""
    return [line for line in text.splitlines() if line.split(": ")[0] in ("first", "second", "beside")]


class TestHere:
    def test_runs_in_order_and_only_what_is_not_done(
        self, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"

        assert main([str(file)]) == 0

        assert lines_of(capfd.readouterr().out) == ["first: starts", "second: starts", "beside: starts"]

        assert out.joinpath("second.yaml").is_file() and out.joinpath("pipeline.yaml").read_text() == file.read_text()

        assert sorted(path.name for path in out.glob("steps/beside/launch/001/exit*")) == ["exit_0", "exit_1"]

        assert main([str(file)]) == 0

        assert lines_of(capfd.readouterr().out) == ["first: done", "second: done", "beside: done"]

        # What a step should have created is part of its being done.
        out.joinpath("second.yaml").unlink()

        assert main([str(file)]) == 0

        assert lines_of(capfd.readouterr().out) == ["first: done", "second: starts", "beside: done"]

    def test_a_change_runs_the_step_and_those_that_need_it_again(
        self, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        main([str(file)])

        file.write_text(file.read_text().replace("cpt/demo/joint", "cpt/demo/text-lm"))

        for path in tmp_path.glob("out/*.yaml"):
            path.unlink()

        capfd.readouterr()

        assert main([str(file)]) == 0

        assert lines_of(capfd.readouterr().out) == ["first: starts", "second: starts", "beside: done"]

        assert (tmp_path / "out/steps/first/launch/002").is_dir()

    def test_ends_at_the_step_that_fails_and_goes_on_there(
        self, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"

        out.mkdir()

        out.joinpath("second.yaml").touch()

        with pytest.raises(CodecS2STError, match="rank 0 ended with exit code 2") as info:
            main([str(file)])

        assert info.value.exit_code == 2

        output = capfd.readouterr()

        assert lines_of(output.out) == ["first: starts", "second: starts"]
        assert f"{out}/second.yaml exists" in output.err

        out.joinpath("second.yaml").unlink()

        assert main([str(file)]) == 0

        assert lines_of(capfd.readouterr().out) == ["first: done", "second: starts", "beside: starts"]

    def test_stops_where_a_step_was_stopped(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(pipeline_command, "run_local", lambda *args: 85)

        assert main([str(file)]) == 85

        assert lines_of(capfd.readouterr().out) == ["first: starts"]


class TestOnSlurm:
    def test_submits_steps_that_wait_for_each_other(
        self, file: Path, preset: Path, slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(file), "--preset", str(preset)]) == 0

        assert capsys.readouterr().out.splitlines() == [
            "first: submitted job 7",
            "second: submitted job 7 after 7",
            "beside: submitted job 7",
            f"see: codec-s2st launch status {tmp_path}/out",
        ]

        texts = {
            name: Record(tmp_path / f"out/steps/{name}/launch/001").submission.read_text()
            for name in ("first", "second", "beside")
        }

        assert "dependency" not in texts["first"] and "--dependency=afterok:7\n" in texts["second"]
        assert "#SBATCH --array=0-1%2\n" in texts["beside"]

    def test_what_is_done_or_waits_is_not_submitted_again(
        self, file: Path, preset: Path, slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        argv = [str(file), "--preset", str(preset)]

        main(argv)

        tmp_path.joinpath("out/first.yaml").touch()

        Record(tmp_path / "out/steps/first/launch/001").write_exit(None, 0)
        Record(tmp_path / "out/steps/beside/launch/001").write_exit(0, 0)
        Record(tmp_path / "out/steps/beside/launch/001").write_exit(1, 1)

        slurm.queue(("7", "PENDING", "Resources", "0:00", 0, ""))

        capsys.readouterr()

        assert main(argv) == 0

        assert lines_of(capsys.readouterr().out) == [
            "first: done",
            "second: job 7 waits or runs",
            "beside: submitted job 7",
        ]

        assert len(slurm.calls("sbatch")) == 4

    def test_what_waits_is_needed_by_its_id(
        self, file: Path, preset: Path, slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        argv = [str(file), "--preset", str(preset)]

        main(argv)

        # The second step has gone, the first one waits.
        second = Record(tmp_path / "out/steps/second/launch/001")

        second.write_exit(None, 1)

        slurm.queue(("7", "RUNNING", "None", "0:01", 0, "n1"))
        slurm.answer("sbatch", "Submitted batch job 9")

        capsys.readouterr()

        main(argv)

        assert "second: submitted job 9 after 7" in capsys.readouterr().out

    def test_what_waits_with_other_arguments_is_in_the_way(
        self, file: Path, preset: Path, slurm: FakeSlurm, tmp_path: Path
    ) -> None:
        argv = [str(file), "--preset", str(preset)]

        main(argv)

        slurm.queue(("7", "PENDING", "Resources", "0:00", 0, ""))

        file.write_text(file.read_text().replace("slurm/local", "slurm/debug"))

        with pytest.raises(UserInputError, match="step second waits or runs as job 7, with other arguments"):
            main(argv)

        assert len(slurm.calls("sbatch")) == 3

    def test_dry_run_writes_nothing(
        self, file: Path, preset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(file), "--preset", str(preset), "--dry-run"]) == 0

        output = capsys.readouterr().out

        assert "#SBATCH --dependency=afterok:JOB_OF_first\n" in output
        assert f"# one rank: python -m codec_s2st cp slurm/local {tmp_path}/out/second.yaml\n" in output

        assert not tmp_path.joinpath("out").exists()

    def test_without_slurm_nothing_is_written(
        self, file: Path, preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nowhere")

        with pytest.raises(UserInputError, match="sbatch was not found"):
            main([str(file), "--preset", str(preset)])

        assert not tmp_path.joinpath("out").exists()


def test_what_runs_here_is_in_the_way(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_command, "run_local", lambda *args: 85)

    main([str(file)])

    info = Record(tmp_path / "out/steps/first/launch/001").read_info()

    assert (info.host, info.pid, info.pid_start) == (socket.gethostname(), os.getpid(), process_start(os.getpid()))

    with pytest.raises(UserInputError, match="step first runs already"):
        main([str(file)])
