"""Jobs on a real SLURM of two nodes: a distributed run, and one that is cancelled."""

from __future__ import annotations

from pathlib import Path

from codec_s2st.launch.record import Record
from tests.slurm.cluster import Cluster, wait_for
from tests.slurm.jobs import launch, submit_cpt, wait_for_state, wait_for_step
from tests.toy_runs import Toy, last_step, read_metrics


def test_two_nodes_learn_what_two_processes_learn_here(
    cluster: Cluster, toy: Toy, preset: Path, local_preset: Path, tmp_path: Path
) -> None:
    overrides = [*toy.overrides, "regime.num_steps=10", "regime.validate_every_n_steps=10"]

    job = submit_cpt(cluster, preset, tmp_path / "slurm", overrides)

    launch(cluster, "--preset", local_preset, "--", "cpt", tmp_path / "local", "--config", *overrides)

    wait_for_state(cluster, job, "COMPLETED")

    assert len(read_metrics(tmp_path / "slurm")) == 5

    assert read_metrics(tmp_path / "slurm") == read_metrics(tmp_path / "local")

    record = Record(tmp_path / "slurm" / "launch" / "001")

    assert f"cpt-slurm  job {job}  DONE  {record.folder}\n" == launch(cluster, "status", job)

    # Each rank on its node.
    for rank in range(2):
        log = launch(cluster, "logs", tmp_path / "slurm", "--rank", str(rank))

        assert f"node={rank}(2), global_rank={rank}(2)" in log

    for name in ("commit.txt", "config.yaml", "launch.json", "packages.txt", "submission.sh"):
        assert record.folder.joinpath(name).stat().st_size > 0

    assert record.submission.read_text() == record.logs.joinpath(f"{job}_submission.sh").read_text()

    # What has ended may be launched again, and has nothing left to do.
    assert "nothing waits or runs\n" == launch(cluster, "cancel", tmp_path / "slurm")


def test_what_is_cancelled_saves_and_does_not_come_back(
    cluster: Cluster, toy: Toy, preset: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    job = submit_cpt(
        cluster,
        preset,
        run,
        [*toy.overrides, "regime.num_steps=100000", "regime.checkpoint_every_n_steps=100000"],
    )

    wait_for_step(cluster, job, run, 4)

    launch(cluster, "--preset", preset, "--", "cpt", run, code=2)

    assert launch(cluster, "cancel", run) == f"cancelled cpt-run  job {job}\n"

    wait_for(lambda: cluster.states()[job] == "CANCELLED", 120)

    assert last_step(run) >= 4

    assert f"job {job}  CANCELLED" in launch(cluster, "status", run)

    assert cluster.field(job, "Restarts") == "0"
