"""Keeps the memory that a process frees, for what it asks for next."""

from __future__ import annotations

import ctypes
from typing import Final

# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD: Final = -1

_M_MMAP_THRESHOLD: Final = -3

_LARGEST_BLOCK: Final = 1 << 25
"""In bytes. Kept blocks of a minute of audio would lie so badly that the peak of the memory is three times as high."""

_MOST_FREE: Final = 1 << 29


def keep_freed_memory() -> None:
    """Lets up to 512 MiB of freed blocks of up to 32 MiB stay with the process, for good; without glibc, does nothing.

    A codec frees and asks for megabytes with each layer. glibc gives back what is beyond 64 MiB, and the system clears
    these pages anew: some percent of the time of encoding. The peak of the memory stays what it was.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return

    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)

    mallopt(_M_TRIM_THRESHOLD, _MOST_FREE)
