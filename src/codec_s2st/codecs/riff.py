"""Finds wav files that end before their header says."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

_UNKNOWN_SIZE: Final = 0x7FFFF000
"""Programs that write into a pipe put this size, or a larger one, for "as long as it lasts"."""


def find_truncation(path: Path) -> str | None:
    """Returns what is wrong with the length of a wav file; ``None`` if nothing is, or if it is no wav file.

    libsndfile takes a truncated file for a short one.

    :raises OSError: the file cannot be read.
    """
    file_size = path.stat().st_size

    with path.open("rb") as fp:
        header = fp.read(12)

        if header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return None

        while len(chunk := fp.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)

            if name == b"data":
                rest = file_size - fp.tell()

                if rest < size < _UNKNOWN_SIZE:
                    return f"its header says {size} bytes of samples, but {rest} are there"

                return None

            # Chunks start at even positions.
            fp.seek(size + size % 2, 1)

    return "it has no samples"
