"""Memory that is a file's until it is written to.

A mapped file is read where it is used, page by page, and never written to: what a program writes goes to copies of the
pages, which are its own. Until a page is copied, it is the file's. So a file that is mapped must not be changed in its
place: bytes that change there may change here, and a file that becomes shorter ends the program with SIGBUS. To write a
file anew under another name and rename it does no harm, nor does removing it, because the old one lives on.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
)

_LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

_MADV_POPULATE_WRITE: Final = 23
"""Of Linux from 5.14 on."""

_MAP_FIXED: Final = 0x10
"""Of Linux and of the BSDs; Python's module does not name it."""

_MAP_FAILED: Final = ctypes.c_void_p(-1).value


def map_file(file: Path, offset: int, num_bytes: int, *, room: int = 0) -> Tensor:
    """Returns bytes of a file, without reading them, and right behind them zeros or whatever else.

    :param offset: Of the first byte, from the begin of the file.
    :param room: The number of bytes behind them. They are memory, and to be written before they are read.

    :returns: *Shape:* [num_bytes + room], uint8. It may be written to.

    :raises EOFError: the file ends earlier.
    :raises OSError: the file cannot be opened or mapped.
    """
    if num_bytes < 1:
        raise ValueError(f"`num_bytes` must be positive, but is {num_bytes}.")

    before = offset % mmap.PAGESIZE

    # The pages of the file are laid over the first of these, and Python frees all together. Python's own mapping of a
    # file keeps the file open, and a model has more tensors than a process may have open files.
    memory = mmap.mmap(-1, before + num_bytes + room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))

    with file.open("rb") as fp:
        if os.fstat(fp.fileno()).st_size < offset + num_bytes:
            raise EOFError(f"{file} has no {offset + num_bytes} bytes.")

        address = _LIBC.mmap(
            begin,
            before + num_bytes,
            mmap.PROT_READ | mmap.PROT_WRITE,
            mmap.MAP_PRIVATE | _MAP_FIXED,
            fp.fileno(),
            offset - before,
        )

    if address == _MAP_FAILED:
        error = ctypes.get_errno()

        raise OSError(error, os.strerror(error), str(file))

    return torch.frombuffer(memory, dtype=torch.uint8, offset=before)


def prepare_for_writing(memory: Tensor) -> None:
    """Asks for the pages of ``memory`` at once, which takes less time than to be given one at each first write.

    Where that cannot be asked for, nothing happens.

    :param memory: Contiguous, on the CPU.
    """
    begin = memory.data_ptr()

    before = begin % mmap.PAGESIZE

    _LIBC.madvise(begin - before, before + memory.numel() * memory.element_size(), _MADV_POPULATE_WRITE)


@final
class MappedFile:
    """A file that is mapped once, however many tensors are taken from it.

    The tensors hold the file, and a descriptor of it; what is written to one of them stays in memory until all are
    gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

        self._memory: mmap.mmap | None = None

        self._taken: set[int] = set()

    def take(self, offset: int, num_bytes: int) -> Tensor | None:
        """Returns bytes of the file, without reading them; ``None`` if they have been taken before.

        :param offset: Of the first byte, from the begin of the file. What is taken must not overlap.

        :returns: *Shape:* [num_bytes], uint8. It may be written to.

        :raises EOFError: the file ends earlier.
        :raises OSError: the file cannot be opened or mapped.
        """
        if offset in self._taken:
            return None

        if self._memory is None:
            with self.path.open("rb") as fp:
                # An empty file cannot be mapped.
                if os.fstat(fp.fileno()).st_size:
                    self._memory = mmap.mmap(fp.fileno(), 0, access=mmap.ACCESS_COPY)

        if self._memory is None or len(self._memory) < offset + num_bytes:
            raise EOFError(f"{self.path} has no {offset + num_bytes} bytes.")

        self._taken.add(offset)

        return torch.frombuffer(self._memory, dtype=torch.uint8, count=num_bytes, offset=offset)
