"""What goes wrong in a step is known on every rank before the weights are changed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults import Fault, PlannedRun, cpt_with_faults, run_plan
from tests.ranks import free_port, start_rank
from tests.toy_runs import (
    NUM_STEPS,
    Toy,
    assert_equal_weights,
    error_line,
    last_step,
    read_metrics,
    read_weights,
    steps_of,
)


def read_events(run: Path, rank: int = 0) -> list[dict[str, Any]]:
    file = run / "guards" / f"rank_{rank:02d}.jsonl"

    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize(
    ("kind", "words"), [("loss_is_nan", "the loss is nan at step 13"), ("gradient_is_infinite", "the gradient is ")]
)
def test_run_ends_before_the_step(
    toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, words: str
) -> None:
    assert cpt_with_faults(toy.arguments(tmp_path), Fault(kind, 13)) == 3

    line = error_line(capfd)

    assert (words in line and "on a batch of shape [" in line) or "whose first is a batch of shape [" in line

    (event,) = read_events(tmp_path)

    assert event["step"] == 13 and event["event"] == "not_finite"

    (batch,) = event["batches"]

    assert len(batch["ids"]) == batch["shape"][0] and batch["ids"][0] in line

    # What was being saved is saved.
    assert steps_of(tmp_path) == {"step_10"}


def test_steps_are_left_out_and_counted_over_resumptions(
    toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["guards.max_skipped_steps=2", "regime.num_steps=30", "regime.validate_every_n_steps=30"]

    arguments = toy.arguments(tmp_path, options)

    faults = [Fault("loss_is_nan", 3), Fault("SIGTERM", 5)]

    assert cpt_with_faults(arguments, *faults) == 85

    assert "STEP 3 IS LEFT OUT" in capfd.readouterr().err

    weights = read_weights(tmp_path)

    assert all(bool(torch.isfinite(value).all()) for value in weights.values())

    assert cpt_with_faults(arguments, Fault("gradient_is_infinite", 8)) == 0

    metrics = read_metrics(tmp_path)

    assert [values.get("skipped_steps", 0) for values in metrics.values()][:5] == [0, 1, 1, 2, 2]

    capfd.readouterr()

    longer = toy.arguments(tmp_path, [*options, "regime.num_steps=40", "regime.validate_every_n_steps=40"])

    assert cpt_with_faults(longer, Fault("loss_is_nan", 33)) == 3

    assert [event["step"] for event in read_events(tmp_path)] == [3, 8, 33]


def test_step_that_is_left_out_changes_nothing_but_the_place_in_the_data(toy: Toy, tmp_path: Path) -> None:
    options = [
        *("guards.max_skipped_steps=1", "regime.num_steps=4", "regime.publish_metrics_every_n_steps=1"),
        "regime.validate_every_n_steps=null",
    ]

    one, two = tmp_path / "one", tmp_path / "two"

    assert cpt_with_faults(toy.arguments(one, options), Fault("gradient_is_infinite", 4)) == 0

    assert toy.cpt(two, *options, "regime.num_steps=3") == 0

    assert_equal_weights(read_weights(one), read_weights(two))


def test_spike_is_logged_with_its_examples(toy: Toy, tmp_path: Path) -> None:
    options = ["regime.validate_every_n_steps=null", "optimizer.config.lr=0"]

    assert cpt_with_faults(toy.arguments(tmp_path, options), Fault("loss_jumps", 55)) == 0

    (event,) = read_events(tmp_path)

    assert (event["step"], event["event"]) == (55, "loss_spike") and event["batches"][0]["ids"]

    assert event["loss"] > 10 * event["mean"]

    assert "The loss of step 55 is " in tmp_path.joinpath("logs", "rank_0.log").read_text()


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_end_of_memory_names_the_batch(toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str], where: str) -> None:
    arguments = toy.arguments(tmp_path, ["guards.max_idle_starts=2"])

    for _ in range(2):
        assert cpt_with_faults(arguments, Fault(f"memory_ends_in_{where}", 3)) == 1

        (line,) = [line for line in capfd.readouterr().err.splitlines() if ": error: " in line]

        assert "out of memory at step 3 with a batch of shape [" in line and "data.max_batch_steps" in line

        assert read_events(tmp_path)[-1]["batches"][0]["ids"][0] in line

    # What has started it over and over again is told so.
    assert toy.cpt(tmp_path, "guards.max_idle_starts=2") == 1

    assert "started 2 times after step 0, and no checkpoint came of it" in error_line(capfd)

    assert toy.cpt(tmp_path, "guards.max_idle_starts=3", "regime.num_steps=2") == 0

    assert not tmp_path.joinpath("starts.json").exists()


def test_all_ranks_know_of_one(toy: Toy, tmp_path: Path) -> None:
    options = ["regime.num_steps=8", "regime.validate_every_n_steps=8", "regime.checkpoint_every_n_steps=4"]

    skip = ["guards.max_skipped_steps=2"]

    plan = []

    for name, kind, layout in (
        ("ddp", "gradient_is_infinite", []),
        ("fsdp", "loss_is_nan", ["trainer.data_parallelism=fsdp"]),
    ):
        arguments = toy.arguments(tmp_path / name, [*options, *layout])

        skipping = toy.arguments(tmp_path / name, [*options, *layout, *skip])

        plan += [
            PlannedRun(arguments, [Fault("loss_is_nan", 3, rank=1)], exit_code=3),
            PlannedRun(skipping, [Fault(kind, 3, rank=1), Fault("weight_is_nan", 8)], exit_code=3),
            PlannedRun(skipping, [Fault("loss_is_nan", 6, rank=0)]),
        ]

    logs = run_plan(tmp_path / "plan.json", plan, 2)

    for log in logs:
        assert "the loss is nan at step 3 on a batch of shape [" in log and ") of rank 1; all examples are in" in log

    # Of weights that are spread, one rank has the one.
    assert "rank 0: `decoder_frontend.embed.weight` is not finite after step 8" in logs[1]

    for name in ("ddp", "fsdp"):
        assert last_step(tmp_path / name) == 8

        for rank in (0, 1):
            assert [event["step"] for event in read_events(tmp_path / name, rank)] == [3, 3, 6]


def test_rank_that_hangs_ends_all_with_stacks(toy: Toy, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"

    arguments = toy.arguments(tmp_path / "run", ["guards.hang_timeout=20"])

    run = PlannedRun(arguments, [Fault("hangs", 3, rank=1)])

    file.write_text(json.dumps([{**asdict(run), "port": free_port()}]))

    processes = [start_rank("tests.faults", file, rank, 2) for rank in range(2)]

    try:
        outputs = [process.communicate(timeout=400)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()

    for rank, (process, output) in enumerate(zip(processes, outputs, strict=True)):
        assert process.returncode == 1

        stacks = tmp_path / "run" / "logs" / f"stacks_rank_{rank}.txt"

        assert f"no step was finished for 20 seconds: what this rank was doing is in {stacks}" in output

        # One waits for the other.
        assert ("in wait_for_ever\n" in stacks.read_text()) == (rank == 1)

        assert 'trainer.py", line ' in stacks.read_text()

    assert last_step(tmp_path / "run") < NUM_STEPS
