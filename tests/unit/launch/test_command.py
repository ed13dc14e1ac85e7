from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.launch import calls
from codec_s2st.launch.calls import Call
from codec_s2st.launch.command import main
from codec_s2st.launch.record import Record, launches_dir, new_record, process_start
from tests.launches import FakeSlurm, make_info

CALL = ["--", "cpt", "--preset", "demo/joint"]


@pytest.fixture(autouse=True)
def config(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration without the seconds that fairseq2 needs."""
    monkeypatch.setattr(calls, "resolve_config", lambda call: "codec: demo_codec\n")


@pytest.fixture
def preset(tmp_path: Path) -> str:
    """A launch preset for SLURM."""
    file = tmp_path / "mine.yaml"

    file.write_text("cluster: slurm\ntime: 10\nnodes: 2\n")

    return str(file)


class TestMain:
    def test_submits_and_says_what_comes_next(
        self, tmp_path: Path, slurm: FakeSlurm, preset: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"

        assert main(["--preset", preset, "--array", "2", "--", "tokenize", str(out), "--preset", "demo"]) == 0

        assert capsys.readouterr().out == (
            "submitted job 7; see: codec-s2st launch status 7, codec-s2st launch logs 7 --follow\n"
        )

        info = Record(out / "launch" / "001").read_info()

        assert (info.name, info.array, info.num_tasks) == ("tokenize-out", 2, 2)

    def test_dry_run_shows_file_and_configuration(
        self, tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["--preset", preset, "--dry-run", "--", "cpt", str(tmp_path / "out")]) == 0

        output = capsys.readouterr().out

        assert output.startswith("#!/bin/bash\n") and "#SBATCH --nodes=2\n" in output
        assert output.endswith("\n# cpt: the resolved configuration\ncodec: demo_codec\n")

        assert not tmp_path.joinpath("out").exists()

    def test_here_it_runs_in_the_foreground(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(
            Call, "command", lambda call, record: ["-c", "import os; print('rank', os.environ['RANK'])"]
        )

        assert main(["--", "cpt", str(tmp_path / "out")]) == 0

        assert capfd.readouterr().out == "rank 0\n"

        assert Record(tmp_path / "out" / "launch" / "001").read_exit(None) == 0

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "what is to be launched is missing"),
            (["--preset", "1x88", "--", "cpt", "out"], "unknown launch preset '1x88': did you mean '1x8'?"),
            (["cpt", "out"], "'cpt' stands before -- (codec-s2st launch [--preset P] -- cpt out)"),
            (["--prest", "1x8", "--", "cpt", "out"], "did you mean --preset?"),
            (["--array", "0", "--", "cpt", "out"], "--array is 0, but must be at least 1"),
            (["--array", "x", "--", "cpt", "out"], "invalid int value"),
            (["--array", "2", "--", "cpt", "out"], "cpt cannot be an array of 2 jobs"),
        ],
    )
    def test_a_mistake_is_one_line(self, argv: list[str], message: str) -> None:
        with pytest.raises(UserInputError) as info:
            main(argv)

        assert message in str(info.value)

    def test_without_slurm_it_says_what_to_do(
        self, tmp_path: Path, preset: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nowhere")

        with pytest.raises(UserInputError, match=r"sbatch was not found.*codec-s2st launch --preset local"):
            main(["--preset", preset, "--", "cpt", str(tmp_path / "out")])

        assert not tmp_path.joinpath("out").exists()

    def test_what_waits_or_runs_is_not_launched_again(self, tmp_path: Path, slurm: FakeSlurm, preset: str) -> None:
        argv = ["--preset", preset, "--", "cpt", str(tmp_path)]

        record = new_record(launches_dir(tmp_path))

        record.write_info(make_info())

        slurm.queue(("7", "PENDING", "Resources", "0:00", 0, ""))

        with pytest.raises(UserInputError, match=f"was launched and is PENDING .*codec-s2st launch cancel {tmp_path}"):
            main(argv)

        slurm.queue(("7", "CANCELLED", "None", "0:00", 0, ""))

        assert main(argv) == 0

    def test_nor_what_runs_here(self, tmp_path: Path) -> None:
        new_record(launches_dir(tmp_path)).write_info(
            make_info(
                cluster="local",
                host=socket.gethostname(),
                pid=os.getpid(),
                pid_start=process_start(os.getpid()),
            )
        )

        with pytest.raises(UserInputError, match="was launched and is RUNNING"):
            main(["--", "cpt", str(tmp_path)])

    @pytest.mark.parametrize("name", ["pipeline", "status", "logs", "cancel"])
    def test_commands_have_their_own_help(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as info:
            main([name, "--help"])

        assert info.value.code == 0

        assert f"usage: codec-s2st launch {name}" in capsys.readouterr().out
