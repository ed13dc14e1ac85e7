"""Files that appear whole or not at all, and reads that survive a hiccup of a shared file system."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from codec_s2st.errors import CodecS2STError, UserInputError

T = TypeVar("T")

# What the user can mend by another path or other rights; everything else is the machine's fault.
USER_ERRNOS: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENAMETOOLONG,
        errno.EEXIST,
    }
)

NO_LOCKS_ERRNOS: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS})
"""Some shared file systems know no locks: there, nothing stops two runs in one folder."""

RETRY_DELAYS: Final = (0.5, 2.0, 8.0, 30.0)
"""Seconds to wait before storage that failed is asked again: servers of shared file systems take half a minute to be
replaced."""


def temporary_path(path: Path) -> Path:
    """Returns the name under which ``path`` is written before it is renamed.

    The name is fixed, so that the leftover of a killed process is overwritten by its successor.
    """
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it is synced to the disk and renamed to ``path``.

    Whatever was at ``path`` stays until then, and stays for good if the body raises.

    :raises UserInputError: ``path`` cannot be written.
    :raises CodecS2STError: the machine failed, e.g. its disk is full.
    """
    temporary = temporary_path(path)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)

        yield temporary

        _sync(temporary)

        os.replace(temporary, path)

        _sync(path.parent)
    except OSError as ex:
        raise write_error(path, ex) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Makes sure that no other process works in ``folder``, which is made if need be. The lock dies with its process.

    :raises UserInputError: another process has the lock, or ``folder`` cannot be written.
    """
    path = folder / ".lock"

    fd = open_lock(path)

    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserInputError(f"another run is writing to {folder}", hint="wait for it, or choose another") from None
        except OSError as ex:
            if ex.errno not in NO_LOCKS_ERRNOS:
                raise write_error(path, ex) from None

        yield
    finally:
        os.close(fd)


def open_lock(path: Path) -> int:
    """Opens a lock file, and makes it and its folder if need be; returns its descriptor.

    :raises UserInputError: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserInputError(f"{path.parent} cannot be written: it is a file, not a folder") from None
    except OSError as ex:
        raise write_error(path.parent, ex) from None

    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as ex:
        raise write_error(path, ex) from None


def write_error(path: Path, ex: OSError) -> CodecS2STError:
    """Returns the error for a failed write of ``path``."""
    reason = ex.strerror or str(ex)

    if ex.errno in USER_ERRNOS:
        return UserInputError(f"{path} cannot be written: {reason}")

    return CodecS2STError(f"{path} cannot be written: {reason}")


def read_retrying(path: Path, read: Callable[[], T]) -> T:
    """Calls ``read``, again after a pause if the file system (not the file) failed.

    :raises UserInputError: ``path`` does not exist or must not be read.
    :raises CodecS2STError: the file system failed every time.
    """
    for delay in (*RETRY_DELAYS, None):
        try:
            return read()
        except OSError as ex:
            # pyarrow raises errors without a number for files that are corrupt: those are the caller's.
            if ex.errno is None:
                raise

            if ex.errno in USER_ERRNOS:
                raise UserInputError(f"{path} cannot be read: {os.strerror(ex.errno)}") from None

            if delay is None:
                tries = len(RETRY_DELAYS) + 1

                raise CodecS2STError(f"{path} cannot be read after {tries} tries: {os.strerror(ex.errno)}") from None

            time.sleep(delay)

    raise AssertionError("unreachable")


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hex."""

    def read() -> str:
        digest = hashlib.sha256()

        with path.open("rb") as fp:
            while block := fp.read(1 << 20):
                digest.update(block)

        return digest.hexdigest()

    return read_retrying(path, read)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)

    try:
        os.fsync(fd)
    finally:
        os.close(fd)
