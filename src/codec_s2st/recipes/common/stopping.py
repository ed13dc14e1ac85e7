"""Requests to stop: they come as signals, at any moment, and are met between two steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, final

STOP_SIGNALS: Final = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


@final
class StopRequest:
    """Whether somebody has asked this process to stop. Further requests change nothing."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """Who has asked, such as ``SIGTERM``; ``None`` while nobody has."""

    def make(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason

    @property
    def is_made(self) -> bool:
        return self.reason is not None


_request: StopRequest | None = None


def current_request() -> StopRequest:
    """Returns the request of the :func:`stop_signals` block that is under way; outside of one, a request of its own."""
    return _request or StopRequest()


@contextmanager
def stop_signals(request: StopRequest | None = None) -> Iterator[StopRequest]:
    """Turns the stop signals, which would end the process, into a request that its work is to look at.

    :param request: The request that is made; by default the current one.
    """
    global _request

    outer = _request

    request = _request = request or current_request()

    def on_signal(number: int, frame: FrameType | None) -> None:
        # No more than this: the process may be in the middle of anything, of writing to its log for one.
        request.make(signal.Signals(number).name)

    before = {number: signal.signal(number, on_signal) for number in STOP_SIGNALS}

    try:
        yield request
    finally:
        _request = outer

        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_stop_signals() -> None:
    """For a process that has stopped and is about to end: a signal that comes now must not change its exit code."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
