"""Runs a launch here, in the foreground: a child process a rank, the elements of an array one after the other."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from codec_s2st.errors import CodecS2STError, DivergedError, UserInputError
from codec_s2st.launch.children import Child, Outcome, run_children
from codec_s2st.launch.logs import Follower, last_lines
from codec_s2st.launch.preset import LaunchPreset
from codec_s2st.launch.ranks import free_port, rank_variables
from codec_s2st.launch.record import LaunchInfo, Record

INTERRUPTED_EXIT_CODE: Final = 130


def local_command(preset: LaunchPreset, command: Sequence[str]) -> tuple[str, ...]:
    """Returns the command of a rank: the preset's lines of shell, then its Python."""
    if not preset.setup and preset.python is None:
        return (sys.executable, *command)

    python = preset.python or shlex.quote(sys.executable)

    return ("bash", "-c", "\n".join(["set -e", *preset.setup, f'exec {python} "$@"']), "bash", *command)


def run_local(preset: LaunchPreset, record: Record, info: LaunchInfo) -> int:
    """Runs what was launched, and returns its exit code: 0, 85 if it was told to stop, 130 after Ctrl-C.

    What rank 0 writes is shown too.

    :raises CodecS2STError: a rank has failed; its last lines were shown. The error has the rank's exit code.
    """
    for element in info.elements:
        outcome = _run_element(preset, record, info, element)

        record.write_exit(element, outcome.code)

        rank = outcome.failed

        if rank is not None and outcome.code != INTERRUPTED_EXIT_CODE:
            record.write_failure(rank, element)

            raise rank_error(record.log(info, element, rank, "err"), rank, outcome.code, shown=rank == 0)

        if outcome.code != 0:
            return outcome.code

    return 0


def _run_element(preset: LaunchPreset, record: Record, info: LaunchInfo, element: int | None) -> Outcome:
    port = free_port()

    children = []

    for rank in range(info.num_tasks):
        variables = rank_variables(
            rank,
            info.num_tasks,
            local_rank=rank,
            local_world_size=info.num_tasks,
            address="127.0.0.1",
            port=port,
        )

        children.append(
            Child(
                command=local_command(preset, info.command),
                environment={**variables, **_array_variables(info, element), **preset.environment},
                stdout=record.log(info, element, rank, "out"),
                stderr=record.log(info, element, rank, "err"),
            )
        )

    followers = [
        Follower(record.log(info, element, 0, kind), stream)
        for kind, stream in (("out", sys.stdout), ("err", sys.stderr))
    ]

    def copy() -> None:
        for follower in followers:
            follower.copy()

    return run_children(children, interruptible=True, on_poll=copy)


def rank_error(log: Path, rank: int, code: int, *, shown: bool) -> CodecS2STError:
    """Returns the error for a rank that has ended with ``code``.

    :param log: what it wrote to stderr, of which the last lines are printed unless they were ``shown``.
    """
    lines = last_lines(log, 10)

    if not shown:
        print(f"-- the last lines of rank {rank}, {log}", *lines, "--", sep="\n", file=sys.stderr)

    kind = {2: UserInputError, 3: DivergedError}.get(code, CodecS2STError)

    return kind(f"rank {rank} ended with exit code {code}", hint=f"see: {log}")


def _array_variables(info: LaunchInfo, element: int | None) -> Mapping[str, str]:
    if element is None or info.array is None:
        return {}

    return {
        "SLURM_ARRAY_TASK_ID": str(element),
        "SLURM_ARRAY_TASK_COUNT": str(info.array),
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_MAX": str(info.array - 1),
        "SLURM_ARRAY_TASK_STEP": "1",
    }
