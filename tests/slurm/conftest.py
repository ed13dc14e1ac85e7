from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from codec_s2st.codecs import load_codec
from tests.factories import toy_rows, write_toy_shards
from tests.slurm.cluster import Cluster, missing_program
from tests.toy_runs import Toy


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    program = missing_program()

    if program is not None:
        pytest.skip(f"{program} is not installed (as root: apt-get install slurm-wlm)")

    cluster = Cluster(tmp_path_factory.mktemp("slurm"))

    try:
        cluster.start()
    except RuntimeError as ex:
        pytest.skip(str(ex))

    yield cluster

    cluster.stop()


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Token shards for a tiny run."""
    folder = tmp_path_factory.mktemp("toy")

    fingerprint = load_codec("demo_codec").fingerprint.first(2)

    write_toy_shards(folder / "shards", toy_rows(120, num_valid=20), fingerprint)

    return Toy(folder)


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A launch preset of a task on each of the two nodes."""
    file = tmp_path / "preset.yaml"

    # The nodes have no names that the resolver of this machine knows.
    file.write_text(
        "cluster: slurm\nnodes: 2\ncpus_per_task: 2\ntime: 30\npartition: low\nenvironment: {MASTER_ADDR: 127.0.0.1}\n"
    )

    return file


@pytest.fixture
def local_preset(tmp_path: Path) -> Path:
    """The same two tasks, here."""
    file = tmp_path / "local.yaml"

    file.write_text("tasks_per_node: 2\n")

    return file
