"""Ends a rank that does not get on, after it has written down what it is doing."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

_POLLS: Final = 40
"""How often the clock is looked at until the time is out."""

_MIN_GRACE: Final = 5.0
"""In seconds."""


@final
class Watchdog:
    """A thread that ends the process with exit code 1, and no clean-up, if nobody calls :meth:`beat` for too long.

    A rank that hangs keeps all others waiting in a collective operation. The others beat no more either; so each rank
    ends by itself, at about the same time, and none needs to reach another one.
    """

    def __init__(self, timeout: float, file: Path) -> None:
        """
        :param timeout: In seconds.
        :param file: Where the stacks of all threads are written to.
        """
        self._timeout = timeout
        self._file = file

        self._beat = time.monotonic()
        self._over = threading.Event()

    def beat(self) -> None:
        self._beat = time.monotonic()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Watches while the block runs."""
        self._file.parent.mkdir(parents=True, exist_ok=True)

        self.beat()

        thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

        thread.start()

        try:
            yield
        finally:
            self._over.set()

            thread.join()

    def _run(self) -> None:
        with self._file.open("w") as fp:
            while not self._over.wait(self._timeout / _POLLS):
                if time.monotonic() - self._beat > self._timeout:
                    self._end(fp.fileno())

                # Should the interpreter itself be stuck, this thread is so too, and its place is taken by one that does
                # without it.
                faulthandler.dump_traceback_later(2 * self._timeout, exit=True, file=fp)

            faulthandler.cancel_dump_traceback_later()

        self._file.unlink()

    def _end(self, file: int) -> None:
        faulthandler.dump_traceback(file, all_threads=True)

        print(
            f"{sys.argv[0]}: error: no step was finished for {self._timeout:g} seconds: what this rank was doing is in"
            f" {self._file} (guards.hang_timeout gives it more time)",
            file=sys.stderr,
            flush=True,
        )

        time.sleep(max(_MIN_GRACE, 3 * self._timeout / _POLLS))

        os._exit(1)
