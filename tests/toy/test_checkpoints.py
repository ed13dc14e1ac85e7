"""A run goes on with the last checkpoint that can be trusted, or not at all."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from codec_s2st.checkpoints.manifest import Manifest
from codec_s2st.checkpoints.state_files import record_of
from tests.faults import Fault, PlannedRun, run_plan
from tests.toy_runs import Toy, assert_same_run, error_line, last_step, read_metrics, steps_of


def model_file(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step_{step}" / "model" / "tp_00" / "sdp_00.safetensors"


class TestDamage:
    def test_last_whole_checkpoint_is_chosen(
        self, toy: Toy, run: Path, cpt_run: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        checkpoints = run / "checkpoints"

        # Bits that have turned over, a file that is cut short, one that is gone, a manifest that is gone.
        with model_file(run, 60).open("r+b") as fp:
            fp.seek(-1000, os.SEEK_END)

            byte = fp.read(1)

            fp.seek(-1, os.SEEK_CUR)

            fp.write(bytes([byte[0] ^ 1]))

        file = checkpoints / "step_50" / "optimizer" / "tp_00" / "sdp_00.safetensors"

        os.truncate(file, file.stat().st_size - 10)

        checkpoints.joinpath("step_40", "data_reader", "dp_00.safetensors").unlink()

        checkpoints.joinpath("step_30", "manifest.json").unlink()

        # What a process that was killed leaves.
        shutil.copytree(checkpoints / "step_10", checkpoints / "step_70.tmp")
        shutil.copytree(checkpoints / "step_10", checkpoints / "step_5.deleted.tmp")

        assert toy.cpt(run) == 0

        err = capfd.readouterr().err

        for step, words in (
            (60, "model/tp_00/sdp_00.safetensors does not hold what was written"),
            (50, "optimizer/tp_00/sdp_00.safetensors has "),
            (40, "data_reader/dp_00.safetensors cannot be read: No such file"),
        ):
            assert f"step_{step} IS DAMAGED" in err.replace("\n", "") and words in err.replace("\n", " "), step

        log = run.joinpath("logs", "rank_0.log").read_text()

        assert "Resuming from step 20." in log and "Removed what an earlier process had not finished" in log

        steps = {f"step_{step}" for step in (10, 20, 30, 40, 50, 60)}

        assert steps_of(run) == {*steps, "step_40.damaged", "step_50.damaged", "step_60.damaged"}

        assert_same_run(run, cpt_run)

    def test_strict_run_ends(self, toy: Toy, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
        os.truncate(model_file(run, 60), 100)

        before = steps_of(run)

        assert toy.cpt(run, "checkpoints.strict=true") == 1

        assert "checkpoint 60 cannot be trusted: model/tp_00/sdp_00.safetensors has 100 bytes" in error_line(capfd)

        assert steps_of(run) == before

    def test_step_that_has_another_name_is_damaged(
        self, toy: Toy, run: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(run / "checkpoints" / "step_10", run / "checkpoints" / "step_70")

        assert toy.cpt(run, "checkpoints.strict=true") == 1

        assert "checkpoint 70 cannot be trusted: its manifest is of step 10" in error_line(capfd)

    def test_run_without_any_is_not_started_anew(self, toy: Toy, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
        for step in (10, 20, 30, 40, 50, 60):
            os.truncate(model_file(run, step), 100)

        assert toy.cpt(run) == 1

        assert "all 6 checkpoints, such as that of step 60, cannot be trusted" in error_line(capfd)

        for path in run.glob("checkpoints/step_*/manifest.json"):
            path.unlink()

        assert toy.cpt(run) == 2

        assert "step_60 has no manifest.json" in error_line(capfd)

    def test_weights_that_are_damaged_are_not_read(
        self, toy: Toy, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with model_file(run, 60).open("r+b") as fp:
            fp.seek(-1, os.SEEK_END)

            fp.write(b"\x7f")

        assert toy.s2st(tmp_path / "other", f"init={run}") == 1

        assert "sdp_00.safetensors does not hold what was written" in error_line(capfd)

    def test_pickles_are_refused_and_not_run(
        self, toy: Toy, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        marker = tmp_path / "marker"

        class Malicious:
            def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
                return os.system, (f"touch {marker}",)

        checkpoints = run / "checkpoints"

        shutil.copy(model_file(run, 50), tmp_path / "good")

        for file in sorted(checkpoints.joinpath("step_60").rglob("*.safetensors")):
            name = str(file.relative_to(checkpoints / "step_60"))

            good = file.read_bytes()

            for content in (Malicious(), {"state": Malicious(), "model": Malicious()}):
                torch.save(content, file)

                # What fairseq2's own manager would read, and unpickle.
                for suffix in (".pt", ".pkl"):
                    file.with_suffix(suffix).write_bytes(pickle.dumps(content))

                # Whoever can write the file can write the manifest.
                manifest = Manifest.read(checkpoints / "step_60")

                replace(manifest, files={**manifest.files, name: record_of(file)}).write(checkpoints / "step_60")

                assert toy.cpt(run, "regime.num_steps=61", "regime.validate_every_n_steps=null") != 0, name

                line = error_line(capfd)

                assert "sdp_00.safetensors" in line or "_00.safetensors" in line

                if name.startswith("model/"):
                    assert toy.s2st(tmp_path / "other", f"init={run}") != 0

                    assert "is not a safetensors file" in error_line(capfd)

                assert not marker.exists(), name

            file.write_bytes(good)

            replace(manifest, files={**manifest.files, name: record_of(file)}).write(checkpoints / "step_60")

        # And it would have run.
        assert pickle.loads(pickle.dumps(Malicious())) == 0 and marker.exists()


class TestAnotherRun:
    def test_differences_are_listed(self, toy: Toy, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert toy.cpt(run, "optimizer.config.lr=0.02", "data.max_batch_steps=200", "common.seed=3") == 2

        line = error_line(capfd)

        assert "`optimizer.config.lr` is 0.01 in the checkpoint, 0.02 now" in line
        assert "`data.max_batch_steps` is 300 in the checkpoint, 200 now" in line
        assert "`common.seed` is 2 in the checkpoint, 3 now" in line
        assert "--init RUN" in line

    def test_what_does_not_change_the_training_may_differ(self, toy: Toy, run: Path, tmp_path: Path) -> None:
        shards = shutil.copytree(toy.folder / "shards", tmp_path / "elsewhere")

        options = [
            *("regime.num_steps=62", "regime.checkpoint_every_n_steps=2", "regime.keep_last_n_checkpoints=1"),
            *("regime.publish_metrics_every_n_steps=1", "regime.validate_every_n_steps=62"),
            *("common.metric_recorders.tensorboard.enabled=false", "guards.max_skipped_steps=3", "gang.timeout=3"),
            *("data.max_valid_examples=3", f"dataset.config_overrides={{shards: [{shards}]}}"),
        ]

        assert toy.cpt(run, *options) == 0

        assert steps_of(run) == {"step_62"} and max(read_metrics(run)) == 62

    def test_other_data_are_refused(
        self, toy: Toy, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        from codec_s2st.codecs import load_codec
        from tests.factories import toy_rows, write_toy_shards

        fingerprint = load_codec("demo_codec").fingerprint.first(2)

        write_toy_shards(tmp_path / "shards", toy_rows(120, num_valid=20, seed=1), fingerprint)

        assert toy.cpt(run, f"dataset.config_overrides={{shards: [{tmp_path / 'shards'}]}}") == 2

        assert "the data.frames is " in error_line(capfd)

    def test_other_ranks_are_refused(self, toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        run = tmp_path / "run"

        options = ["regime.num_steps=4", "regime.validate_every_n_steps=4", "regime.checkpoint_every_n_steps=2"]

        missing = run / "checkpoints" / "step_4" / "trainer" / "rank_01.safetensors"

        plan = [
            PlannedRun(toy.arguments(run, options)),
            # One that another rank alone would read.
            PlannedRun(toy.arguments(run, options), without=[str(missing)]),
            PlannedRun(toy.arguments(run, [*options, "regime.num_steps=1"]), [Fault("SIGTERM", 1)]),
        ]

        logs = run_plan(tmp_path / "plan.json", plan, 2)

        assert "Restoring training from the last checkpoint at step 2." in logs[0].replace("\n", " ")

        assert "step_4.damaged" in steps_of(run) and last_step(run) == 4

        assert toy.cpt(run, *options) == 2

        assert "the number of ranks is 2 in the checkpoint, 1 now" in error_line(capfd)

    def test_second_run_in_the_folder_is_refused(self, toy: Toy, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "codec_s2st.recipes.cpt", *toy.arguments(run, ["regime.num_steps=100000"])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        try:
            deadline = time.monotonic() + 120

            while "num_steps: 100000" not in run.joinpath("config.yaml").read_text():
                assert process.poll() is None and time.monotonic() < deadline

                time.sleep(0.01)

            assert toy.cpt(run, "regime.num_steps=3") == 2

            assert f"another run is writing to {run}" in error_line(capfd)

            assert "num_steps: 100000" in run.joinpath("config.yaml").read_text()
        finally:
            process.send_signal(signal.SIGKILL)

            process.wait()

        # The lock has gone with its process.
        assert toy.cpt(run, f"regime.num_steps={last_step(run)}") == 0
