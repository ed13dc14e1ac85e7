from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from codec_s2st.data.workers import WorkerPool
from codec_s2st.errors import CodecS2STError, UserInputError

Pools = list[WorkerPool[Any]]


class Counter:
    """Makes (number, its process)."""

    def __init__(self, *, fail_at: int | None = None, error: Exception | None = None) -> None:
        self._next = 0
        self._fail_at = fail_at
        self._error = error

    def begin(self) -> None:
        pass

    def make(self) -> tuple[int, int]:
        self.skip()

        return self._next - 1, os.getpid()

    def skip(self) -> None:
        if self._next == self._fail_at:
            assert self._error is not None

            raise self._error

        self._next += 1


@pytest.fixture
def pools() -> Iterator[Pools]:
    pools: list[WorkerPool[Any]] = []

    yield pools

    for pool in pools:
        pool.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30

    while not condition():
        assert time.monotonic() < deadline

        time.sleep(0.02)


def wait_for_end(pids: list[int]) -> None:
    wait_until(lambda: not any(is_running(pid) for pid in pids))


class TestItems:
    @pytest.mark.parametrize("num_workers", [1, 2, 3])
    @pytest.mark.parametrize("num_ahead", [1, 4])
    def test_come_in_order_from_all_processes(self, pools: Pools, num_workers: int, num_ahead: int) -> None:
        pool = WorkerPool(Counter(), num_workers, num_ahead)

        pools.append(pool)

        items = list(islice(pool, 20))

        assert [number for number, _ in items] == list(range(20))

        assert [pid for _, pid in items] == [pool.pids[i % num_workers] for i in range(20)]

        assert os.getpid() not in pool.pids

    def test_are_made_ahead_but_not_without_end(self, pools: Pools, tmp_path: Path) -> None:
        class Big:
            """Makes items that are larger than the pipe."""

            def __init__(self) -> None:
                self._next = 0

            def begin(self) -> None:
                pass

            def make(self) -> tuple[int, bytes]:
                self._next += 1

                (tmp_path / str(self._next)).touch()

                return self._next, bytes(1_000_000)

            def skip(self) -> None:
                raise AssertionError

        pool = WorkerPool(Big(), 1, 3)

        pools.append(pool)

        # Three are ready, one is being sent, one waits for its place.
        for num_taken in range(3):
            wait_until(lambda num=num_taken: len(list(tmp_path.iterdir())) == num + 5)

            time.sleep(0.2)

            assert len(list(tmp_path.iterdir())) == num_taken + 5

            assert next(pool)[0] == num_taken + 1


class TestErrors:
    @pytest.mark.parametrize("num_workers", [1, 2, 3])
    def test_of_the_producer_come_in_their_turn(self, pools: Pools, num_workers: int) -> None:
        error = UserInputError("the row is bad", hint="mend it")

        pool = WorkerPool(Counter(fail_at=7, error=error), num_workers, 4)

        pools.append(pool)

        assert [number for number, _ in islice(pool, 7)] == list(range(7))

        with pytest.raises(UserInputError, match=r"^the row is bad \(mend it\)$"):
            next(pool)

    def test_that_nobody_expected_show_their_trace(self, pools: Pools) -> None:
        pools.append(WorkerPool(Counter(fail_at=0, error=ZeroDivisionError("oh")), 1, 1))

        with pytest.raises(RuntimeError, match=r"(?s)Traceback.*in skip.*ZeroDivisionError: oh"):
            next(pools[0])

    def test_a_process_that_was_killed_is_named(self, pools: Pools) -> None:
        class Slow(Counter):
            def make(self) -> tuple[int, int]:
                if self._next:
                    time.sleep(600)

                return super().make()

        pool = WorkerPool(Slow(), 2, 1)

        pools.append(pool)

        assert next(pool)[0] == 0

        os.kill(pool.pids[1], signal.SIGKILL)

        with pytest.raises(CodecS2STError, match=rf"process {pool.pids[1]}.* was killed by signal 9") as info:
            next(pool)

        assert info.value.exit_code == 1


class TestEnd:
    def test_close_ends_the_processes(self) -> None:
        pool = WorkerPool(Counter(), 2, 2)

        next(pool)

        pool.close()

        assert not any(is_running(pid) for pid in pool.pids)

        pool.close()

    def test_so_does_losing_the_pool(self) -> None:
        pool = WorkerPool(Counter(), 2, 2)

        pids = pool.pids

        del pool

        wait_for_end(pids)

    def test_a_process_that_is_forked_later_does_not_end_them(self, pools: Pools) -> None:
        pool = WorkerPool(Counter(), 2, 1)

        pools.append(pool)

        if (pid := os.fork()) == 0:
            pool.close()

            os._exit(0)

        assert os.waitpid(pid, 0)[1] == 0

        assert [number for number, _ in islice(pool, 10)] == list(range(10))

    def test_requests_to_stop_do_not_reach_them(self, pools: Pools) -> None:
        pool = WorkerPool(Counter(), 2, 1)

        pools.append(pool)

        next(pool)

        for pid in pool.pids:
            for signal_nr in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
                os.kill(pid, signal_nr)

        # More than what was ready.
        assert [number for number, _ in islice(pool, 20_000)] == list(range(1, 20_001))

    @pytest.mark.parametrize("how", ["end", "exception", "exit", "_exit", "SIGINT", "SIGTERM", "SIGKILL"])
    def test_they_do_not_outlive_the_process(self, how: str, tmp_path: Path) -> None:
        """Whatever ends it, while the processes wait for their items to be taken."""
        script = f"""
import os, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from codec_s2st.data.workers import WorkerPool

class Big:
    def begin(self): pass
    def make(self): return b"x" * 1_000_000
    def skip(self): pass

def main():
    pool = WorkerPool(Big(), 2, 2)
    next(pool)
    print(*pool.pids, flush=True)
    match {how!r}:
        case "end": return
        case "exception": raise ZeroDivisionError
        case "exit": sys.exit(3)
        case "_exit": os._exit(3)
        case _: time.sleep(600)

main()
"""
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        assert process.stdout is not None

        pids = [int(word) for word in process.stdout.readline().split()]

        assert len(pids) == 2

        if how.startswith("SIG"):
            process.send_signal(getattr(signal, how))

        codes = {"end": 0, "exception": 1, "exit": 3, "_exit": 3, "SIGINT": -2, "SIGTERM": -15, "SIGKILL": -9}

        assert process.wait(60) == codes[how]

        process.stdout.close()

        wait_for_end(pids)
