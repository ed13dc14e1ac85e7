"""What the tests ask of ``codec-s2st launch``, each time in a process of its own, as a user does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.slurm.cluster import Cluster, wait_for
from tests.toy_runs import read_metrics


def launch(cluster: Cluster, *arguments: str | Path, code: int = 0) -> str:
    """Runs ``codec-s2st launch`` and returns what it prints; fails unless it ends with ``code``."""
    result = subprocess.run(
        [sys.executable, "-m", "codec_s2st", "launch", *map(str, arguments)],
        env=cluster.environment,
        cwd=cluster.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == code, f"{arguments}\n{result.stdout}\n{result.stderr}"

    return result.stdout + result.stderr


def submit(cluster: Cluster, *arguments: str | Path) -> str:
    """Launches something and returns the id of its job."""
    output = launch(cluster, *arguments)

    match = re.search(r"submitted job (\d+);", output)

    assert match is not None, output

    return match[1]


def submit_cpt(cluster: Cluster, preset: Path, out: Path, overrides: Sequence[str]) -> str:
    return submit(cluster, "--preset", preset, "--", "cpt", out, "--config", *overrides)


def wait_for_state(cluster: Cluster, job_id: str, state: str, seconds: float = 600) -> None:
    """Waits until a job is in a state; what has failed will not change any more."""
    final = {"CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}

    def is_reached() -> bool:
        found = cluster.states()[job_id]

        assert found == state or found not in final, f"{found}: {launch(cluster, 'status', job_id)}"

        return found == state

    wait_for(is_reached, seconds)


def step_of(run: Path) -> int:
    """Returns the last step whose metrics were published, 0 if there is none."""
    if not run.joinpath("metrics", "train.jsonl").exists():
        return 0

    try:
        return max(read_metrics(run), default=0)
    except ValueError:
        # A line that is being written.
        return 0


def wait_for_step(cluster: Cluster, job_id: str, run: Path, step: int, seconds: float = 600) -> None:
    """Waits until a run has published the metrics of a step."""

    def is_reached() -> bool:
        assert cluster.states()[job_id] in ("PENDING", "RUNNING", "COMPLETING"), launch(cluster, "status", job_id)

        return step_of(run) >= step

    wait_for(is_reached, seconds)
