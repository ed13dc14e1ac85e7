"""Child processes that are one run: they are told to stop together, and none outlives one that fails."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from codec_s2st.errors import STOPPED_EXIT_CODE

STOP_SIGNALS: Final = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)

# What a shell says of a process that died of a signal. A process that has no handler yet has nothing to save either.
STOPPED_CODES: Final = (STOPPED_EXIT_CODE, *sorted(128 + number for number in STOP_SIGNALS))

_POLL_SECONDS: Final = 0.05

# Found before there is a child, in which little may be done.
_prctl: Final = ctypes.CDLL(None).prctl

_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process to start."""

    command: tuple[str, ...]

    environment: Mapping[str, str]
    """Variables beside those of this process."""

    stdout: Path | None = None
    """The file to append to; ``None`` is where our own output goes. So is ``stderr``."""

    stderr: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the processes ended."""

    codes: tuple[int, ...]
    """Exit codes as a shell gives them: 128 + N after signal N."""

    failed: int | None
    """The index of the process that failed first; ``None`` if none did."""

    @property
    def code(self) -> int:
        """0: all are done; 85: stopped on request; else the exit code of the first that failed."""
        if self.failed is not None:
            return self.codes[self.failed]

        return STOPPED_EXIT_CODE if any(self.codes) else 0


def run_children(
    children: Sequence[Child],
    *,
    interruptible: bool = False,
    patience: float = 10.0,
    on_poll: Callable[[], None] = lambda: None,
) -> Outcome:
    """Runs processes side by side until all have ended.

    SIGUSR1, SIGUSR2 and SIGTERM are forwarded to all, the first time that one comes: a cluster tends to send several,
    and to whom it likes. Runs in the main thread only, whose handlers of signals it sets meanwhile.

    :param interruptible: start the processes out of reach of the terminal's Ctrl-C and forward it; a second one kills.
        If the terminal goes, they are told to stop.
    :param patience: seconds that the others are given to end by themselves when one has failed, and again when they
        were told to.
    :param on_poll: is called again and again while they run.
    """
    group = _Group()

    with ExitStack() as stack:
        stack.enter_context(_handler(_signals(interruptible), group.forward))

        for child in children:
            group.start(child, new_session=interruptible)

        failed, deadline = None, float("inf")

        while None in (codes := group.codes()):
            if failed is None and (failed := _first_failed(codes)) is not None:
                deadline = time.monotonic() + patience

            if time.monotonic() > deadline:
                group.end()

                deadline = time.monotonic() + patience

            on_poll()

            time.sleep(_POLL_SECONDS)

        on_poll()

    ended = tuple(code for code in codes if code is not None)

    return Outcome(codes=ended, failed=_first_failed(ended) if failed is None else failed)


def _follow_parent() -> None:
    """Has this process told to stop when its parent dies, even of a signal that nobody can hear."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


class _Group:
    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._signals: list[int] = []
        self._num_ends = 0

    def start(self, child: Child, *, new_session: bool) -> None:
        with ExitStack() as stack:
            stdout, stderr = (
                None if path is None else stack.enter_context(path.open("ab")) for path in (child.stdout, child.stderr)
            )

            process = subprocess.Popen(
                child.command,
                env={**os.environ, **child.environment},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=new_session,
                preexec_fn=_follow_parent,
            )

        self._processes.append(process)

        # It may have come between the start of the first and of this one.
        for number in self._signals:
            process.send_signal(number)

    def codes(self) -> list[int | None]:
        codes = [process.poll() for process in self._processes]

        return [code if code is None or code >= 0 else 128 - code for code in codes]

    def forward(self, number: int, frame: FrameType | None) -> None:
        if number in self._signals:
            # Ctrl-C once more: the user does not want to wait.
            if number == signal.SIGINT:
                self._send(signal.SIGKILL)

            return

        # They are not of the terminal that has gone.
        number = signal.SIGTERM if number == signal.SIGHUP else number

        self._signals.append(number)

        self._send(number)

    def end(self) -> None:
        """Asks the first time; the second time it is no question."""
        self._send(signal.SIGKILL if self._num_ends else signal.SIGTERM)

        self._num_ends += 1

    def _send(self, number: int) -> None:
        for process in self._processes:
            process.send_signal(number)


def _signals(interruptible: bool) -> list[int]:
    signals: list[int] = list(STOP_SIGNALS)

    if interruptible:
        signals.append(signal.SIGINT)

        # Below nohup, the run is to go on.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signals.append(signal.SIGHUP)

    return signals


def _first_failed(codes: Sequence[int | None]) -> int | None:
    return next((idx for idx, code in enumerate(codes) if code not in (None, 0, *STOPPED_CODES)), None)


@contextmanager
def _handler(signals: Sequence[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in signals}

    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
