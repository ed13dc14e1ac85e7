"""What fairseq2 gets in place of tensors, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Parameter
from typing_extensions import override

from codec_s2st.lazy_tensors import LazyTensor
from codec_s2st.models.codec_lm.lazy_parameters import UnreadTensor
from codec_s2st.tensor_files import StoredTensor, read_header

WEIGHT = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)


class Unreadable(LazyTensor):
    shape = (2, 3)
    dtype = torch.float16

    @override
    def read(self) -> Tensor:
        raise AssertionError("It has been read.")


@pytest.fixture
def stored(tmp_path: Path) -> StoredTensor:
    save_file({"weight": WEIGHT}, tmp_path / "model.safetensors")

    return read_header(tmp_path / "model.safetensors")["weight"]


def copy(stored: StoredTensor, output: Tensor, *, maps: bool) -> None:
    with torch.no_grad():
        assert output.copy_(UnreadTensor.of(stored, maps=maps), non_blocking=False) is output


def is_mapped(tensor: Tensor, file: Path) -> bool:
    for line in Path("/proc/self/maps").read_text().splitlines():
        begin, end = (int(address, 16) for address in line.split()[0].split("-"))

        if begin <= tensor.data_ptr() < end:
            return line.endswith(str(file))

    return False


def test_shape_and_type_are_known_without_reading() -> None:
    tensor = UnreadTensor.of(Unreadable(), maps=True)

    assert tensor.shape == (2, 3) and tensor.dtype == torch.float16

    assert tensor.size(1) == 3 and tensor.dim() == 2 and tensor.numel() == 6


@pytest.mark.parametrize("maps", [False, True])
def test_parameter_of_the_same_type_holds_the_tensor_and_maps_it_if_asked_to(stored: StoredTensor, maps: bool) -> None:
    parameter = Parameter(torch.zeros(6, 4, dtype=torch.bfloat16))

    memory = parameter.detach()

    copy(stored, parameter, maps=maps)

    assert torch.equal(parameter, WEIGHT) and parameter.requires_grad and parameter.is_leaf

    assert is_mapped(parameter, stored.file) == maps

    # It is read where the parameter is.
    assert torch.equal(memory, torch.zeros_like(memory) if maps else WEIGHT)


@pytest.mark.parametrize("maps", [False, True])
def test_parameter_of_another_type_keeps_it(stored: StoredTensor, maps: bool) -> None:
    parameter = Parameter(torch.zeros(6, 4))

    copy(stored, parameter, maps=maps)

    assert torch.equal(parameter, WEIGHT.float()) and not is_mapped(parameter, stored.file)


def test_part_of_another_tensor_stays_part_of_it(stored: StoredTensor) -> None:
    table = torch.zeros(8, 4, dtype=torch.bfloat16)

    copy(stored, table[1:7], maps=True)

    assert torch.equal(table[1:7], WEIGHT) and not table[0].any() and not table[7].any()


def test_memory_that_is_not_contiguous_is_written_to(stored: StoredTensor) -> None:
    output = torch.zeros(4, 6, dtype=torch.bfloat16).T

    copy(stored, output, maps=True)

    assert torch.equal(output, WEIGHT)


def test_wrong_shape_is_refused(stored: StoredTensor) -> None:
    with pytest.raises(RuntimeError):
        copy(stored, Parameter(torch.zeros(5, 4)), maps=True)


@pytest.mark.parametrize("maps", [False, True])
def test_everything_else_gets_the_tensor(stored: StoredTensor, maps: bool) -> None:
    tensor = UnreadTensor.of(stored, maps=maps)

    for output in (torch.cat([tensor]), tensor[:], tensor.clone(), tensor.detach(), tensor.narrow(0, 0, 6)):
        assert type(output) is Tensor and torch.equal(output, WEIGHT)

    assert tensor.device.type == "cpu" and torch.equal(tensor, WEIGHT) and torch.equal(tensor + tensor, WEIGHT + WEIGHT)
