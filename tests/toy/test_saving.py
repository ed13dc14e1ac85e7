"""What becomes of a checkpoint while it is written, and which ones stay."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fairseq2.error import raise_operational_system_error
from fairseq2.metrics.recorders import JsonlMetricRecorder

from codec_s2st.checkpoints import manager
from codec_s2st.checkpoints.manifest import Manifest
from codec_s2st.checkpoints.state_files import FileRecord, write_state
from codec_s2st.checkpoints.states import FlatState
from tests.faults import Fault, cpt_with_faults
from tests.toy_runs import Toy, assert_same_run, error_line, steps_of


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Lets the process write no larger files, as a disk that is full does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))

    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("num_steps", [70, 1000])
def test_full_disk(toy: Toy, run: Path, capfd: pytest.CaptureFixture[str], num_steps: int) -> None:
    """At the last step, when the run waits for it, and at another one."""
    before = steps_of(run)

    options = [f"regime.num_steps={num_steps}", "regime.validate_every_n_steps=null"]

    with files_of_at_most(100_000):
        assert toy.cpt(run, *options) == 1

    line = error_line(capfd)

    assert "sdp_00.safetensors cannot be written: File too large (after 100,000 of " in line

    assert steps_of(run) == before

    manifest = Manifest.read(run / "checkpoints" / "step_60")

    assert not manifest.problems(run / "checkpoints" / "step_60", manifest.files)

    assert toy.cpt(run, "regime.num_steps=70") == 0


@pytest.mark.parametrize("step", [10, 12])
def test_full_disk_that_metrics_meet_first(
    toy: Toy,
    cpt_run: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    """At the step that is being saved, and at a later one, while that is still being written."""
    run = tmp_path / "run"

    record = JsonlMetricRecorder.record_metric_values

    def fail(recorder: Any, category: str, values: Any, step_nr: int | None = None) -> None:
        if step_nr == step:
            raise_operational_system_error(OSError(errno.ENOSPC, "No space left on device"))

        record(recorder, category, values, step_nr)

    def write_slowly(file: Path, state: FlatState) -> FileRecord:
        time.sleep(0.5)

        return write_state(file, state)

    with monkeypatch.context() as patch:
        patch.setattr(manager, "write_state", write_slowly)

        patch.setattr(JsonlMetricRecorder, "record_metric_values", fail)

        assert toy.cpt(run) == 1

    assert "cannot be written: No space left on device" in error_line(capfd)

    # Whose metrics are not written is not saved, and is done again.
    assert steps_of(run) == (set() if step == 10 else {"step_10"})

    assert toy.cpt(run) == 0

    assert_same_run(run, cpt_run)


def test_full_disk_that_shows_when_files_are_synced(
    toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    assert toy.cpt(tmp_path) == 1

    line = error_line(capfd)

    assert "_00.safetensors cannot be written: No space left on device (after " in line and " bytes)" in line

    assert not steps_of(tmp_path)


def test_weights_that_are_not_finite_are_not_saved(toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cpt_with_faults(toy.arguments(tmp_path), Fault("weight_is_nan", 20)) == 3

    assert "is not finite after step 20, which is not saved" in error_line(capfd)

    assert steps_of(tmp_path) == {"step_10"}


def test_model_alone_is_kept_of_all_but_the_last(toy: Toy, cpt_run: Path, tmp_path: Path) -> None:
    options = ["regime.save_model_only=all_but_last", "regime.keep_last_n_checkpoints=3"]

    assert toy.cpt(tmp_path, *options, "regime.num_steps=40") == 0

    kinds = {
        path.name: {kind.name for kind in path.iterdir() if kind.is_dir()}
        for path in tmp_path.glob("checkpoints/step_*")
    }

    assert kinds == {
        "step_20": {"model"},
        "step_30": {"model"},
        "step_40": {"model", "optimizer", "trainer", "data_reader"},
    }

    for name in kinds:
        manifest = Manifest.read(tmp_path / "checkpoints" / name)

        assert manifest.is_whole == (name == "step_40")

        assert not manifest.problems(tmp_path / "checkpoints" / name, manifest.files)

    assert toy.cpt(tmp_path) == 0

    assert_same_run(tmp_path, cpt_run)


def test_best_are_kept(toy: Toy, tmp_path: Path) -> None:
    options = [
        *("regime.score_metric=loss", "regime.keep_best_n_checkpoints=1", "regime.validate_every_n_steps=10"),
        # It goes up again.
        *("regime.num_steps=30", "optimizer.config.lr=0.5", "lr_scheduler.config.num_warmup_steps=10"),
    ]

    assert toy.cpt(tmp_path, *options) == 0

    scores = {int(file.stem[5:]): float(file.read_text()) for file in tmp_path.glob("checkpoints/scores/step_*.txt")}

    assert steps_of(tmp_path) == {f"step_{step}" for step in (30, max(scores, key=lambda step: scores[step]))}
