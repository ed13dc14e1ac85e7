"""A run that is killed, or shared by two ranks, learns what an uninterrupted one learns on its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.toy_runs import NUM_STEPS, Toy, assert_equal_weights, last_step, read_losses, read_metrics, read_weights


def test_killed_run_goes_on_as_if_nothing_had_happened(toy: Toy, cpt_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    arguments = toy.arguments(run, ["regime.num_steps=100000"])

    process = subprocess.Popen(
        [sys.executable, "-m", "codec_s2st.recipes.cpt", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    try:
        deadline = time.monotonic() + 120

        while last_step(run) < 10 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)

        process.wait()

    assert process.returncode == -signal.SIGKILL

    assert 10 <= last_step(run) < NUM_STEPS

    assert toy.cpt(run) == 0

    assert last_step(run) == NUM_STEPS

    assert read_metrics(run) == read_metrics(cpt_run)

    for task in ("s2st", "asr-reverse", "s2tt"):
        assert read_metrics(run, f"valid/{task}") == read_metrics(cpt_run, f"valid/{task}")

    assert_equal_weights(read_weights(run), read_weights(cpt_run))


def test_finished_run_is_left_as_it_is(toy: Toy, cpt_run: Path) -> None:
    before = read_metrics(cpt_run)

    assert toy.cpt(cpt_run) == 0

    assert read_metrics(cpt_run) == before and last_step(cpt_run) == NUM_STEPS


def test_two_ranks_learn_as_one_with_twice_the_batches(toy: Toy, tmp_path: Path) -> None:
    options = ["regime.num_steps=12", "regime.validate_every_n_steps=6"]

    assert toy.cpt(tmp_path / "one", "trainer.grad_accumulation.num_batches=2", *options) == 0

    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "codec_s2st.recipes.cpt", *toy.arguments(tmp_path / "two", options)),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=240,
    )

    readers = tmp_path / "two" / "checkpoints" / "step_10" / "data_reader"

    assert sorted(path.name for path in readers.iterdir()) == ["dp_00.safetensors", "dp_01.safetensors"]

    for name in ("train", "valid/s2st", "valid/asr-reverse"):
        torch.testing.assert_close(
            read_losses(tmp_path / "two", name), read_losses(tmp_path / "one", name), rtol=0, atol=1e-5
        )

    weights = [read_weights(tmp_path / name) for name in ("one", "two")]

    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=1e-5)


def test_packed_run_resumes_as_any_other(toy: Toy, tmp_path: Path) -> None:
    options = ["data.packing=true", "data.block_size=512", "regime.validate_every_n_steps=10"]

    whole, parts = tmp_path / "whole", tmp_path / "parts"

    assert toy.cpt(whole, "regime.num_steps=20", *options) == 0

    for num_steps in (10, 20):
        assert toy.cpt(parts, f"regime.num_steps={num_steps}", *options) == 0

    assert read_metrics(parts) == read_metrics(whole)

    assert_equal_weights(read_weights(parts), read_weights(whole))

    losses = read_losses(whole)

    assert losses[-1] < losses[0] - 1

    # A block fills some 30 rows of 300 steps; of these, the last one alone may hold much padding.
    ratios = sorted(values["Padding Ratio (%)"] for values in read_metrics(whole).values())

    assert len(ratios) == 10 and ratios[-2] < 0.05
