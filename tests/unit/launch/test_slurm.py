from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.launch.preset import LaunchPreset, read_preset
from codec_s2st.launch.record import Record, new_record
from codec_s2st.launch.slurm import JobState, cancel, make_executor, query, require, sbatch_text, submit
from tests.launches import FakeSlurm


def make_preset(**content: object) -> LaunchPreset:
    return read_preset("mine", "mine.yaml", {"cluster": "slurm", "time": 60, **content})


def text_of(
    preset: LaunchPreset, record: Record | None = None, *, array: int | None = None, needs: tuple[str, ...] = ()
) -> str:
    record = record or Record(Path("/out/launch/001"))

    return sbatch_text(make_executor(preset, record, "cpt", array=array, needs=needs), array)


class TestSbatchText:
    def test_needs_no_slurm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")

        assert "#SBATCH --nodes=2\n" in text_of(make_preset(nodes=2))

    def test_what_the_preset_leaves_out_is_left_out(self) -> None:
        text = text_of(make_preset())

        for option in ("partition", "account", "qos", "constraint", "mem", "gpus", "cpus", "wckey", "array", "depend"):
            assert f"#SBATCH --{option}" not in text

    def test_jobs_that_are_needed(self) -> None:
        text = text_of(make_preset(), needs=("5", "6"))

        assert "#SBATCH --dependency=afterok:5:6\n" in text
        assert "#SBATCH --kill-on-invalid-dep=yes\n" in text

    def test_blanks_and_quotes_stay_one_word(self) -> None:
        text = text_of(make_preset(environment={"A": "it's $HOME"}, python="/a b/python"))

        assert "export A='it'\"'\"'s $HOME'\n" in text

    def test_memory_of_zero_is_all_of_it(self) -> None:
        assert "#SBATCH --mem=0\n" in text_of(make_preset(memory_gb=0))
        assert "#SBATCH --mem=64GB\n" in text_of(make_preset(memory_gb=64))

    def test_options_of_the_preset_have_the_last_word(self) -> None:
        text = text_of(make_preset(sbatch={"requeue": False, "exclusive": True, "mail-user": "a@b"}))

        assert "--requeue" not in text
        assert "#SBATCH --exclusive\n" in text
        assert "#SBATCH --mail-user=a@b\n" in text

    def test_the_name_is_one_word(self) -> None:
        executor = make_executor(make_preset(), Record(Path("/x")), "cpt-my run/é")

        assert "#SBATCH --job-name=cpt-my-run--\n" in sbatch_text(executor, None)

    def test_a_percent_sign_is_refused(self) -> None:
        with pytest.raises(UserInputError, match="has a % in its name"):
            make_executor(make_preset(), Record(Path("/100%/launch/001")), "cpt")


class TestScript:
    """The file for sbatch in a real shell, without its srun."""

    @pytest.fixture
    def record(self, tmp_path: Path) -> Record:
        return new_record(tmp_path / "with blanks")

    def run(
        self, record: Record, code: int, *, array: int | None = None, lines: tuple[str, ...] = (), **variables: str
    ) -> int:
        """Runs the file for sbatch with another command that ends with ``code``."""
        preset = make_preset(max_requeues=2, setup=list(lines))

        script = re.sub("^srun .*$", f"(exit {code})", text_of(preset, record, array=array), flags=re.MULTILINE)

        environment = {"PATH": str(record.folder.parents[1] / "bin") + ":/usr/bin:/bin", **variables}

        return subprocess.run(["bash", "-c", script], env=environment, check=False).returncode

    @pytest.mark.parametrize("code", [0, 1, 2, 3, 137])
    def test_what_has_ended_leaves_its_exit_code(self, record: Record, slurm: FakeSlurm, code: int) -> None:
        assert self.run(record, code, SLURM_JOB_ID="7") == code

        assert record.read_exit(None) == code
        assert slurm.calls("scontrol") == []

    @pytest.mark.parametrize("code", [85, 138, 140, 143])
    def test_what_was_told_to_stop_goes_back_to_the_queue(self, record: Record, slurm: FakeSlurm, code: int) -> None:
        self.run(record, code, SLURM_JOB_ID="7", SLURM_RESTART_COUNT="1")

        assert record.read_exit(None) is None
        assert slurm.calls("scontrol") == ["requeue 7"]

    def test_not_more_often_than_the_preset_says(self, record: Record, slurm: FakeSlurm) -> None:
        assert self.run(record, 85, SLURM_JOB_ID="7", SLURM_RESTART_COUNT="2") == 85

        assert record.read_exit(None) == 85
        assert slurm.calls("scontrol") == []

    def test_where_scontrol_refuses_the_job_has_stopped(self, record: Record, slurm: FakeSlurm) -> None:
        slurm.answer("scontrol", stderr="Job is no longer pending", code=1)

        assert self.run(record, 85, SLURM_JOB_ID="7") == 85

        assert record.read_exit(None) == 85

    def test_an_element_of_an_array_is_alone(self, record: Record, slurm: FakeSlurm) -> None:
        # The last element has the id of the whole array.
        variables = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}

        self.run(record, 85, array=4, **variables)

        assert slurm.calls("scontrol") == ["requeue 7_3"]

        self.run(record, 0, array=4, **variables)

        assert record.read_exit(3) == 0 and record.read_exit(None) is None

    def test_a_line_of_the_preset_that_fails_ends_the_job(self, record: Record, slurm: FakeSlurm) -> None:
        assert self.run(record, 0, lines=("true", "(exit 3)", "exit 0"), SLURM_JOB_ID="7") == 3

        assert record.read_exit(None) == 3

    def test_lines_of_the_preset_come_first(self, record: Record, slurm: FakeSlurm) -> None:
        assert self.run(record, 0, lines=("set -u", "A=1", "false || true"), SLURM_JOB_ID="7") == 0

        assert record.read_exit(None) == 0


