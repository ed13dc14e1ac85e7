"""A run whose batches are prepared by other processes learns what one does that prepares them itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.toy_runs import Toy, assert_equal_weights, last_step, read_metrics, read_weights

OPTIONS = ["regime.num_steps=20", "regime.validate_every_n_steps=10"]


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def whole(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"

    assert toy.cpt(run, *OPTIONS) == 0

    return run


def test_run_with_workers_is_the_same(toy: Toy, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    assert toy.cpt(run, *OPTIONS, "data.num_workers=2", "data.num_prefetch=3") == 0

    assert read_metrics(run) == read_metrics(whole)

    assert_equal_weights(read_weights(run), read_weights(whole))


@pytest.mark.parametrize("signal_nr", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_run_goes_on_without_workers(
    toy: Toy, whole: Path, tmp_path: Path, signal_nr: signal.Signals
) -> None:
    """SIGINT goes to the whole process group, as it does from a terminal."""
    run = tmp_path / "run"

    arguments = toy.arguments(run, [*OPTIONS, "regime.num_steps=100000", "data.num_workers=2"])

    process = subprocess.Popen(
        [sys.executable, "-m", "codec_s2st.recipes.cpt", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    workers: list[int] = []

    try:
        deadline = time.monotonic() + 240

        while last_step(run) < 10 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)

        workers = children_of(process.pid)
    finally:
        if signal_nr == signal.SIGINT:
            for pid in (process.pid, *workers):
                # The process may have ended.
                if is_running(pid):
                    subprocess.run(["kill", "-INT", str(pid)], check=False)
        else:
            process.kill()

        process.wait(120)

    assert len(workers) == 2

    deadline = time.monotonic() + 30

    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < deadline, f"{workers} outlive their run"

        time.sleep(0.05)

    assert toy.cpt(run, *OPTIONS) == 0

    known, found = read_metrics(whole), read_metrics(run)

    assert all(found[step] == known[step] for step in known)
