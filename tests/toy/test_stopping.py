"""A run that is asked to stop saves the step that it is at, and goes on as if it had not been stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codec_s2st.checkpoints import manager
from codec_s2st.checkpoints.state_files import FileRecord, write_state
from codec_s2st.checkpoints.states import FlatState
from codec_s2st.recipes.common.stopping import STOP_SIGNALS
from tests.faults import Fault, PlannedRun, cpt_with_faults, run_plan
from tests.toy_runs import NUM_STEPS, Toy, assert_same_run, last_step, read_metrics, steps_of


def test_each_signal_stops_after_the_step_and_changes_nothing(
    toy: Toy, cpt_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(number) for number in STOP_SIGNALS]

    run = tmp_path / "run"

    # Between two publications of metrics and two checkpoints; where both are due; where a validation is due too.
    for name, step in (("SIGUSR1", 7), ("SIGUSR2", 10), ("SIGTERM", 20)):
        assert cpt_with_faults(toy.arguments(run), Fault(name, step)) == 85

        assert last_step(run) == step

        err = capfd.readouterr().err

        assert f"stopped on {name} after step {step}, which is saved (the same command goes on with it)" in err
        assert "error" not in err and "Traceback" not in err

    assert steps_of(run) == {"step_7", "step_10", "step_20"}

    assert [signal.getsignal(number) for number in STOP_SIGNALS] == handlers

    # A stack trace would say that the run has failed.
    assert "Traceback" not in run.joinpath("logs", "rank_0.log").read_text()

    assert toy.cpt(run) == 0

    assert_same_run(run, cpt_run)


def test_signal_in_the_last_step_changes_nothing(toy: Toy, cpt_run: Path, tmp_path: Path) -> None:
    options = ["regime.num_steps=4", "regime.validate_every_n_steps=2"]

    assert cpt_with_faults(toy.arguments(tmp_path, options), Fault("SIGTERM", 4)) == 0

    assert last_step(tmp_path) == 4 and list(read_metrics(tmp_path)) == [2, 4]


def test_run_that_saves_the_model_alone_is_saved_whole(toy: Toy, cpt_run: Path, tmp_path: Path) -> None:
    options = ["regime.save_model_only=all"]

    for step in (10, 13):
        assert cpt_with_faults(toy.arguments(tmp_path, options), Fault("SIGTERM", step)) == 85

        assert {path.name for path in tmp_path.glob(f"checkpoints/step_{step}/*") if path.is_dir()} == {
            *("data_reader", "model", "optimizer", "trainer")
        }

    assert toy.cpt(tmp_path, *options) == 0

    assert_same_run(tmp_path, cpt_run)


def test_main_programs_stop(toy: Toy, cpt_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    @contextmanager
    def start(*command: str) -> Iterator[subprocess.Popen[str]]:
        arguments = [str(run), "--config", *toy.overrides]

        process = subprocess.Popen(
            [sys.executable, "-m", *command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

        try:
            yield process
        finally:
            process.kill()

    def end(process: subprocess.Popen[str]) -> str:
        _, err = process.communicate(timeout=300)

        assert process.returncode == 85, err

        return err.splitlines()[-1]

    def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 300

        while not file.exists():
            assert process.poll() is None and time.monotonic() < deadline

            time.sleep(0.005)

    with start("codec_s2st", "cpt") as process:
        # It has not begun to train: there is nothing to save.
        wait_for(run / "logs" / "rank_0.log", process)

        process.terminate()

        assert end(process) == "codec-s2st: stopped on SIGTERM before the first step (the same command starts again)"

    assert not steps_of(run)

    with start("codec_s2st.recipes.cpt") as process:
        wait_for(run / "metrics" / "train.jsonl", process)

        # Whoever asks more than once is told so once.
        while process.poll() is None:
            for number in STOP_SIGNALS:
                process.send_signal(number)

            time.sleep(0.01)

        line = end(process)

    match = re.search(r": stopped on SIG\w+ after step (\d+), which is saved", line)

    assert match is not None and 2 <= int(match[1]) == last_step(run) < NUM_STEPS

    assert toy.cpt(run) == 0

    assert_same_run(run, cpt_run)


def test_signal_to_one_rank_stops_all(toy: Toy, tmp_path: Path) -> None:
    options = ["regime.num_steps=8", "regime.validate_every_n_steps=4"]

    layouts = {"ddp": [], "fsdp": ["trainer.data_parallelism=fsdp"], "tp": ["gang.tensor_parallel_size=2"]}

    runs = []

    for name, layout in layouts.items():
        whole, parts = (toy.arguments(tmp_path / name / kind, [*options, *layout]) for kind in ("whole", "parts"))

        runs += [
            PlannedRun(whole),
            PlannedRun(parts, [Fault("SIGUSR2", 3, rank=1)], exit_code=85),
            PlannedRun(parts, [Fault("SIGTERM", 4), Fault("SIGUSR1", 5, rank=1)], exit_code=85),
            PlannedRun(parts),
        ]

    logs = run_plan(tmp_path / "plan.json", runs, 2)

    assert "stopped on a signal to another rank after step 3" in logs[0]
    assert "stopped on SIGUSR2 after step 3" in logs[1]

    for name in layouts:
        assert steps_of(tmp_path / name / "parts") == {"step_3", "step_4", "step_8"}

        assert_same_run(tmp_path / name / "parts", tmp_path / name / "whole")


def test_signals_during_a_save_do_not_start_another(
    toy: Toy, cpt_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []

    def write_slowly(file: Path, state: FlatState) -> FileRecord:
        if "model" in file.parts:
            saved.append(file.parts[-4])

            for number in STOP_SIGNALS:
                os.kill(os.getpid(), number)

            time.sleep(0.2)

        return write_state(file, state)

    monkeypatch.setattr(manager, "write_state", write_slowly)

    # The first signals come while step 10 is written, the next ones while the step is that the run stops at.
    assert toy.cpt(tmp_path) == 85

    monkeypatch.undo()

    assert saved == ["step_10.tmp", f"step_{last_step(tmp_path)}.tmp"]

    assert steps_of(tmp_path) == {"step_10", f"step_{last_step(tmp_path)}"}

    assert toy.cpt(tmp_path) == 0

    assert_same_run(tmp_path, cpt_run)
