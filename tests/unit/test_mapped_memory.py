from __future__ import annotations

import gc
import mmap
import os
from pathlib import Path

import pytest
import torch

from codec_s2st.mapped_memory import MappedFile, map_file, prepare_for_writing

NUM_BYTES = 3 * mmap.PAGESIZE + 100


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"

    file.write_bytes(os.urandom(NUM_BYTES))

    return file


@pytest.mark.parametrize("offset", [0, 1, mmap.PAGESIZE - 8, mmap.PAGESIZE, 2 * mmap.PAGESIZE + 24])
@pytest.mark.parametrize("room", [0, 8, 2 * mmap.PAGESIZE])
def test_bytes_are_those_of_the_file_and_room_can_be_written(file: Path, offset: int, room: int) -> None:
    content = file.read_bytes()

    for num_bytes in (1, 1000, NUM_BYTES - offset):
        memory = map_file(file, offset, num_bytes, room=room)

        assert memory.shape == (num_bytes + room,)

        memory[num_bytes:] = 7

        assert bytes(memory[:num_bytes].tolist()) == content[offset : offset + num_bytes]

        assert bool((memory[num_bytes:] == 7).all())

    assert file.read_bytes() == content


def test_file_stays_as_it_is_when_memory_is_written_to(file: Path) -> None:
    content = file.read_bytes()

    memory, other = map_file(file, 5, NUM_BYTES - 5), map_file(file, 5, NUM_BYTES - 5)

    memory.fill_(1)

    assert int(memory.sum()) == NUM_BYTES - 5

    assert bytes(other.tolist()) == content[5:] and file.read_bytes() == content


def test_memory_outlives_the_file_that_is_removed_or_replaced(file: Path) -> None:
    content = file.read_bytes()

    memory = map_file(file, 0, NUM_BYTES)

    new = file.with_name("new")

    new.write_bytes(b"short")

    new.rename(file)

    assert bytes(memory.tolist()) == content

    file.unlink()

    assert bytes(memory.tolist()) == content


def test_nothing_is_kept_open_and_everything_is_given_back(file: Path) -> None:
    def num_maps() -> int:
        return Path("/proc/self/maps").read_text().count(str(file))

    num_open = len(os.listdir("/proc/self/fd"))

    memories = [map_file(file, 0, NUM_BYTES) for _ in range(50)]

    assert len(os.listdir("/proc/self/fd")) == num_open

    # Neighbours may be one for the kernel.
    assert num_maps() > 0

    view = memories[-1].view(-1)[10:]

    memories.clear()

    gc.collect()

    assert num_maps() == 1 and view[0] == file.read_bytes()[10]

    del view

    gc.collect()

    assert num_maps() == 0


def test_file_that_is_too_short_is_refused(file: Path) -> None:
    with pytest.raises(EOFError):
        map_file(file, 1, NUM_BYTES)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        map_file(tmp_path / "file", 0, 1)


def test_nothing_cannot_be_mapped(file: Path) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        map_file(file, 0, 0)

    assert torch.equal(map_file(file, 0, 1, room=1)[:1], map_file(file, 0, 1))


def test_memory_that_is_prepared_keeps_what_is_in_it() -> None:
    memory = torch.arange(100_000)

    part = memory[1000:90_000]

    prepare_for_writing(part)

    prepare_for_writing(part[:0])

    assert torch.equal(memory, torch.arange(100_000))


class TestMappedFile:
    def test_parts_are_those_of_the_file_which_stays_as_it_is(self, file: Path) -> None:
        content = file.read_bytes()

        mapped = MappedFile(file)

        parts = [mapped.take(begin, 1000) for begin in range(0, NUM_BYTES - 1000, 1000)]

        for i, part in enumerate(parts):
            assert part is not None and bytes(part.tolist()) == content[1000 * i : 1000 * (i + 1)]

            part.fill_(1)

        assert file.read_bytes() == content and Path("/proc/self/maps").read_text().count(str(file)) == 1

    def test_nobody_is_given_what_another_may_write_to(self, file: Path) -> None:
        mapped = MappedFile(file)

        assert mapped.take(8, 8) is not None and mapped.take(8, 8) is None

    def test_file_is_given_back_when_the_last_part_is_gone(self, file: Path) -> None:
        num_open = len(os.listdir("/proc/self/fd"))

        mapped = MappedFile(file)

        parts = [mapped.take(begin, 8) for begin in range(0, 64, 8)]

        del mapped, parts[1:]

        gc.collect()

        assert parts[0] is not None and bytes(parts[0].tolist()) == file.read_bytes()[:8]

        parts.clear()

        gc.collect()

        assert str(file) not in Path("/proc/self/maps").read_text()

        assert len(os.listdir("/proc/self/fd")) == num_open

    def test_file_that_is_too_short_is_refused(self, file: Path) -> None:
        with pytest.raises(EOFError):
            MappedFile(file).take(1, NUM_BYTES)

        file.write_bytes(b"")

        with pytest.raises(EOFError):
            MappedFile(file).take(0, 1)
