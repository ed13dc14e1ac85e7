"""A pipeline as a graph of jobs on a real SLURM."""

from __future__ import annotations

import json
from pathlib import Path

from tests.slurm.cluster import Cluster, wait_for
from tests.slurm.jobs import launch

# `cp` refuses to replace a file, so that a step that were run twice would fail.
PIPELINE = """
out: here
steps:
  first:
    run: cp cpt/demo/joint ${out}/first.yaml
    creates: ["${out}/first.yaml"]
  second:
    needs: [first]
    # A target in a folder that does not exist yet.
    run: cp slurm/local ${out}/sub/second.yaml
    creates: ["${out}/sub/second.yaml"]
  third:
    needs: [second, many]
    run: ls --kind presets
  many:
    array: 3
    run: ls --kind presets
"""


def test_only_what_is_not_done_is_submitted_again(cluster: Cluster, tmp_path: Path) -> None:
    file, preset, out = tmp_path / "p.yaml", tmp_path / "one.yaml", tmp_path / "out"

    file.write_text(PIPELINE)

    preset.write_text("cluster: slurm\ntime: 5\n")

    def run() -> list[str]:
        output = launch(cluster, "pipeline", file, "--out", out, "--preset", preset)

        return [" ".join(line.split()[:2]) for line in output.splitlines()[:-1]]

    def job_of(step: str, number: str = "001") -> str:
        return str(json.loads((out / "steps" / step / "launch" / number / "launch.json").read_text())["job_id"])

    def has_ended(*jobs: str) -> bool:
        states = cluster.states()

        return not any(
            state in ("PENDING", "RUNNING", "COMPLETING")
            for job, state in states.items()
            if job.partition("_")[0] in jobs
        )

    # None starts, let alone ends.
    cluster.run("scontrol", "update", "PartitionName=low", "State=DOWN")

    assert run() == ["first: submitted", "second: submitted", "many: submitted", "third: submitted"]

    # Asked again at once, the jobs are there.
    assert run() == ["first: job", "second: job", "many: job", "third: job"]

    cluster.run("scontrol", "update", "PartitionName=low", "State=UP")

    jobs = {step: job_of(step) for step in ("first", "second", "many", "third")}

    wait_for(lambda: has_ended(*jobs.values()), 120)

    states = cluster.states()

    assert states[jobs["first"]] == "COMPLETED" and states[jobs["second"]] == "FAILED"

    assert [states[f"{jobs['many']}_{element}"] for element in range(3)] == ["COMPLETED"] * 3

    # It would wait forever for one that has failed.
    assert states[jobs["third"]] == "CANCELLED"

    status = launch(cluster, "status", out)

    assert "second.yaml cannot be written" in status and "many  job" in status and "[0,1,2]  DONE" in status

    out.joinpath("sub").mkdir()

    assert run() == ["first: done", "second: submitted", "many: done", "third: submitted"]

    wait_for(lambda: has_ended(job_of("second", "002"), job_of("third", "002")), 120)

    assert run() == ["first: done", "second: done", "many: done", "third: done"]
