"""Jobs of SLURM, by submitit: the file for sbatch, submitting it, looking at the queue, and cancelling."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.launch.children import STOPPED_CODES
from codec_s2st.launch.preset import LaunchPreset
from codec_s2st.launch.record import Record

if TYPE_CHECKING:
    from submitit import SlurmExecutor

_STATE_FORMAT: Final = "jobarrayid:40,state:20,reason:50,timeused:20,restartcnt:10,nodelist:200"

_ENDED_STATES: Final = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"}
)


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What the queue says of a job, or of an element of its array."""

    state: str
    """Such as ``PENDING``."""

    reason: str = ""

    elapsed: str = ""

    num_requeues: int = 0

    nodes: str = ""

    @property
    def is_live(self) -> bool:
        return self.state not in _ENDED_STATES


def make_executor(
    preset: LaunchPreset, record: Record, name: str, *, array: int | None = None, needs: Sequence[str] = ()
) -> SlurmExecutor:
    """Returns submitit's executor; SLURM need not be there.

    :param needs: the ids of the jobs that must have ended well before.
    :raises UserInputError: the folder's name has a ``%``, which SLURM would replace.
    """
    if "%" in str(record.logs):
        raise UserInputError(f"'{record.folder}' has a % in its name, which SLURM replaces", hint="choose another OUT")

    from submitit import SlurmExecutor

    class Executor(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:
            return 2

    executor = Executor(record.logs, max_num_timeout=preset.max_requeues, python=_python(preset))

    executor.update_parameters(**_parameters(preset, record, name, array, needs))

    return executor


def sbatch_text(executor: SlurmExecutor, array: int | None) -> str:
    """Returns the file that sbatch will get."""
    if array is not None:
        executor.parameters["map_count"] = array

    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")

    executor.parameters.pop("map_count", None)

    return text


def submit(executor: SlurmExecutor, worker: Any, array: int | None) -> str:
    """Submits a job, or an array of ``array`` elements, and returns its id.

    :raises UserInputError: sbatch refused it, or is not there.
    :raises CodecS2STError: the cluster does not answer.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    require("sbatch")

    try:
        with _outside_of_jobs():
            if array is None:
                return str(executor.submit(worker).job_id)

            return str(executor.submit_array([worker] * array)[0].job_id).partition("_")[0]
    except (FailedJobError, FailedSubmissionError) as ex:
        raise _refused("sbatch", str(ex)) from ex


def query(job_ids: Collection[str]) -> dict[str, JobState]:
    """Returns what the queue says of the jobs that it still knows; ``12_3`` is an element of the array 12.

    :raises CodecS2STError: the cluster does not answer.
    """
    if not job_ids:
        return {}

    require("squeue")

    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(job_ids)}", "-O", _STATE_FORMAT]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    if result.returncode != 0 and "Invalid job id" not in result.stderr:
        raise _refused("squeue", result.stderr)

    return dict(_read_state(line) for line in result.stdout.splitlines() if line.strip())


def cancel(job_ids: Collection[str]) -> None:
    """Cancels jobs: SIGTERM, upon which a training run saves, then SIGKILL when SLURM's KillWait is over.

    :raises CodecS2STError: the cluster does not answer, or refuses.
    """
    require("scancel")

    result = subprocess.run(["scancel", *job_ids], capture_output=True, text=True, check=False)

    if result.returncode != 0:
        raise _refused("scancel", result.stderr)


def require(program: str) -> None:
    """
    :raises UserInputError: SLURM's ``program`` is not there.
    """
    if shutil.which(program) is None:
        raise UserInputError(
            f"{program} was not found: this machine submits no jobs to SLURM",
            hint="run it on a login node of the cluster, or here: codec-s2st launch --preset local -- ...",
        )


def _parameters(
    preset: LaunchPreset, record: Record, name: str, array: int | None, needs: Sequence[str]
) -> dict[str, Any]:
    further: dict[str, Any] = {"requeue": True, **preset.sbatch}

    if needs:
        # A job whose dependency has failed would wait forever.
        further |= {"dependency": "afterok:" + ":".join(needs), "kill-on-invalid-dep": "yes"}

    return {
        "job_name": re.sub(r"[^A-Za-z0-9_.-]", "-", name),
        "partition": preset.partition,
        "account": preset.account,
        "qos": preset.qos,
        "constraint": preset.constraint,
        "nodes": preset.nodes,
        "ntasks_per_node": preset.tasks_per_node,
        "gpus_per_node": preset.gpus_per_node or None,
        "cpus_per_task": preset.cpus_per_task,
        "mem": None if preset.memory_gb is None else f"{preset.memory_gb}{'GB' if preset.memory_gb else ''}",
        "time": preset.time_minutes,
        "signal_delay_s": preset.save_seconds,
        "wckey": None,
        "srun_args": _srun_arguments(preset),
        "setup": _setup(preset, record, array),
        "teardown": _teardown(preset, array),
        # False takes back what is said above.
        "additional_parameters": {key: value for key, value in further.items() if value is not False},
    }


def _python(preset: LaunchPreset) -> str:
    container = preset.container

    if container is None:
        return preset.python or shlex.quote(sys.executable)

    python = preset.python or "python3"

    if container.runtime == "pyxis":
        return python

    binds = [f"--bind={shlex.quote(mount)}" for mount in container.mounts]

    return " ".join(
        ["apptainer", "exec", *(["--nv"] if preset.gpus_per_node else []), *binds, shlex.quote(container.image), python]
    )


def _srun_arguments(preset: LaunchPreset) -> list[str]:
    # One rank that has failed leaves the others waiting for it.
    arguments = ["--kill-on-bad-exit=1"]

    # Since 22.05, srun does not take it from sbatch.
    if preset.cpus_per_task is not None:
        arguments.append(f"--cpus-per-task={preset.cpus_per_task}")

    container = preset.container

    if container is not None and container.runtime == "pyxis":
        arguments.append(f"--container-image={container.image}")

        if container.mounts:
            mounts = [mount if ":" in mount else f"{mount}:{mount}" for mount in container.mounts]

            arguments.append(f"--container-mounts={','.join(mounts)}")

    return arguments


def _setup(preset: LaunchPreset, record: Record, array: int | None) -> list[str]:
    """Returns the lines before srun: variables, then the preset's lines, of which one that fails ends the job."""
    element = "" if array is None else "_$SLURM_ARRAY_TASK_ID"

    lines = [f"exit_file={shlex.quote(str(record.exit_file(None)))}{element}"]

    lines += [f"export {key}={shlex.quote(value)}" for key, value in preset.environment.items()]

    if preset.setup:
        lines += ["set -e", "trap 'echo $? > \"$exit_file\"' EXIT", *preset.setup, "trap - EXIT", "set +e"]

    return lines


def _teardown(preset: LaunchPreset, array: int | None) -> list[str]:
    """Returns the lines after srun: a job that was told to stop goes back to the queue; else its exit code is kept.

    ``scancel`` ends the script itself, so that what was cancelled does not come back.
    """
    # The last element of an array has the id of the whole.
    job = "$SLURM_JOB_ID" if array is None else "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"

    return [
        "code=$?",
        f"case $code in {'|'.join(map(str, STOPPED_CODES))})",
        f'  if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {preset.max_requeues} ]; then',
        f"    scontrol requeue {job} && exit $code",
        "  fi",
        "esac",
        'echo $code > "$exit_file.part" && mv "$exit_file.part" "$exit_file"',
        "exit $code",
        "",
    ]


def _read_state(line: str) -> tuple[str, JobState]:
    cells = []

    for column in _STATE_FORMAT.split(","):
        width = int(column.partition(":")[2])

        cells.append(line[:width].strip())

        line = line[width:]

    job_id, state, reason, elapsed, requeues, nodes = cells

    return job_id, JobState(
        state=state,
        reason="" if reason == "None" else reason,
        elapsed=elapsed,
        num_requeues=int(requeues or 0),
        nodes="" if nodes == "(null)" else nodes,
    )


def _refused(program: str, text: str) -> CodecS2STError:
    lines = re.findall(rf"^{program}: (?:error: )?(.+)$", text, flags=re.MULTILINE) or text.strip().splitlines()[-1:]

    message = f"{program}: {'; '.join(line.strip() for line in lines) or 'failed'}"

    if re.search("contact slurm|timed out|[Cc]onnect|slurm_load|Zero Bytes", message):
        return CodecS2STError(message, hint="is the cluster up? try: sinfo")

    return UserInputError(message, hint="change the preset: codec-s2st cp slurm/NAME FILE, then --preset FILE")


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Takes away the variables of a job in which we run, which the new one would inherit; where SLURM is, stays."""
    names = [
        name
        for name in os.environ
        if "SLURM_JOB_ID" in os.environ
        and name.startswith(("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_"))
        and name not in ("SLURM_CONF", "SLURM_CLUSTERS")
    ]

    former = {name: os.environ.pop(name) for name in names}

    try:
        yield
    finally:
        os.environ.update(former)
