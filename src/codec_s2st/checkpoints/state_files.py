"""A state as a safetensors file: its tensors, and the rest as JSON in the file's metadata."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from codec_s2st.checkpoints.states import FlatState, StateError, restore_state
from codec_s2st.errors import CodecS2STError
from codec_s2st.tensor_files import read_header

_CHUNK_BYTES: Final = 8 << 20

_KEY: Final = "state"

_NAMES: Final = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class FileRecord(NamedTuple):
    """What is known of a file that was written."""

    size: int
    """In bytes."""

    sha256: str
    """In hex."""


def record_of(file: Path) -> FileRecord:
    """Reads a file.

    :raises OSError: it cannot be read.
    """
    digest = hashlib.sha256()

    size = 0

    with file.open("rb", buffering=0) as fp:
        while chunk := fp.read(_CHUNK_BYTES):
            digest.update(chunk)

            size += len(chunk)

    return FileRecord(size, digest.hexdigest())


def write_state(file: Path, state: FlatState) -> FileRecord:
    """Writes ``file``, whose folder is made if need be, and returns when it is on the disk.

    What is hashed is what was to be written, not what a disk makes of it.

    :raises CodecS2STError: it cannot be written; it says how much was.
    """
    header = _make_header(state)

    size = len(header) + sum(tensor.nbytes for tensor in state.tensors.values())

    digest = hashlib.sha256()

    num_written = 0

    try:
        file.parent.mkdir(parents=True, exist_ok=True)

        with file.open("wb", buffering=0) as fp:
            for chunk in _chunks(header, state.tensors):
                digest.update(chunk)

                while chunk:
                    num_chunk = fp.write(chunk)

                    num_written += num_chunk

                    chunk = chunk[num_chunk:]

            os.fsync(fp.fileno())
    except OSError as ex:
        raise CodecS2STError(
            f"{file} cannot be written: {ex.strerror} (after {num_written:,} of {size:,} bytes)",
            hint="make room, and run it again",
        ) from ex

    return FileRecord(size, digest.hexdigest())


def _make_header(state: FlatState) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt", _KEY: json.dumps(state.tree)}}

    offset = 0

    for name, tensor in state.tensors.items():
        if tensor.dtype not in _NAMES:
            raise StateError(f"`{name}` is of the type {tensor.dtype}, which is not stored")

        end = offset + tensor.nbytes

        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}

        offset = end

    text = json.dumps(header, separators=(",", ":")).encode()

    # The format wants the data at a multiple of 8.
    text += b" " * (-len(text) % 8)

    return len(text).to_bytes(8, "little") + text


def _chunks(header: bytes, tensors: Mapping[str, Tensor]) -> Iterator[memoryview]:
    yield memoryview(header)

    for tensor in tensors.values():
        if not tensor.numel():
            continue

        view = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data

        for begin in range(0, len(view), _CHUNK_BYTES):
            yield view[begin : begin + _CHUNK_BYTES]


def read_state(file: Path, *, mesh: DeviceMesh | None = None) -> dict[str, Any]:
    """Returns the state in a file.

    :param mesh: The ranks that sharded tensors are spread over.

    :raises StateError: the file holds no state.
    :raises UserInputError: it is no safetensors file.
    """
    stored = read_header(file)

    try:
        with file.open("rb") as fp:
            header = json.loads(fp.read(int.from_bytes(fp.read(8), "little")))

        tree = json.loads(header["__metadata__"][_KEY])
    except (KeyError, TypeError, ValueError) as ex:
        raise StateError(f"{file} holds no state") from ex

    state = restore_state(tree, lambda name: stored[name].read(), mesh=mesh)

    if not isinstance(state, dict):
        raise StateError(f"{file} holds no state")

    return state
