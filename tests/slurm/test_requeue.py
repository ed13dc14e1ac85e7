"""Jobs that go back to the queue of a real SLURM: preempted, out of time, or on a node that has died."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, wait_for
from tests.slurm.jobs import launch, step_of, submit_cpt, wait_for_state, wait_for_step
from tests.toy_runs import Toy, assert_equal_weights, last_step, read_metrics, read_weights

pytestmark = pytest.mark.long

OVERRIDES = ["regime.num_steps=100", "regime.checkpoint_every_n_steps=50", "regime.validate_every_n_steps=50"]


def preempt(cluster: Cluster) -> str:
    """Submits a short job that needs both nodes, and takes them."""
    command = ["--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "srun sleep 1"]

    return cluster.run("sbatch", "--parsable", *command).strip()


def test_a_preempted_run_learns_what_one_that_is_left_alone_learns(
    cluster: Cluster, toy: Toy, preset: Path, local_preset: Path, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"

    job = submit_cpt(cluster, preset, run, [*toy.overrides, *OVERRIDES])

    wait_for_step(cluster, job, run, 6)

    wait_for_state(cluster, preempt(cluster), "COMPLETED")

    # It saved at the step that it was at, not where a checkpoint was due, and gave way.
    step = last_step(run)

    assert 6 <= step and step % 50 != 0

    wait_for_state(cluster, job, "COMPLETED")

    assert cluster.field(job, "Restarts") == "1"

    assert f"job {job}  DONE" in launch(cluster, "status", run)

    launch(cluster, "--preset", local_preset, "--", "cpt", other, "--config", *toy.overrides, *OVERRIDES)

    assert read_metrics(run) == read_metrics(other) and len(read_metrics(run)) == 50

    for task in ("s2st", "asr-reverse", "s2tt"):
        assert read_metrics(run, f"valid/{task}") == read_metrics(other, f"valid/{task}")

    assert_equal_weights(read_weights(run), read_weights(other))


def test_a_job_that_is_preempted_while_it_starts_is_not_lost(
    cluster: Cluster, toy: Toy, preset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    job = submit_cpt(cluster, preset, run, [*toy.overrides, "regime.num_steps=4", "regime.validate_every_n_steps=4"])

    wait_for_state(cluster, job, "RUNNING")

    wait_for_state(cluster, preempt(cluster), "COMPLETED")

    wait_for_state(cluster, job, "COMPLETED")

    assert cluster.field(job, "Restarts") == "1" and len(read_metrics(run)) == 2


def test_a_run_that_is_out_of_time_goes_on(cluster: Cluster, toy: Toy, preset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    # SLURM looks at the time once a minute or so, and sends the signal up to that much earlier.
    preset.write_text(preset.read_text().replace("time: 30", "time: 3\nsave_seconds: 30"))

    overrides = ["regime.num_steps=100000", "regime.checkpoint_every_n_steps=50000"]

    job = submit_cpt(cluster, preset, run, [*toy.overrides, *overrides])

    wait_for_step(cluster, job, run, 4)

    wait_for(lambda: cluster.field(job, "Restarts") == "1", 300)

    saved = last_step(run)

    # Nothing but the request to stop has saved.
    assert saved >= 4 and step_of(run) <= saved

    wait_for_step(cluster, job, run, saved + 4)

    launch(cluster, "cancel", run)

    wait_for(lambda: cluster.states()[job] == "CANCELLED", 120)

    # Each step was published once: none was repeated, and none left out.
    lines = run.joinpath("metrics", "train.jsonl").read_text().splitlines()

    assert len(lines) == len(read_metrics(run)) == step_of(run) // 2


def test_a_run_survives_the_node_on_which_it_runs(cluster: Cluster, toy: Toy, preset: Path, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"

    preset.write_text(preset.read_text().replace("nodes: 2", "nodes: 1"))

    overrides = [
        *toy.overrides,
        "regime.num_steps=100",
        "regime.checkpoint_every_n_steps=4",
        "regime.validate_every_n_steps=50",
    ]

    job = submit_cpt(cluster, preset, run, overrides)

    wait_for(lambda: last_step(run) >= 8, 600)

    node = cluster.field(job, "BatchHost")

    try:
        cluster.crash_node(node)

        step = last_step(run)

        assert step < 100

        wait_for(lambda: cluster.field(job, "Restarts") == "1", 120)

        wait_for_state(cluster, job, "COMPLETED")

        assert cluster.field(job, "BatchHost") != node
    finally:
        cluster.start_node(node)

    launch(cluster, "--", "cpt", other, "--config", *overrides)

    assert read_metrics(run) == read_metrics(other) and len(read_metrics(run)) == 50

    assert_equal_weights(read_weights(run), read_weights(other))
