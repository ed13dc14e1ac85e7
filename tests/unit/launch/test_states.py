from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from codec_s2st.launch.record import Record, new_record, process_start
from codec_s2st.launch.states import find_states
from tests.launches import FakeSlurm, make_info


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return new_record(tmp_path / "launch")


class TestFindStates:
    @pytest.mark.parametrize(
        ("code", "state", "detail"),
        [
            (0, "DONE", ""),
            (85, "STOPPED", "exit code 85: the same command goes on"),
            (140, "STOPPED", "exit code 85: the same command goes on"),
            (3, "FAILED", "exit code 3"),
        ],
    )
    def test_what_has_ended_is_not_asked_about(
        self, record: Record, slurm: FakeSlurm, code: int, state: str, detail: str
    ) -> None:
        record.write_exit(None, code)

        [[found]] = find_states([(record, make_info())])

        assert (found.state, found.detail, found.is_live) == (state, detail, False)

        assert slurm.calls("squeue") == []

    def test_the_queue_is_asked_once(self, tmp_path: Path, slurm: FakeSlurm) -> None:
        records = [new_record(tmp_path / "launch") for _ in range(2)]

        slurm.queue(
            ("7", "PENDING", "Resources", "0:00", 0, ""),
            ("8_0", "RUNNING", "None", "1:00", 2, "node1"),
            ("8_1", "TIMEOUT", "TimeLimit", "2:00", 0, "node1"),
        )

        first, second = find_states(
            [(records[0], make_info()), (records[1], make_info(job_id="8", array=2))],
        )

        assert [(state.state, state.detail, state.is_live) for state in (*first, *second)] == [
            ("PENDING", "Resources", True),
            ("RUNNING", "node1 1:00 requeued 2 times", True),
            ("TIMEOUT", "node1", False),
        ]

        assert len(slurm.calls("squeue")) == 1

    def test_what_the_queue_has_forgotten_is_lost_or_cancelled(self, record: Record, slurm: FakeSlurm) -> None:
        [[state]] = find_states([(record, make_info())])

        assert (state.state, state.is_live) == ("LOST", False) and "job 7" in state.detail

        record.cancelled.touch()

        [[state]] = find_states([(record, make_info())])

        assert (state.state, state.is_live) == ("CANCELLED", False)

    def test_here_it_lives_as_long_as_its_process(self, record: Record) -> None:
        info = make_info(
            cluster="local", host=socket.gethostname(), pid=os.getpid(), pid_start=process_start(os.getpid())
        )

        [[state]] = find_states([(record, info)])

        assert (state.state, state.is_live) == ("RUNNING", True)

        # Another process has its id now.
        [[state]] = find_states([(record, make_info(cluster="local", host=socket.gethostname(), pid=os.getpid()))])

        assert (state.state, state.is_live) == ("LOST", False)

    def test_of_another_machine_nothing_is_known(self, record: Record) -> None:
        [[state]] = find_states([(record, make_info(cluster="local", host="elsewhere"))])

        assert (state.state, state.detail) == ("UNKNOWN", "it was started on elsewhere")
