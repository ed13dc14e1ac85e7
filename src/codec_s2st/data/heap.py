"""Keeps the memory that a process frees, for what it asks for next."""

from __future__ import annotations

import ctypes
from typing import Final

# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD: Final = -1

_M_MMAP_THRESHOLD: Final = -3

_THRESHOLDS: Final = (1 << 30, 1 << 25)
"""In bytes. Before version 2.35, glibc refuses more than 32 MiB for the second of the two."""


def keep_freed_memory() -> None:
    """Lets freed blocks of up to a GiB stay with the process, for good; without glibc, it does nothing.

    A codec frees and asks for tens of megabytes with each layer. glibc gives them back to the system, which clears all
    pages anew: 4 to 15 % of the time of encoding. The peak of the memory stays about what it was.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return

    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        # It returns 1 where it takes the value.
        any(mallopt(option, threshold) for threshold in _THRESHOLDS)
