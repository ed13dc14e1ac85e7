"""Runs that are killed at any moment, again and again, learn what one learns that is not."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from codec_s2st.checkpoints.folder import CheckpointFolder
from codec_s2st.checkpoints.manifest import Manifest
from tests.forks import ForkServer, fork_server
from tests.toy_runs import NUM_STEPS, Toy, assert_same_run, last_step


@pytest.fixture(scope="module")
def server(toy: Toy) -> Iterator[ForkServer]:
    with fork_server(toy.folder / "forks.log") as server:
        yield server


def check_checkpoints(run: Path) -> None:
    """All that could be chosen is whole."""
    folder = CheckpointFolder(run / "checkpoints")

    for step in folder.steps():
        manifest = Manifest.read(folder.of(step))

        assert manifest.is_whole and not manifest.problems(folder.of(step), manifest.files)


def kill_and_finish(toy: Toy, server: ForkServer, run: Path, num_kills: int, rng: random.Random) -> None:
    # Saves most of the time.
    arguments = toy.arguments(run, ["regime.checkpoint_every_n_steps=2", "regime.keep_last_n_checkpoints=2"])

    for kill in range(num_kills):
        before = last_step(run)

        child = server.start(arguments)

        # Anywhere between two checkpoints, in the start too.
        target = before + rng.randrange(2 * NUM_STEPS // num_kills)

        while child.is_running and last_step(run) < target:
            time.sleep(0.002)

        time.sleep(rng.random() * 0.2)

        if child.is_running:
            child.kill()

        assert child.wait() in (-9, 0)

        assert last_step(run) >= before

        check_checkpoints(run)

        print(f"kill {kill}: step {before} -> {last_step(run)}")

    assert server.start(arguments).wait() == 0

    assert last_step(run) == NUM_STEPS and not list(run.glob("checkpoints/*.tmp"))


def test_three_kills(toy: Toy, cpt_run: Path, server: ForkServer, tmp_path: Path) -> None:
    kill_and_finish(toy, server, tmp_path, 3, random.Random(0))

    assert_same_run(tmp_path, cpt_run)


@pytest.mark.long
def test_twenty_kills(toy: Toy, cpt_run: Path, server: ForkServer, tmp_path: Path) -> None:
    kill_and_finish(toy, server, tmp_path, 20, random.Random(1))

    assert_same_run(tmp_path, cpt_run)
