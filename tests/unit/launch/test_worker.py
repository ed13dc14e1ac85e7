from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from codec_s2st.launch.record import Record, new_record
from codec_s2st.launch.worker import Worker, exit_code_of_rank

# Its child: writes its variables to a file and waits for a signal; or ends with a code.
CHILD = """
import json, os, signal, sys, time
from pathlib import Path
def stop(number, frame):
    sys.exit(85)
signal.signal(signal.SIGUSR2, stop)
Path(sys.argv[1]).write_text(json.dumps(dict(os.environ)))
if sys.argv[2] == 'wait':
    time.sleep(60)
sys.exit(int(sys.argv[2]))
"""

VARIABLES = {
    "SUBMITIT_EXECUTOR": "slurm",
    "SLURM_JOB_ID": "7",
    "SLURM_NTASKS": "4",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_NODEID": "1",
    "SLURM_JOB_NODELIST": "gpu-[03-04]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_RESTART_COUNT": "2",
}


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return new_record(tmp_path / "launch")


def start_worker(record: Record, command: Sequence[str], **variables: str) -> subprocess.Popen[str]:
    """Runs a worker as submitit does: from its pickle, in a process with the variables of a task."""
    file = record.folder / "worker.pkl"

    file.write_bytes(pickle.dumps(Worker(record.folder, command, {"MASTER_PORT": "1234"})))

    return subprocess.Popen(
        [sys.executable, "-c", f"import pickle; pickle.load(open({str(file)!r}, 'rb'))()"],
        env={**os.environ, **VARIABLES, **variables},
        stderr=subprocess.PIPE,
        text=True,
    )


class TestWorker:
    def test_the_child_knows_its_rank(self, record: Record, tmp_path: Path) -> None:
        worker = start_worker(record, ["-c", CHILD, str(tmp_path / "env"), "0"])

        assert worker.communicate(timeout=60)[1] == "" and worker.returncode == 0

        environment = json.loads(tmp_path.joinpath("env").read_text())

        assert {name: environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")} == {
            "RANK": "3",
            "WORLD_SIZE": "4",
            "LOCAL_RANK": "1",
            "LOCAL_WORLD_SIZE": "2",
        }

        # The preset's has the last word.
        assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("gpu-03", "1234")
        assert environment["CODEC_S2ST_REQUEUES"] == "2"

        assert record.read_failure() is None

    @pytest.mark.parametrize(("rank", "code"), [("0", 85), ("3", 0)])
    def test_a_signal_reaches_the_child_and_rank_0_alone_says_so(
        self, record: Record, tmp_path: Path, rank: str, code: int
    ) -> None:
        file = tmp_path / "env"

        worker = start_worker(record, ["-c", CHILD, str(file), "wait"], SLURM_PROCID=rank)

        while not file.exists() or not file.read_text():
            assert worker.poll() is None

        worker.send_signal(signal.SIGUSR2)

        assert worker.communicate(timeout=60)[1] == "" and worker.returncode == code

        assert record.read_failure() is None

    def test_a_failure_is_noted(self, record: Record, tmp_path: Path) -> None:
        worker = start_worker(
            record,
            ["-c", CHILD, str(tmp_path / "env"), "3"],
            SLURM_ARRAY_JOB_ID="6",
            SLURM_ARRAY_TASK_ID="5",
        )

        assert worker.communicate(timeout=60)[1].startswith("codec-s2st launch: rank 3 on ")

        assert worker.returncode == 3 and record.read_failure() == (3, 5)


@pytest.mark.parametrize(
    ("rank", "code", "expected"),
    [
        (0, 0, 0),
        (1, 0, 0),
        (0, 85, 85),
        (1, 85, 0),
        # It had no handler yet, and nothing to save: the others must not wait for it.
        (0, 140, 85),
        (1, 140, 140),
        (0, 137, 137),
        (1, 2, 2),
    ],
)
def test_exit_code_of_rank(rank: int, code: int, expected: int) -> None:
    assert exit_code_of_rank(rank, code) == expected


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, codec_s2st.launch.worker, codec_s2st.launch.pipeline_command, codec_s2st.launch.watch_commands\n"
        "print(sorted({'torch', 'fairseq2', 'fairseq2n', 'transformers', 'polars', 'numpy'} & sys.modules.keys()))"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
