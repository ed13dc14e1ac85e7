"""Processes that make things ahead of time.

Rendering batches is Python, in which threads take turns with the training; hence processes.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pickle
import signal
import traceback
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import Queue
from threading import Thread
from typing import Any, Final, Generic, Protocol, TypeVar, final
from weakref import WeakSet

from typing_extensions import Self

from codec_s2st.errors import CodecS2STError

T = TypeVar("T")

T_co = TypeVar("T_co", covariant=True)

_PR_SET_PDEATHSIG: Final = 1

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Producer(Protocol[T_co]):
    """Makes one item after the other, the same ones in every process."""

    def begin(self) -> None:
        """Called once in each process."""

    def make(self) -> T_co:
        """Makes the next item."""

    def skip(self) -> None:
        """Passes over the next item."""


@final
class WorkerPool(Generic[T]):
    """Iterates over what a producer makes, in its order; other processes make it ahead of time.

    Each of them goes through all items and makes every n-th. They are forked, so that they have what this process has
    read. They end with :meth:`close`, with this object, or with this process, however it ends.
    """

    def __init__(self, producer: Producer[T], num_workers: int, num_ahead: int) -> None:
        """
        :param num_ahead: The number of items that each process keeps ready.

        :raises OSError: a process cannot be started.
        """
        context = get_context("fork")

        self._owner = os.getpid()

        self._turn = 0

        self._pipes: list[Connection] = []

        self._processes: list[Any] = []

        _open_pools.add(self)

        # What asks a run to stop is sent to all of its processes; the step in progress may still need these.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)

        try:
            for idx in range(num_workers):
                ours, theirs = context.Pipe(duplex=False)

                self._pipes.append(ours)

                process = context.Process(
                    target=_work,
                    args=(producer, idx, num_workers, num_ahead, theirs, list(self._pipes), self._owner),
                    name=f"worker-{idx}",
                    daemon=True,
                )

                process.start()

                self._processes.append(process)

                # Before the next fork, so that nobody else holds it: the pipe ends when the process does.
                theirs.close()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """
        :raises CodecS2STError: a process has died.
        """
        idx = self._turn % len(self._processes)

        try:
            data = self._pipes[idx].recv_bytes()
        except (EOFError, OSError):
            raise _death_of(self._processes[idx]) from None

        item, error = pickle.loads(data)

        if error is not None:
            raise error

        self._turn += 1

        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends the processes, which have nothing to bring to an end."""
        # A process that was forked later has this object, too.
        if os.getpid() != self._owner:
            return

        for process in self._processes:
            process.kill()

        for process in self._processes:
            process.join()

        for pipe in self._pipes:
            pipe.close()

    def __del__(self) -> None:
        self.close()


_open_pools: WeakSet[WorkerPool[Any]] = WeakSet()


# Registered after multiprocessing's own, and so called before it: that one sends SIGTERM and waits.
@atexit.register
def _close_pools() -> None:
    for pool in list(_open_pools):
        pool.close()


def _death_of(process: Any) -> CodecS2STError:
    process.join()

    how = f"was killed by signal {-process.exitcode}" if process.exitcode < 0 else f"ended with {process.exitcode}"

    return CodecS2STError(
        f"process {process.pid}, which prepares batches, {how}",
        hint="if memory was short: lower `data.num_workers` or `data.shuffle_gib`",
    )


def _work(
    producer: Producer[T],
    idx: int,
    num_workers: int,
    num_ahead: int,
    pipe: Connection,
    others: list[Connection],
    parent: int,
) -> None:
    _die_with(parent)

    for other in others:
        other.close()

    # One more waits to be sent.
    queue: Queue[bytes | None] = Queue(num_ahead)

    sender = Thread(target=_send, args=(queue, pipe), daemon=True)

    sender.start()

    def put(item: T | None, error: Exception | None) -> None:
        queue.put(pickle.dumps((item, error), protocol=pickle.HIGHEST_PROTOCOL))

    try:
        producer.begin()

        turn = 0

        while True:
            if turn % num_workers == idx:
                put(producer.make(), None)
            else:
                producer.skip()

            turn += 1
    except CodecS2STError as ex:
        put(None, ex)
    except Exception:
        put(None, RuntimeError(f"A process that prepares batches has failed:\n{traceback.format_exc()}"))

    queue.put(None)

    sender.join()


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    if os.getppid() != parent:
        os._exit(1)


def _send(queue: Queue[bytes | None], pipe: Connection) -> None:
    try:
        while (data := queue.get()) is not None:
            pipe.send_bytes(data)
    except OSError:
        # Nobody reads any more.
        os._exit(0)
