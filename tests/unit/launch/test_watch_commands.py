from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.launch.record import Record, launches_dir, new_record, process_start
from codec_s2st.launch.watch_commands import main_cancel, main_logs, main_status
from tests.launches import FakeSlurm, make_info


def make_record(folder: Path, **changes: object) -> Record:
    record = new_record(launches_dir(folder))

    record.write_info(make_info(**changes))

    return record


class TestStatus:
    def test_a_line_each_state(self, tmp_path: Path, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
        record = make_record(tmp_path, name="tokenize-x", array=3)

        record.write_exit(1, 0)

        slurm.queue(("7_0", "RUNNING", "None", "0:05", 0, "n1"), ("7_2", "RUNNING", "None", "0:05", 0, "n1"))

        assert main_status([str(tmp_path)]) == 0

        assert capsys.readouterr().out.splitlines() == [
            f"tokenize-x  job 7 [0,2]  RUNNING  n1 0:05  {record.folder}",
            f"tokenize-x  job 7 [1]  DONE  {record.folder}",
        ]

    def test_a_failure_shows_the_last_lines_of_the_rank_that_failed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = make_record(tmp_path)

        record.write_failure(1, None)
        record.write_exit(None, 2)

        log = record.log(make_info(), None, 1, "err")

        log.write_text("".join(f"line {number}\n" for number in range(20)) + "the cause\n")

        main_status([str(tmp_path)])

        lines = capsys.readouterr().out.splitlines()

        assert lines[0] == f"cpt-out  job 7  FAILED  exit code 2  {record.folder}"
        assert lines[1] == f"  the last lines of rank 1, {log}:"
        assert len(lines) == 12 and lines[-1] == "    the cause"

    def test_what_has_not_failed_shows_none(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        record = make_record(tmp_path)

        record.log(make_info(), None, 0, "err").write_text("a warning\n")

        for code in (0, 85):
            record.write_exit(None, code)

            main_status([str(tmp_path)])

        assert "a warning" not in capsys.readouterr().out


class TestLogs:
    @pytest.fixture
    def record(self, tmp_path: Path) -> Record:
        record = make_record(tmp_path, num_tasks=2)

        for rank in range(2):
            for kind in ("out", "err"):
                record.log(make_info(), None, rank, kind).write_text(f"{kind} {rank} a\n{kind} {rank} b\n")

        record.write_exit(None, 0)

        return record

    def test_of_rank_0_or_another(self, tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
        assert main_logs([str(tmp_path)]) == 0

        output = capsys.readouterr()

        assert (output.out, output.err) == ("out 0 a\nout 0 b\n", "err 0 a\nerr 0 b\n")

        main_logs([str(tmp_path), "--rank", "1", "--lines", "1"])

        output = capsys.readouterr()

        assert (output.out, output.err) == ("out 1 b\n", "err 1 b\n")

    def test_follow_ends_with_the_run(self, tmp_path: Path, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
        record.exit_file(None).unlink()

        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

        record.write_info(
            make_info(cluster="local", host=socket.gethostname(), pid=process.pid, pid_start=process_start(process.pid))
        )

        def end() -> None:
            time.sleep(0.7)

            with record.log(make_info(), None, 0, "out").open("a") as fp:
                fp.write("late\n")

            process.kill()

            # One that nobody waits for stays in the table of processes.
            process.wait()

        thread = Thread(target=end)

        thread.start()

        try:
            assert main_logs([str(tmp_path), "--follow", "--lines", "1"]) == 0
        finally:
            thread.join()

        assert capsys.readouterr().out == "out 0 b\nlate\n"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--rank", "2"], "--rank is 2, but there are ranks 0 to 1"),
            (["--rank", "-1"], "--rank is -1, but there are ranks 0 to 1"),
            (["--element", "0"], "--element is 0, but it is no array"),
        ],
    )
    def test_says_which_there_are(self, tmp_path: Path, record: Record, arguments: list[str], message: str) -> None:
        with pytest.raises(UserInputError, match=message):
            main_logs([str(tmp_path), *arguments])

    def test_of_a_pipeline_a_step_must_be_named(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            make_record(tmp_path / "steps" / name, name=name)

        with pytest.raises(UserInputError, match=f"is a pipeline .name a step: {tmp_path}/steps/b"):
            main_logs([str(tmp_path)])


class TestCancel:
    def test_cancels_what_lives_of_a_pipeline(
        self, tmp_path: Path, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
    ) -> None:
        records = [
            make_record(tmp_path / "steps" / name, name=name, job_id=job) for name, job in (("a", "7"), ("b", "8"))
        ]

        records[0].write_exit(None, 0)

        slurm.queue(("8", "PENDING", "Dependency", "0:00", 0, ""))

        assert main_cancel([str(tmp_path)]) == 0

        assert slurm.calls("scancel") == ["8"]
        assert capsys.readouterr().out == "cancelled b  job 8\n"

        assert records[1].cancelled.exists() and not records[0].cancelled.exists()

    def test_says_so_if_nothing_lives(
        self, tmp_path: Path, slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]
    ) -> None:
        make_record(tmp_path).write_exit(None, 0)

        assert main_cancel([str(tmp_path)]) == 0

        assert capsys.readouterr().out == "nothing waits or runs\n" and slurm.calls("scancel") == []

    def test_what_runs_here_gets_a_signal(self, tmp_path: Path) -> None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

        try:
            make_record(
                tmp_path,
                cluster="local",
                host=socket.gethostname(),
                pid=process.pid,
                pid_start=process_start(process.pid),
            )

            main_cancel([str(tmp_path)])

            assert process.wait(timeout=30) == -signal.SIGTERM
        finally:
            process.kill()
