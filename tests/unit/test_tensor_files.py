from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from codec_s2st.errors import UserInputError
from codec_s2st.lazy_tensors import CastTensor, HeldTensor, RowsOf
from codec_s2st.tensor_files import ALIGNMENT, read_header, read_headers, write_tensors

TENSORS = {
    "f32": torch.randn(3, 4),
    "bf16": torch.randn(5).to(torch.bfloat16),
    "f16": torch.randn(2, 2, 2).half(),
    "i64": torch.arange(7),
    "empty": torch.zeros(0, 3),
    "scalar": torch.tensor(2.5),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})

    return tmp_path / "model.safetensors"


class TestReading:
    def test_tensors_are_those_of_the_library(self, file: Path) -> None:
        stored = read_headers(file)

        assert stored.keys() == TENSORS.keys()

        for name, tensor in TENSORS.items():
            assert stored[name].shape == tuple(tensor.shape) and stored[name].dtype == tensor.dtype

            assert torch.equal(stored[name].read(), tensor)

            output = torch.ones_like(tensor)

            stored[name].read_into(output)

            assert torch.equal(output, tensor)

            output = torch.ones_like(tensor, dtype=torch.float64)

            stored[name].read_into(output)

            assert torch.equal(output, tensor.double())

    def test_mapped_tensors_are_those_of_the_library(self, file: Path) -> None:
        content = file.read_bytes()

        for name, tensor in read_headers(file).items():
            mapped = tensor.map()

            if name == "empty":
                assert mapped is None

                continue

            assert mapped is not None and mapped.shape == TENSORS[name].shape and torch.equal(mapped, TENSORS[name])

            mapped.zero_()

        # Further rows are memory, and what stands behind the tensor in the file is no part of them.
        table = read_header(file)["f32"].map(num_rows=5000)

        assert table is not None and table.shape == (5000, 4)

        table[3:] = 5.0

        assert torch.equal(table[:3], TENSORS["f32"]) and bool((table[3:] == 5.0).all())

        assert file.read_bytes() == content

    @pytest.mark.parametrize("num_threads", [1, 2])
    def test_large_tensors_are_converted_as_a_whole(self, tmp_path: Path, num_threads: int) -> None:
        tensor = torch.arange(600_001).bfloat16().view(-1, 1)

        save_file({"a": tensor}, tmp_path / "model.safetensors")

        output = torch.zeros(tensor.shape)

        before = torch.get_num_threads()

        torch.set_num_threads(num_threads)

        try:
            read_headers(tmp_path)["a"].read_into(output)
        finally:
            torch.set_num_threads(before)

        assert torch.equal(output, tensor.float())

    @pytest.mark.parametrize(("number", "is_read"), [(errno.ENODEV, True), (errno.EACCES, False)])
    def test_what_cannot_be_mapped_is_read(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_read: bool
    ) -> None:
        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("mmap.mmap", refuse)

        stored, output = read_header(file)["f32"], torch.zeros(3, 4, dtype=torch.float64)

        if is_read:
            assert stored.map() is None and stored.map(num_rows=7) is None

            stored.read_into(output)

            assert torch.equal(output, TENSORS["f32"].double())
        else:
            for action in (stored.map, lambda: stored.map(num_rows=7), lambda: stored.read_into(output)):
                with pytest.raises(PermissionError):
                    action()

    def test_tensor_at_an_odd_place_is_not_mapped(self, tmp_path: Path) -> None:
        file = tmp_path / "model.safetensors"

        header = b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}} '

        assert (8 + len(header)) % 4

        file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))

        stored = read_header(file)["a"]

        assert stored.map() is None and torch.equal(stored.read(), torch.zeros(2))

    def test_other_shape_of_the_output_is_refused(self, file: Path) -> None:
        stored = read_header(file)["f32"]

        for output in (torch.zeros(4, 3), torch.zeros(4, 3).T):
            with pytest.raises(ValueError, match="`output` must be"):
                stored.read_into(output)

    @pytest.mark.parametrize("num_bytes", [0, 4, 60, 300])
    def test_truncated_file_is_refused(self, file: Path, num_bytes: int) -> None:
        file.write_bytes(file.read_bytes()[:num_bytes])

        with pytest.raises(UserInputError, match=r"model.safetensors (is not a safetensors file|ends before)"):
            read_headers(file.parent)

    def test_file_that_loses_its_end_later_is_refused(self, file: Path) -> None:
        stored = read_header(file)

        last = max(stored.values(), key=lambda tensor: tensor.offset + tensor.num_bytes)

        file.write_bytes(file.read_bytes()[:-1])

        with pytest.raises(UserInputError, match=r"model.safetensors ends before its tensors do"):
            last.read()

        with pytest.raises(UserInputError, match=r"model.safetensors ends before its tensors do"):
            last.map()

    @pytest.mark.parametrize(
        "header",
        [
            b"[]",
            b"{",
            b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
            b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-8, -4]}}',
            b'{"a": {"dtype": "F32", "shape": [1]}}',
            b"version https://git-lfs.github.com/spec/v1",
        ],
    )
    def test_faulty_header_is_refused(self, tmp_path: Path, header: bytes) -> None:
        file = tmp_path / "model.safetensors"

        file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))

        with pytest.raises(UserInputError, match=r"model.safetensors is not a safetensors file"):
            read_headers(file)

    def test_type_that_is_not_read_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "model.safetensors"

        save_file({"w": torch.zeros(2).to(torch.float8_e4m3fn)}, file)

        with pytest.raises(UserInputError, match=r"`w` in .*model\.safetensors is of type F8_E4M3"):
            read_headers(file)

    def test_claim_of_a_huge_header_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "model.safetensors"

        file.write_bytes(b"\xff" * 64)

        with pytest.raises(UserInputError, match="is not a safetensors file"):
            read_headers(file)

    def test_name_in_two_files_is_refused(self, file: Path) -> None:
        save_file({"f32": torch.zeros(1)}, file.with_name("other.safetensors"))

        with pytest.raises(UserInputError, match=r"`f32` is both in .*model.safetensors and in .*other.safetensors"):
            read_headers(file.parent)

    @pytest.mark.parametrize("name", ["../model.safetensors", "/etc/model.safetensors", "sub/model.safetensors"])
    def test_index_cannot_name_files_elsewhere(self, file: Path, name: str) -> None:
        file.with_name("model.safetensors.index.json").write_text(json.dumps({"weight_map": {"f32": name}}))

        with pytest.raises(UserInputError, match="which is not in its folder"):
            read_headers(file.parent)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
    def test_faulty_index_is_refused(self, file: Path, text: str) -> None:
        file.with_name("model.safetensors.index.json").write_text(text)

        with pytest.raises(UserInputError, match=r"index.json is not an index"):
            read_headers(file.parent)


