"""``codec-s2st launch status|logs|cancel``: what has become of a launch, what it writes, and its end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from codec_s2st.arguments import CommandParser
from codec_s2st.errors import UserInputError
from codec_s2st.launch.logs import Follower, last_lines, size_of
from codec_s2st.launch.preset import SLURM
from codec_s2st.launch.record import LaunchInfo, Record
from codec_s2st.launch.states import CANCELLED, DONE, STOPPED, ElementState, find_states
from codec_s2st.launch.targets import find_launches

_NUM_LINES = 10

_FOLLOW_SECONDS = 0.5


def main_status(argv: Sequence[str]) -> int:
    """Prints a line a launch, and the last lines of what has failed."""
    parser = CommandParser(prog="codec-s2st launch status", description="Say what has become of a launch.")

    _add_target(parser)

    args = parser.parse_args(argv)

    launches = find_launches(args.target)

    for (record, info), states in zip(launches, find_states(launches), strict=True):
        for state, elements in _grouped(states):
            what = _job_name(info, elements)

            print("  ".join(filter(None, [info.name, what, state.state, state.detail, str(record.folder)])))

        if any(not state.is_live and state.state not in (DONE, STOPPED, CANCELLED) for state in states):
            _print_failure(record, info)

    return 0


def main_logs(argv: Sequence[str]) -> int:
    """Prints what a rank has written, stdout before stderr; with ``--follow``, until it has ended."""
    parser = CommandParser(prog="codec-s2st launch logs", description="Print what a launch writes.")

    _add_target(parser)

    parser.add_argument("--rank", type=int, default=0, metavar="N", help="of which rank (default: 0)")
    parser.add_argument("--element", type=int, metavar="N", help="of which element, if it is an array (default: 0)")
    parser.add_argument("--lines", type=int, metavar="N", help="the last N lines of each file only")
    parser.add_argument("--follow", action="store_true", help="go on until it has ended")

    args = parser.parse_args(argv)

    launches = find_launches(args.target)

    if len(launches) > 1:
        raise UserInputError(f"'{args.target}' is a pipeline", hint=f"name a step: {launches[-1][0].folder.parents[1]}")

    [(record, info)] = launches

    element = args.element if args.element is not None or info.array is None else 0

    if args.rank not in range(info.num_tasks):
        raise UserInputError(f"--rank is {args.rank}, but there are ranks 0 to {info.num_tasks - 1}")

    if element not in info.elements:
        known = "it is no array" if info.array is None else f"there are elements 0 to {info.array - 1}"

        raise UserInputError(f"--element is {element}, but {known}")

    followers = []

    for kind, stream in (("out", sys.stdout), ("err", sys.stderr)):
        file = record.log(info, element, args.rank, kind)

        if args.lines is not None:
            position = size_of(file)

            for line in last_lines(file, args.lines):
                print(line, file=stream)
        else:
            position = 0

        followers.append(Follower(file, stream, position=position))

    while True:
        # Asked first: what it writes last is then there.
        is_live = args.follow and find_states(launches)[0][info.elements.index(element)].is_live

        for follower in followers:
            follower.copy()

        if not is_live:
            return 0

        time.sleep(_FOLLOW_SECONDS)


def main_cancel(argv: Sequence[str]) -> int:
    """Cancels what waits or runs; a training run is given the time to save."""
    parser = CommandParser(
        prog="codec-s2st launch cancel", description="Cancel what waits or runs; what runs may save."
    )

    _add_target(parser)

    launches = find_launches(parser.parse_args(argv).target)

    live = [
        (record, info)
        for (record, info), states in zip(launches, find_states(launches), strict=True)
        if any(state.is_live for state in states)
    ]

    if not live:
        print("nothing waits or runs")

        return 0

    for record, _ in live:
        record.cancelled.touch()

    job_ids = [info.job_id for _, info in live if info.cluster == SLURM]

    if job_ids:
        from codec_s2st.launch.slurm import cancel

        cancel(job_ids)

    for pid in {info.pid for _, info in live if info.cluster != SLURM}:
        # It may have ended meanwhile.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    for _, info in live:
        print(f"cancelled {info.name}  {_job_name(info)}")

    return 0


def _add_target(parser: CommandParser) -> None:
    parser.add_argument("target", metavar="RUN|JOB", help="the folder of a run or a pipeline, or a job's id")


def _grouped(states: Sequence[ElementState]) -> list[tuple[ElementState, list[int]]]:
    """Returns one of the states that are alike, with the elements that are in it."""
    groups: dict[tuple[str, str], tuple[ElementState, list[int]]] = {}

    for state in states:
        _, elements = groups.setdefault((state.state, state.detail), (state, []))

        if state.element is not None:
            elements.append(state.element)

    return list(groups.values())


def _job_name(info: LaunchInfo, elements: Sequence[int] = ()) -> str:
    name = f"job {info.job_id}" if info.cluster == SLURM else f"on {info.host}"

    return f"{name} [{','.join(map(str, elements))}]" if elements else name


def _print_failure(record: Record, info: LaunchInfo) -> None:
    rank, element = record.read_failure() or (0, info.elements[0])

    log = record.log(info, element, rank, "err")

    if lines := last_lines(log, _NUM_LINES):
        print(f"  the last lines of rank {rank}, {log}:")

        print(*(f"    {line}" for line in lines), sep="\n")
