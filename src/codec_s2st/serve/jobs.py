"""What waits to be computed: one job at a time, in order, and no more than fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from secrets import token_urlsafe
from threading import Condition
from typing import Any, Final, TypeAlias

from codec_s2st.errors import CodecS2STError

Result: TypeAlias = dict[str, Any]

PATIENCE_SECONDS: Final = 30.0
"""Who has not asked for a job for so long has gone: it is not computed, and its result is dropped."""


class QueueFullError(CodecS2STError):
    """There is no place for one more job."""


class State(Enum):
    ARRIVING = "arriving"
    """It has a place, but what is to be done is not known yet."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class JobView:
    """What is told of a job."""

    state: State

    position: int = 0
    """How many are computed before it, the running one included."""

    seconds: float = 0.0
    """Since it is in its state."""

    result: Result | None = None
    error: str | None = None


@dataclass
class _Job:
    state: State
    since: float
    seen_at: float
    work: Callable[[], Result] | None = None
    result: Result | None = None
    error: str | None = None
    is_left: bool = False


class JobQueue:
    """Jobs by id, in the order in which they came. All methods may be called from any thread."""

    def __init__(
        self, *, max_jobs: int, explain: Callable[[Exception], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        :param max_jobs: How many may arrive, wait and run at once.
        :param explain: Returns what is told of an exception that a job has raised.
        """
        self._max_jobs = max_jobs
        self._explain = explain
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._changed = Condition()
        self._closed = False

    def enter(self) -> str:
        """Takes a place for a job, and returns its id, which nobody can guess.

        :raises QueueFullError: there is none.
        """
        with self._changed:
            self._forget()

            num_open = sum(job.result is None and job.error is None for job in self._jobs.values())

            if self._closed:
                raise QueueFullError("the server is about to end")

            if num_open >= self._max_jobs:
                raise QueueFullError(f"{num_open} recordings are waiting already: try again in a moment")

            name, now = token_urlsafe(16), self._clock()

            self._jobs[name] = _Job(State.ARRIVING, now, now)

            return name

    def submit(self, name: str, work: Callable[[], Result]) -> None:
        """Says what is to be done; the job's turn is counted from here on."""
        with self._changed:
            job = self._jobs.pop(name, None)

            # Else it was left in the meantime.
            if job is not None:
                job.state, job.work, job.since, job.seen_at = State.WAITING, work, self._clock(), self._clock()

                self._jobs[name] = job

            self._changed.notify_all()

    def leave(self, name: str) -> None:
        """Drops a job, or what came of it. One that runs is computed to its end, for nobody."""
        with self._changed:
            job = self._jobs.get(name)

            if job is not None and job.state is State.RUNNING:
                job.is_left = True
            else:
                self._jobs.pop(name, None)

    def look(self, name: str) -> JobView | None:
        """Returns what has become of a job; ``None`` if there is none (any more)."""
        with self._changed:
            self._forget()

            job = self._jobs.get(name)

            if job is None or job.is_left:
                return None

            now = job.seen_at = self._clock()

            position = 0

            if job.state is State.WAITING:
                order = [key for key, other in self._jobs.items() if other.state in (State.RUNNING, State.WAITING)]

                position = order.index(name)

            return JobView(job.state, position, now - job.since, job.result, job.error)

    def run(self) -> None:
        """Computes job after job until :meth:`close`; for a thread of its own."""
        while (job := self._take()) is not None:
            result, error = None, None

            assert job.work is not None

            try:
                result = job.work()
            except Exception as ex:
                error = self._explain(ex)

            with self._changed:
                # What it was made of goes now; what came of it waits to be fetched.
                job.work, job.result, job.error = None, result, error

                job.state, job.since = State.DONE if error is None else State.FAILED, self._clock()

                self._forget()

    def close(self) -> None:
        """Lets :meth:`run` return when the job that runs is done; the others are dropped."""
        with self._changed:
            self._closed = True

            self._jobs = {name: job for name, job in self._jobs.items() if job.state is State.RUNNING}

            self._changed.notify_all()

    def _take(self) -> _Job | None:
        with self._changed:
            while not self._closed:
                self._forget()

                for job in self._jobs.values():
                    if job.state is State.WAITING:
                        job.state, job.since = State.RUNNING, self._clock()

                        return job

                self._changed.wait()

            return None

    def _forget(self) -> None:
        """Drops jobs that nobody asks for. One that arrives is dropped by whoever receives it."""
        oldest = self._clock() - PATIENCE_SECONDS

        self._jobs = {
            name: job
            for name, job in self._jobs.items()
            if job.state in (State.ARRIVING, State.RUNNING) or (job.seen_at > oldest and not job.is_left)
        }
