"""Locks a folder for the processes that make one thing in it together, and against all others."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from codec_s2st.data.files import NO_LOCKS_ERRNOS, open_lock, write_error
from codec_s2st.errors import UserInputError

_POLL_SECONDS: Final = 0.2

_NUM_TRIES: Final = 10
"""For as many polls, somebody may be about to write what they do."""


@contextmanager
def join_folder(folder: Path, plan: Mapping[str, object], part: int) -> Iterator[None]:
    """Works in ``folder`` beside others with the same plan. The locks die with the process.

    ``folder/.lock`` holds the plan of those that are at work, who share its lock; the first one writes it. Each part
    has a lock of its own besides. While somebody holds the folder alone, those of the same plan wait.

    :param plan: What is made; JSON values.
    :param part: Which part of it this process makes.
    :raises UserInputError: others work by another plan, or at the same part, or ``folder`` cannot be written.
    """
    path = folder / ".lock"

    fd = open_lock(path)

    try:
        _share(path, fd, plan)

        part_path = part_lock(folder, part)

        part_fd = open_lock(part_path)

        try:
            if not _try_lock(part_path, part_fd, fcntl.LOCK_EX):
                raise UserInputError(f"another process makes part {part} of {folder} already", hint="wait for it")

            yield
        finally:
            os.close(part_fd)
    finally:
        os.close(fd)


@contextmanager
def hold_folder(folder: Path, plan: Mapping[str, object]) -> Iterator[bool]:
    """Works in ``folder`` alone; yields whether nobody else is at work there.

    :raises UserInputError: ``folder`` cannot be written.
    """
    path = folder / ".lock"

    fd = open_lock(path)

    try:
        is_alone = _try_lock(path, fd, fcntl.LOCK_EX)

        if is_alone:
            _write(path, fd, plan)

        yield is_alone
    finally:
        os.close(fd)


def part_lock(folder: Path, part: int) -> Path:
    """Returns the lock file of a part; whoever holds the folder alone may remove it."""
    return folder / f".lock-{part:05d}"


def _share(path: Path, fd: int, plan: Mapping[str, object]) -> None:
    num_tries = 0

    while True:
        if _try_lock(path, fd, fcntl.LOCK_EX):
            _write(path, fd, plan)

        # If the exclusive lock was had, this exchanges it, which is not atomic: another one may have come in between.
        is_shared = _try_lock(path, fd, fcntl.LOCK_SH)

        found = _read(fd)

        if found == json.loads(json.dumps(plan)):
            if is_shared:
                return

            # Somebody has it alone, and will be through soon.
            num_tries = 0
        elif num_tries == _NUM_TRIES or is_shared:
            raise UserInputError(
                f"another run is writing to {path.parent}{_differences(found, plan)}",
                hint="wait for it, or choose another folder",
            )

        num_tries += 1

        time.sleep(_POLL_SECONDS)


def _differences(found: object, plan: Mapping[str, object]) -> str:
    if not isinstance(found, dict):
        return ""

    names = [name for name in sorted(found.keys() | plan.keys()) if found.get(name) != plan.get(name)]

    return f", with another {', '.join(names)}"


def _try_lock(path: Path, fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as ex:
        if ex.errno not in NO_LOCKS_ERRNOS:
            raise write_error(path, ex) from None

    return True


def _write(path: Path, fd: int, plan: Mapping[str, object]) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(plan, sort_keys=True).encode(), 0)
    except OSError as ex:
        raise write_error(path, ex) from None


def _read(fd: int) -> object:
    try:
        return json.loads(os.pread(fd, 1 << 16, 0))
    except (OSError, ValueError):
        # Nobody has written it yet.
        return None
