"""The weight files of a codec: where they are, and the hash that identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path


def safetensors_files(path: Path) -> list[Path]:
    """Returns the safetensors files of a checkpoint, which is one such file or a folder of them; sorted by name.

    The list is empty where there are none. Other formats do not count: they are pickles, which can run code.
    """
    if path.is_dir():
        return sorted(path.glob("*.safetensors"))

    return [path] if path.suffix == ".safetensors" and path.is_file() else []


def hash_weights(files: Sequence[Path]) -> str:
    """Returns the SHA-256 of the weights, in hex.

    It is the file's own where there is one file, else that of the list of names and hashes, as ``sha256sum *`` has it.
    """
    if len(files) == 1:
        return hash_file(files[0])

    listing = "".join(f"{hash_file(file)}  {file.name}\n" for file in sorted(files, key=lambda file: file.name))

    return hashlib.sha256(listing.encode()).hexdigest()


def hash_file(file: Path) -> str:
    """Returns the SHA-256 of a file, in hex; computed once a process as long as the file stays the same."""
    status = file.stat()

    return _hash_file(file.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash_file(file: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()

    with file.open("rb") as fp:
        while block := fp.read(1 << 20):
            digest.update(block)

    return digest.hexdigest()