class TestSubmit:
    def test_returns_the_id_and_keeps_the_worker(self, slurm: FakeSlurm, tmp_path: Path) -> None:
        record = new_record(tmp_path)

        executor = make_executor(make_preset(), record, "cpt")

        assert submit(executor, print, None) == "7"

        assert record.logs.joinpath("7_submitted.pkl").exists()
        assert record.logs.joinpath("7_submission.sh").read_text() == sbatch_text(executor, None)

    def test_an_array_has_one_id(self, slurm: FakeSlurm, tmp_path: Path) -> None:
        record = new_record(tmp_path)

        executor = make_executor(make_preset(), record, "tokenize", array=3)

        assert submit(executor, print, 3) == "7"

        assert sorted(file.name for file in record.logs.glob("*.pkl")) == [f"7_{idx}_submitted.pkl" for idx in range(3)]

        assert record.logs.joinpath("7_submission.sh").read_text() == sbatch_text(executor, 3)

        assert "#SBATCH --array=0-2%3\n" in sbatch_text(executor, 3)

    def test_the_job_in_which_we_run_is_not_inherited(
        self, slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
        monkeypatch.setenv("SLURM_JOB_ID", "3")
        monkeypatch.setenv("SLURM_NTASKS", "8")

        submit(make_executor(make_preset(), new_record(tmp_path), "cpt"), print, None)

        environment = slurm.environment("sbatch")

        assert "SLURM_NTASKS" not in environment and environment["SLURM_CONF"] == "/etc/slurm.conf"

        assert os.environ["SLURM_NTASKS"] == "8"

    def test_says_what_sbatch_refuses(self, slurm: FakeSlurm, tmp_path: Path) -> None:
        slurm.answer(
            "sbatch",
            stderr="sbatch: error: invalid partition specified: gup\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified",
            code=1,
        )

        with pytest.raises(UserInputError) as info:
            submit(make_executor(make_preset(), new_record(tmp_path), "cpt"), print, None)

        assert str(info.value).startswith(
            "sbatch: invalid partition specified: gup; Batch job submission failed: Invalid partition name specified ("
        )

    def test_a_cluster_that_is_away_is_not_the_users_fault(self, slurm: FakeSlurm, tmp_path: Path) -> None:
        slurm.answer("sbatch", stderr="sbatch: error: Unable to contact slurm controller (connect failure)", code=1)

        with pytest.raises(CodecS2STError, match="Unable to contact slurm controller") as info:
            submit(make_executor(make_preset(), new_record(tmp_path), "cpt"), print, None)

        assert info.value.exit_code == 1


class TestQuery:
    def test_reads_the_queue(self, slurm: FakeSlurm) -> None:
        slurm.queue(
            ("7", "PENDING", "Dependency", "0:00", 0, ""),
            ("8_0", "RUNNING", "None", "1-02:03:04", 2, "node[1-4]"),
            ("8_1", "CANCELLED", "None", "0:00", 0, ""),
        )

        assert query(["7", "8"]) == {
            "7": JobState(state="PENDING", reason="Dependency", elapsed="0:00"),
            "8_0": JobState(state="RUNNING", elapsed="1-02:03:04", num_requeues=2, nodes="node[1-4]"),
            "8_1": JobState(state="CANCELLED", elapsed="0:00"),
        }

        assert "--jobs=7,8" in slurm.calls("squeue")[0]

        assert [state.is_live for state in query(["7", "8"]).values()] == [True, True, False]

    def test_asks_nothing_about_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")

        assert query([]) == {}

    def test_a_job_that_is_forgotten_is_no_error(self, slurm: FakeSlurm) -> None:
        slurm.answer("squeue", stderr="slurm_load_jobs error: Invalid job id specified", code=1)

        assert query(["7"]) == {}

    def test_raises_error_when_the_cluster_is_away(self, slurm: FakeSlurm) -> None:
        slurm.answer("squeue", stderr="slurm_load_jobs error: Unable to contact slurm controller", code=1)

        with pytest.raises(CodecS2STError, match="Unable to contact slurm controller") as info:
            query(["7"])

        assert info.value.exit_code == 1


def test_cancel_takes_all_at_once(slurm: FakeSlurm) -> None:
    cancel(["7", "8"])

    assert slurm.calls("scancel") == ["7 8"]

    slurm.answer("scancel", stderr="scancel: error: Kill job error on job id 7: Access/permission denied", code=1)

    with pytest.raises(UserInputError, match="Access/permission denied"):
        cancel(["7"])


def test_require_names_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(UserInputError, match=r"sbatch was not found.*codec-s2st launch --preset local"):
        require("sbatch")
