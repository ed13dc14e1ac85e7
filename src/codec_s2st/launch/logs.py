"""Log files of ranks: their last lines, and what is added to them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TextIO

_TAIL_BYTES: Final = 1 << 16


class Follower:
    """Copies what a log file holds, and later what was added, to a stream."""

    def __init__(self, file: Path, stream: TextIO, *, position: int = 0) -> None:
        """
        :param position: the byte from which on it is copied.
        """
        self._file = file
        self._stream = stream
        self._position = position

    def copy(self) -> None:
        """Copies what is new; a file that does not exist yet is empty."""
        try:
            with self._file.open("rb") as fp:
                fp.seek(self._position)

                content = fp.read()
        except FileNotFoundError:
            return

        if content:
            self._position += len(content)

            self._stream.write(content.decode("utf-8", errors="replace"))

            self._stream.flush()


def size_of(file: Path) -> int:
    """Returns the size of a file in bytes, 0 if it does not exist."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def last_lines(file: Path, num: int) -> list[str]:
    """Returns the last ``num`` lines that are not blank, of the last 64 KiB of a file."""
    try:
        with file.open("rb") as fp:
            fp.seek(max(0, size_of(file) - _TAIL_BYTES))

            content = fp.read()
    except FileNotFoundError:
        return []

    lines = [line.rstrip() for line in content.decode("utf-8", errors="replace").splitlines() if line.strip()]

    return lines[-num:]
