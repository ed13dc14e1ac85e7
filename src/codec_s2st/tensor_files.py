"""Tensors in safetensors files, read or mapped one by one into memory of the caller's, and written in parts.

safetensors' own reader maps whole files, where all that was read counts as used until the file is closed.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor
from typing_extensions import override

from codec_s2st.errors import UserInputError
from codec_s2st.lazy_tensors import LazyTensor
from codec_s2st.mapped_memory import MappedFile, map_file, prepare_for_writing

_DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_DTYPE_NAMES: Final = {dtype: name for name, dtype in _DTYPES.items()}

ALIGNMENT: Final = 64
"""Bytes. At multiples of it stands what torch allocates."""

_BLOCK: Final = 1 << 18
"""Numbers that are converted at once."""

_MAX_HEADER_BYTES: Final = 100_000_000
"""As in safetensors' own reader; a corrupt length must not claim all memory."""

INDEX_FILE: Final = "model.safetensors.index.json"
"""Says which file of a folder holds which tensor; Hugging Face's name for it."""


@final
@dataclass(frozen=True)
class StoredTensor(LazyTensor):
    """A tensor in a safetensors file."""

    file: Path
    offset: int
    """Of the first byte, from the begin of the file."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    mapped_file: MappedFile = field(repr=False, compare=False)
    """The same for all tensors of the file."""

    @override
    def read(self) -> Tensor:
        output = torch.empty(self.shape, dtype=self.dtype)

        self.read_into(output)

        return output

    @override
    def read_into(self, output: Tensor) -> None:
        if tuple(output.shape) != self.shape or not output.is_contiguous():
            raise ValueError("`output` must be contiguous and of the stored shape.")

        if not output.numel():
            return

        if output.dtype != self.dtype:
            # Mapped for itself, so that its pages are given back.
            mapped = None if self.offset % self.dtype.itemsize else self._map_alone()

            _convert(self.read() if mapped is None else mapped, output.detach())

            return

        buffer = output.detach().view(-1).view(torch.uint8).numpy().data

        with self.file.open("rb", buffering=0) as fp:
            fp.seek(self.offset)

            while buffer:
                # One call reads at most 2 GiB.
                num_read = fp.readinto(buffer)

                if not num_read:
                    raise self._cut_short()

                buffer = buffer[num_read:]

    @override
    def map(self, num_rows: int | None = None, *, alignment: int = 1) -> Tensor | None:
        # Numbers stand at multiples of their size; a file need not hold to it.
        if not self.num_bytes or self.offset % max(alignment, self.dtype.itemsize):
            return None

        if num_rows is not None and num_rows != self.shape[0]:
            return self._map_alone(num_rows)

        memory = self._try_to_map(lambda: self.mapped_file.take(self.offset, self.num_bytes))

        return self._map_alone() if memory is None else memory.view(self.dtype).view(self.shape)

    def _map_alone(self, num_rows: int | None = None) -> Tensor | None:
        shape = self.shape if num_rows is None else (num_rows, *self.shape[1:])

        room = prod(shape) * self.dtype.itemsize - self.num_bytes

        memory = self._try_to_map(lambda: map_file(self.file, self.offset, self.num_bytes, room=room))

        return None if memory is None else memory.view(self.dtype).view(shape)

    def _try_to_map(self, function: Callable[[], Tensor | None]) -> Tensor | None:
        try:
            return function()
        except EOFError:
            raise self._cut_short() from None
        except OSError as ex:
            # Some file systems of a network cannot map files: those are read.
            if ex.errno != errno.ENODEV:
                raise

            return None

    def _cut_short(self) -> UserInputError:
        return UserInputError(f"{self.file} ends before its tensors do", hint="fetch it again")

    @property
    @override
    def where(self) -> str:
        return str(self.file)


def _convert(source: Tensor, output: Tensor) -> None:
    # Threads are given their pages side by side, as they write to them.
    if torch.get_num_threads() > 1:
        output.copy_(source)

        return

    for begin in range(0, output.numel(), _BLOCK):
        block = output.view(-1)[begin : begin + _BLOCK]

        prepare_for_writing(block)

        block.copy_(source.view(-1)[begin : begin + _BLOCK])


def read_header(file: Path) -> dict[str, StoredTensor]:
    """Returns the tensors of a safetensors file by name, without reading them.

    :raises UserInputError: it is no such file, or shorter than it says.
    """
    size = file.stat().st_size

    with file.open("rb") as fp:
        length = int.from_bytes(fp.read(8), "little")

        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise _not_safetensors(file)

        header = fp.read(length)

    output = {}

    mapped_file = MappedFile(file)

    try:
        for name, entry in json.loads(header).items():
            if name == "__metadata__":
                continue

            if entry["dtype"] not in _DTYPES:
                raise UserInputError(
                    f"`{name}` in {file} is of type {entry['dtype']}, which is not read",
                    hint=f"convert it to one of {', '.join(_DTYPES)}",
                )

            begin, end = entry["data_offsets"]

            dtype = _DTYPES[entry["dtype"]]

            tensor = StoredTensor(file, 8 + length + begin, tuple(entry["shape"]), dtype, mapped_file)

            if begin < 0 or end - begin != tensor.num_bytes:
                raise _not_safetensors(file)

            if 8 + length + end > size:
                raise UserInputError(f"{file} ends before `{name}` does", hint="fetch it again")

            output[name] = tensor
    except (AttributeError, KeyError, TypeError, ValueError) as ex:
        raise _not_safetensors(file) from ex

    return output


def _not_safetensors(file: Path) -> UserInputError:
    return UserInputError(
        f"{file} is not a safetensors file, or is cut short",
        hint="fetch it again; with git, `git lfs pull` replaces the pointers by the files",
    )


def has_tensors(path: Path) -> bool:
    """Whether :func:`read_headers` is to read a path: a safetensors file, or a folder with such files."""
    if path.is_dir():
        # The checkpoint of a training, in fairseq2's own format, may have any files beside it.
        return not path.joinpath("pp_00").exists() and any(path.glob("*.safetensors"))

    return path.suffix == ".safetensors" and path.is_file()


def read_headers(path: Path) -> dict[str, StoredTensor]:
    """Returns the tensors of a safetensors file, or of a folder of them, by name.

    In a folder, the files are those that its index names; without an index, all of them.

    :raises UserInputError: there are none, a file of the index is missing, or two files hold one name.
    """
    files = [path] if path.is_file() else _files_of_folder(path)

    output: dict[str, StoredTensor] = {}

    for file in files:
        for name, tensor in read_header(file).items():
            if name in output:
                raise UserInputError(f"`{name}` is both in {output[name].file} and in {file}")

            output[name] = tensor

    return output


def _files_of_folder(folder: Path) -> list[Path]:
    index = folder / INDEX_FILE

    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))

        if not files:
            raise UserInputError(f"{folder} holds no safetensors file", hint="pickled checkpoints are not read")

        return files

    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))

        files = [folder / name for name in names]
    except (AttributeError, KeyError, TypeError, ValueError) as ex:
        raise UserInputError(f"{index} is not an index of safetensors files", hint="fetch it again") from ex

    for file in files:
        # A name with a path in it could be anywhere.
        if file.parent != folder:
            raise UserInputError(f"{index} names '{file.name}', which is not in its folder")

        if file.suffix != ".safetensors":
            raise UserInputError(f"{index} names '{file.name}'", hint="pickled checkpoints are not read")

        if not file.is_file():
            raise UserInputError(f"{file} is missing, but {index.name} names it", hint="fetch it again")

    return files


def write_tensors(folder: Path, tensors: Mapping[str, LazyTensor], *, max_file_bytes: int) -> None:
    """Writes safetensors files of at most ``max_file_bytes`` (larger tensors alone in a file) into a folder.

    One tensor is in memory at a time. The names, and the index of several files, are what Hugging Face's tools look
    for.
    """
    parts = list(_partition(tensors, max_file_bytes))

    files = [f"model-{i:05d}-of-{len(parts):05d}.safetensors" for i in range(1, len(parts) + 1)]

    if len(parts) == 1:
        files = ["model.safetensors"]
    else:
        index = {
            "metadata": {"total_size": sum(tensor.num_bytes for tensor in tensors.values())},
            "weight_map": {name: file for file, names in zip(files, parts, strict=True) for name in names},
        }

        folder.joinpath(INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n")

    for file, names in zip(files, parts, strict=True):
        _write_file(folder / file, {name: tensors[name] for name in names})


def _write_file(file: Path, tensors: Mapping[str, LazyTensor]) -> None:
    # Large types first, as safetensors does it, so that each number stands at a multiple of its size.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))

    header: dict[str, object] = {"__metadata__": {"format": "pt"}}

    end = 0

    for name in names:
        tensor = tensors[name]

        begin, end = end, end + tensor.num_bytes

        header[name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }

    text = json.dumps(header, separators=(",", ":")).encode()

    # The format allows blanks behind the header. Tensors then mostly stand as in memory, and need not be read into it.
    text += b" " * (-(8 + len(text)) % ALIGNMENT)

    with file.open("wb") as fp:
        fp.write(len(text).to_bytes(8, "little"))
        fp.write(text)

        for name in names:
            content = tensors[name].read().detach().contiguous().view(-1).view(torch.uint8)

            fp.write(content.numpy().data)


def _partition(tensors: Mapping[str, LazyTensor], max_bytes: int) -> Iterator[Sequence[str]]:
    names: list[str] = []

    size = 0

    for name in sorted(tensors):
        num_bytes = tensors[name].num_bytes

        if names and size + num_bytes > max_bytes:
            yield names

            names, size = [], 0

        names.append(name)

        size += num_bytes

    yield names