class TestWriting:
    @pytest.mark.parametrize(("max_file_bytes", "num_files"), [(10_000, 1), (50, 4), (1, 6)])
    def test_what_is_written_is_read(self, tmp_path: Path, max_file_bytes: int, num_files: int) -> None:
        write_tensors(
            tmp_path, {name: HeldTensor(value) for name, value in TENSORS.items()}, max_file_bytes=max_file_bytes
        )

        files = sorted(tmp_path.glob("*.safetensors"))

        assert len(files) == num_files

        by_library = {name: tensor for file in files for name, tensor in load_file(file).items()}

        for state in (by_library, {name: tensor.read() for name, tensor in read_headers(tmp_path).items()}):
            assert state.keys() == TENSORS.keys()

            assert all(torch.equal(state[name], tensor) for name, tensor in TENSORS.items())

    def test_tensors_stand_in_the_file_as_in_memory(self, tmp_path: Path) -> None:
        # Names of any length; none of the tensors but the last ends elsewhere.
        for i in range(9):
            tensors = {f"{'a' * i}{k}": torch.full((64, k), float(k)) for k in range(1, 5)}

            tensors["z"] = torch.zeros(3)

            write_tensors(tmp_path, {key: HeldTensor(value) for key, value in tensors.items()}, max_file_bytes=1 << 20)

            stored = read_headers(tmp_path)

            assert [tensor.offset % ALIGNMENT for tensor in stored.values()] == [0] * 5

            assert load_file(tmp_path / "model.safetensors").keys() == tensors.keys()

    def test_lazy_tensors_are_read_when_asked_for(self) -> None:
        table = HeldTensor(torch.arange(12.0).view(4, 3))

        rows = RowsOf(table, 2)

        assert rows.shape == (2, 3) and torch.equal(rows.read(), torch.arange(6.0).view(2, 3))

        half = CastTensor(rows, torch.float16)

        assert half.num_bytes == 12 and half.read().dtype == torch.float16
