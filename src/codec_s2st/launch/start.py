"""Starts a launch: its record is written, and its job is submitted, or ready to run here."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from codec_s2st.launch.calls import Call, refuse_secret, write_config
from codec_s2st.launch.local import local_command
from codec_s2st.launch.preset import LOCAL, SLURM, LaunchPreset
from codec_s2st.launch.provenance import write_provenance
from codec_s2st.launch.record import LOCAL_JOB, LaunchInfo, Record, new_record, process_start, write_whole
from codec_s2st.launch.targets import remember_job


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What is to be launched where."""

    name: str
    """Of the job."""

    call: Call

    preset: LaunchPreset

    parent: Path
    """The folder of its records."""

    array: int | None = None

    fingerprint: str = ""


def describe(launch: Launch, needs: Sequence[str] = ()) -> str:
    """Returns what would be submitted, and what each rank would run."""
    record = new_record(launch.parent, dry_run=True)

    ranks = f"{launch.preset.num_tasks} ranks" if launch.preset.num_tasks > 1 else "one rank"

    elements = f"{launch.array} elements of " if launch.array is not None else ""

    command = shlex.join(["python", *launch.call.command(record)])

    return f"{_submission(launch, record, needs)}\n# {elements}{ranks}: {command}\n"


def start(launch: Launch, config: str | None, needs: Sequence[str] = ()) -> tuple[Record, LaunchInfo]:
    """Writes the record of a launch and submits its job; where it runs here, it is yet to be run.

    :param config: the resolved configuration of a recipe.
    :param needs: the ids of the jobs that must have ended well before.
    :raises CodecS2STError: the cluster refuses it, or it holds a secret; then nothing is left behind.
    """
    new_folders = [folder for folder in (launch.parent, launch.parent.parent) if not folder.exists()]

    record = new_record(launch.parent)

    try:
        if config is not None:
            write_config(record, config)

        write_provenance(record.folder, _parse(config))

        refuse_secret("\n".join(launch.call.command(record)), "the command")

        submission = _submission(launch, record, needs)

        refuse_secret(submission, "the launch preset")

        write_whole(record.submission, submission)

        info = _info(launch, record, _submit(launch, record, needs))
    except BaseException:
        shutil.rmtree(record.folder, ignore_errors=True)

        for folder in new_folders:
            # Something else may be in it by now.
            with suppress(OSError):
                folder.rmdir()

        raise

    record.write_info(info)

    if info.cluster == SLURM:
        remember_job(info.job_id, launch.parent.parent)

    return record, info


def _submit(launch: Launch, record: Record, needs: Sequence[str]) -> str:
    if launch.preset.cluster == LOCAL:
        return LOCAL_JOB

    from codec_s2st.launch.slurm import make_executor, submit
    from codec_s2st.launch.worker import Worker

    worker = Worker(record.folder, launch.call.command(record), launch.preset.environment)

    executor = make_executor(launch.preset, record, launch.name, array=launch.array, needs=needs)

    return submit(executor, worker, launch.array)


def _submission(launch: Launch, record: Record, needs: Sequence[str]) -> str:
    if launch.preset.cluster == LOCAL:
        return shlex.join(local_command(launch.preset, launch.call.command(record))) + "\n"

    from codec_s2st.launch.slurm import make_executor, sbatch_text

    executor = make_executor(launch.preset, record, launch.name, array=launch.array, needs=needs)

    return sbatch_text(executor, launch.array)


def _info(launch: Launch, record: Record, job_id: str) -> LaunchInfo:
    return LaunchInfo(
        name=launch.name,
        command=launch.call.command(record),
        cluster=launch.preset.cluster,
        job_id=job_id,
        array=launch.array,
        num_tasks=launch.preset.num_tasks,
        fingerprint=launch.fingerprint,
        launched=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        host=socket.gethostname(),
        pid=os.getpid(),
        pid_start=process_start(os.getpid()) or 0,
        preset=asdict(launch.preset),
    )


def _parse(config: str | None) -> object:
    from ruamel.yaml import YAML

    return None if config is None else YAML(typ="safe", pure=True).load(config)
