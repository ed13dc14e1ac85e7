from __future__ import annotations

import os
import shlex
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.launch.calls import Call
from codec_s2st.launch.preset import LaunchPreset
from codec_s2st.launch.record import process_start
from codec_s2st.launch.start import Launch, describe, start
from codec_s2st.launch.targets import find_launches
from tests.launches import FakeSlurm

SLURM = LaunchPreset(name="x", cluster="slurm", time_minutes=10, tasks_per_node=2)


def make_launch(out: Path, preset: LaunchPreset, array: int | None = None) -> Launch:
    call = Call(name="cpt", arguments=("--config", "x=1"), out=out)

    return Launch(name="cpt-x", call=call, preset=preset, parent=out / "launch", array=array, fingerprint="f")


class TestStart:
    def test_the_record_says_what_ran(self, tmp_path: Path, slurm: FakeSlurm) -> None:
        record, info = start(make_launch(tmp_path / "out", SLURM), "codec: demo_codec\n", ["5"])

        assert {file.name for file in record.folder.iterdir()} >= {
            *("cards.yaml", "commit.txt", "config.yaml", "launch.json", "logs", "packages.txt", "submission.sh")
        }

        assert record.config.read_text() == "codec: demo_codec\n"
        assert record.submission.read_text() == record.logs.joinpath("7_submission.sh").read_text()
        assert "--dependency=afterok:5\n" in record.submission.read_text()

        # JSON has no tuples.
        assert replace(record.read_info(), preset={}) == replace(info, preset={})

        assert (info.job_id, info.cluster, info.num_tasks, info.fingerprint) == ("7", "slurm", 2, "f")
        assert (info.host, info.pid, info.pid_start) == (socket.gethostname(), os.getpid(), process_start(os.getpid()))
        assert info.preset["time_minutes"] == 10

        # By the job's id it is found again.
        [(found, _)] = find_launches("7")

        assert found.folder == record.folder

    def test_nothing_stays_of_what_was_refused(self, tmp_path: Path, slurm: FakeSlurm) -> None:
        slurm.answer("sbatch", stderr="sbatch: error: invalid account", code=1)

        with pytest.raises(UserInputError, match="invalid account"):
            start(make_launch(tmp_path / "out", SLURM), "seed: 1\n")

        assert not tmp_path.joinpath("out").exists()

    @pytest.mark.parametrize(
        ("preset", "arguments", "what"),
        [
            (replace(SLURM, setup=("login --with hf_abcdefgh",)), (), "the launch preset"),
            (SLURM, ("--token", "hf_abcdefgh"), "the command"),
        ],
    )
    def test_a_secret_is_refused(
        self,
        tmp_path: Path,
        slurm: FakeSlurm,
        monkeypatch: pytest.MonkeyPatch,
        preset: LaunchPreset,
        arguments: tuple[str, ...],
        what: str,
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")

        launch = Launch(
            name="x",
            call=Call(name="ls", arguments=arguments, out=None),
            preset=preset,
            parent=tmp_path / "out" / "launch",
        )

        with pytest.raises(UserInputError, match=f"{what} holds the value of the environment variable HF_TOKEN"):
            start(launch, None)

        assert not tmp_path.joinpath("out").exists() and slurm.calls("sbatch") == []

    def test_what_was_there_stays(self, tmp_path: Path, slurm: FakeSlurm) -> None:
        start(make_launch(tmp_path / "out", SLURM), "seed: 1\n")

        slurm.answer("sbatch", stderr="sbatch: error: invalid account", code=1)

        with pytest.raises(UserInputError, match="invalid account"):
            start(make_launch(tmp_path / "out", SLURM), "seed: 1\n")

        assert [path.name for path in tmp_path.glob("out/launch/*")] == ["001"]

    def test_here_nothing_is_submitted(self, tmp_path: Path) -> None:
        record, info = start(make_launch(tmp_path / "out", LaunchPreset(name="local")), "seed: 1\n")

        assert (info.job_id, info.cluster) == ("local", "local")

        assert shlex.split(record.submission.read_text()) == [sys.executable, *info.command]


class TestDescribe:
    def test_writes_nothing(self, tmp_path: Path) -> None:
        text = describe(make_launch(tmp_path / "out", SLURM, array=3))

        assert text.startswith("#!/bin/bash\n") and "#SBATCH --array=0-2%3\n" in text

        out, config = tmp_path / "out", tmp_path / "out" / "launch" / "001" / "config.yaml"

        assert text.endswith(
            f"\n# 3 elements of 2 ranks: python -m codec_s2st.recipes.cpt {out} --no-rich --config-file {config}\n"
        )

        assert list(tmp_path.iterdir()) == []
