"""Tokenization by an array of jobs on a real SLURM."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.cli import main
from tests.slurm.cluster import Cluster, wait_for
from tests.slurm.jobs import launch, submit

pytestmark = pytest.mark.long


def test_an_array_writes_the_shards_of_one_process(cluster: Cluster, tmp_path: Path) -> None:
    corpus, preset = tmp_path / "corpus", tmp_path / "preset.yaml"

    assert main(["demo-corpus", str(corpus), "--split", "train", "--num", "12"]) == 0

    preset.write_text("cluster: slurm\ncpus_per_task: 1\ntime: 30\n")

    def arguments(out: Path) -> list[str | Path]:
        return ["--", "tokenize", out, "--preset", "demo", "--manifest", corpus, "--config", "rows_per_shard=2"]

    job = submit(cluster, "--preset", preset, "--array", "3", *arguments(tmp_path / "array"))

    elements = [f"{job}_{element}" for element in range(3)]

    wait_for(lambda: all(cluster.states()[element] == "COMPLETED" for element in elements), 600)

    assert f"job {job} [0,1,2]  DONE" in launch(cluster, "status", job)

    launch(cluster, *arguments(tmp_path / "one"))

    def shards(out: Path) -> dict[str, bytes]:
        return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*.parquet")}

    assert len(shards(tmp_path / "one")) >= 6

    assert shards(tmp_path / "array") == shards(tmp_path / "one")
