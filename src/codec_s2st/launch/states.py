"""What has become of launches: from their records, the queue of SLURM, and the processes of this machine."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from codec_s2st.errors import STOPPED_EXIT_CODE
from codec_s2st.launch.children import STOPPED_CODES
from codec_s2st.launch.preset import SLURM
from codec_s2st.launch.record import LaunchInfo, Record, process_start

if TYPE_CHECKING:
    from codec_s2st.launch.slurm import JobState

DONE: Final = "DONE"
FAILED: Final = "FAILED"
STOPPED: Final = "STOPPED"
CANCELLED: Final = "CANCELLED"
RUNNING: Final = "RUNNING"
LOST: Final = "LOST"


@dataclass(frozen=True, kw_only=True)
class ElementState:
    """The state of a job, or of an element of its array."""

    element: int | None

    state: str
    """One of the above, or what SLURM says of a job that has left no exit code, such as ``PENDING`` or ``TIMEOUT``."""

    detail: str = ""

    is_live: bool = False
    """Whether it waits or runs."""


def find_states(records: Sequence[tuple[Record, LaunchInfo]]) -> list[list[ElementState]]:
    """Returns the states of each launch, an entry an element of its array; the queue is asked once.

    :raises CodecS2STError: SLURM is needed, and does not answer.
    """
    open_jobs = [
        info.job_id
        for record, info in records
        if info.cluster == SLURM and any(record.read_exit(element) is None for element in info.elements)
    ]

    queue = {}

    if open_jobs:
        from codec_s2st.launch.slurm import query

        queue = query(open_jobs)

    output = []

    for record, info in records:
        states = []

        for element in info.elements:
            # What has ended while the queue was asked has left its exit code.
            state = _ended(record, element)

            if state is None:
                job = queue.get(info.job_id if element is None else f"{info.job_id}_{element}")

                if info.cluster != SLURM:
                    state = _local(record, info, element)
                elif job is None:
                    state = _missing(record, element, f"SLURM does not know job {info.job_id} any more")
                else:
                    state = _queued(element, job)

            states.append(state)

        output.append(states)

    return output


def _ended(record: Record, element: int | None) -> ElementState | None:
    code = record.read_exit(element)

    if code is None:
        return None

    if code == 0:
        return ElementState(element=element, state=DONE)

    if code in STOPPED_CODES:
        return ElementState(
            element=element, state=STOPPED, detail=f"exit code {STOPPED_EXIT_CODE}: the same command goes on"
        )

    return ElementState(element=element, state=FAILED, detail=f"exit code {code}")


def _queued(element: int | None, job: JobState) -> ElementState:
    parts = [job.nodes, job.elapsed if job.is_live else ""] if job.nodes else [job.reason]

    if job.num_requeues:
        parts.append(f"requeued {job.num_requeues} times")

    return ElementState(element=element, state=job.state, detail=" ".join(filter(None, parts)), is_live=job.is_live)


def _local(record: Record, info: LaunchInfo, element: int | None) -> ElementState:
    if info.host != socket.gethostname():
        return ElementState(element=element, state="UNKNOWN", detail=f"it was started on {info.host}")

    if process_start(info.pid) == info.pid_start:
        return ElementState(element=element, state=RUNNING, detail=f"process {info.pid}", is_live=True)

    return _missing(record, element, f"process {info.pid} is gone")


def _missing(record: Record, element: int | None, detail: str) -> ElementState:
    if record.cancelled.exists():
        return ElementState(element=element, state=CANCELLED)

    return ElementState(element=element, state=LOST, detail=detail)
