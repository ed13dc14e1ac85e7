"""The queue of jobs: order, places, and who has gone."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.serve.jobs import PATIENCE_SECONDS, JobQueue, QueueFullError, State


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """Work that goes on when it is told to."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.started, self.may_end = Event(), Event()

        self._name, self._log = name, log

    def __call__(self) -> dict[str, str]:
        self._log.append(self._name)

        self.started.set()

        assert self.may_end.wait(20)

        return {"name": self._name}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Iterator[JobQueue]:
    queue = JobQueue(max_jobs=3, explain=lambda ex: f"told: {ex}", clock=clock)

    worker = Thread(target=queue.run, daemon=True)

    worker.start()

    yield queue

    queue.close()

    worker.join(20)

    assert not worker.is_alive()


def finish(queue: JobQueue, name: str) -> State:
    for _ in range(2000):
        view = queue.look(name)

        assert view is not None

        if view.state in (State.DONE, State.FAILED):
            return view.state

        Event().wait(0.005)

    raise AssertionError("the job does not end")


def test_one_at_a_time_in_order(queue: JobQueue) -> None:
    log: list[str] = []

    gates = [Gate(name, log) for name in "abc"]

    names = [queue.enter() for _ in gates]

    # Who has sent all goes first, not who has begun to send.
    order = [1, 0, 2]

    for idx in order:
        queue.submit(names[idx], gates[idx])

    assert gates[1].started.wait(20)

    views = [queue.look(name) for name in names]

    assert [(view.state, view.position) for view in views if view] == [
        (State.WAITING, 1),
        (State.RUNNING, 0),
        (State.WAITING, 2),
    ]

    for gate in gates:
        gate.may_end.set()

    for name, letter in zip(names, "abc", strict=True):
        assert finish(queue, name) is State.DONE

        view = queue.look(name)

        assert view is not None and view.result == {"name": letter}

    assert log == ["b", "a", "c"]


def test_places_are_bounded_and_come_back(queue: JobQueue) -> None:
    names = [queue.enter() for _ in range(3)]

    assert len(set(names)) == 3 and all(len(name) > 20 for name in names)

    with pytest.raises(QueueFullError, match="3 recordings are waiting already: try again in a moment"):
        queue.enter()

    queue.leave(names[0])

    name = queue.enter()

    # What is done takes no place, although its result waits to be fetched.
    queue.submit(name, dict)

    assert finish(queue, name) is State.DONE

    queue.enter()


def test_a_job_that_fails_is_told_and_others_go_on(queue: JobQueue) -> None:
    def fail() -> dict[str, str]:
        raise UserInputError("no")

    first, second = queue.enter(), queue.enter()

    queue.submit(first, fail)
    queue.submit(second, dict)

    assert finish(queue, first) is State.FAILED and finish(queue, second) is State.DONE

    view = queue.look(first)

    assert view is not None and view.error == "told: no" and view.result is None


def test_who_has_gone_is_not_waited_for(queue: JobQueue, clock: Clock) -> None:
    log: list[str] = []

    gates = [Gate(name, log) for name in "abc"]

    names = []

    for gate in gates:
        names.append(queue.enter())

        queue.submit(names[-1], gate)

    assert gates[0].started.wait(20)

    for gate in gates:
        gate.may_end.set()

    assert finish(queue, names[0]) is State.DONE

    # Once more, with one that nobody asks for.
    clock.now += PATIENCE_SECONDS + 1

    assert queue.look(names[0]) is None


def test_a_closed_page_is_not_computed(queue: JobQueue, clock: Clock) -> None:
    log: list[str] = []

    running, gone, here = (Gate(name, log) for name in ("running", "gone", "here"))

    names = {}

    for gate, name in [(running, "running"), (gone, "gone"), (here, "here")]:
        names[name] = queue.enter()

        queue.submit(names[name], gate)

        gate.may_end.set() if gate is not running else None

    assert running.started.wait(20)

    clock.now += PATIENCE_SECONDS - 1

    assert queue.look(names["here"]) and queue.look(names["running"])

    clock.now += 2

    running.may_end.set()

    assert finish(queue, names["here"]) is State.DONE

    assert log == ["running", "here"] and queue.look(names["gone"]) is None


def test_a_running_job_that_was_left_leaves_nothing(queue: JobQueue) -> None:
    gate = Gate("a", [])

    name = queue.enter()

    queue.submit(name, gate)

    assert gate.started.wait(20)

    queue.leave(name)

    assert queue.look(name) is None

    gate.may_end.set()

    other = queue.enter()

    queue.submit(other, dict)

    assert finish(queue, other) is State.DONE and queue.look(name) is None


def test_left_while_it_arrives_is_never_computed(queue: JobQueue) -> None:
    log: list[str] = []

    name = queue.enter()

    queue.leave(name)

    queue.submit(name, Gate("a", log))

    other = queue.enter()

    queue.submit(other, dict)

    assert finish(queue, other) is State.DONE and log == []


def test_a_queue_that_closes_takes_no_more(queue: JobQueue) -> None:
    queue.close()

    with pytest.raises(QueueFullError, match="about to end"):
        queue.enter()
