"""Loading of safetensors: what the parameters are made of, and that their numbers are those of fairseq2's loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fairseq2.gang import FakeGang, Gangs, create_fake_gangs
from safetensors.torch import save_file
from torch import Tensor

from codec_s2st.lazy_tensors import HeldTensor
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tensor_files import read_headers, write_tensors
from tests.factories import tiny_config

DTYPES = [torch.float32, torch.bfloat16]


def make_state(dtype: torch.dtype) -> tuple[CodecLMConfig, dict[str, Tensor]]:
    config = tiny_config()

    state = get_codec_lm_hub().create_new_model(config, dtype=dtype).state_dict()

    return config, {key: value.detach().contiguous() for key, value in state.items()}


def write_aligned(folder: Path, state: dict[str, Tensor]) -> Path:
    write_tensors(folder, {key: HeldTensor(value) for key, value in state.items()}, max_file_bytes=1 << 30)

    return folder


def write_at(folder: Path, state: dict[str, Tensor], place: int) -> Path:
    """Lets tensors stand at ``place`` bytes after a multiple of 64."""
    for i in range(1000):
        save_file(state, folder / "model.safetensors", metadata={"note": "-" * i})

        if min(tensor.offset for tensor in read_headers(folder).values()) % 64 == place:
            return folder

    raise AssertionError("The library writes no such file.")


def mapped_names(model: CodecLM, folder: Path) -> set[str]:
    regions = []

    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".safetensors") and str(folder) in line:
            regions.append([int(address, 16) for address in line.split()[0].split("-")])

    return {
        name
        for name, parameter in model.named_parameters()
        if any(begin <= parameter.data_ptr() < end for begin, end in regions)
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_are_the_file_where_it_is_as_memory_is(tmp_path: Path, dtype: torch.dtype) -> None:
    config, state = make_state(dtype)

    folder = write_aligned(tmp_path, state)

    model = get_codec_lm_hub().load_custom_model(folder, config, dtype=dtype)

    assert mapped_names(model, folder) == state.keys()

    assert list(model.state_dict()) == list(state)

    for name, value in model.state_dict().items():
        assert value.dtype == dtype and torch.equal(value, state[name]), name

    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_where_it_is_not_rounding_decides(tmp_path: Path, dtype: torch.dtype, mmap: bool) -> None:
    config, state = make_state(dtype)

    folder = write_at(tmp_path, state, 8)

    model = get_codec_lm_hub().load_custom_model(folder, config, dtype=dtype, mmap=mmap)

    is_mapped = mmap or dtype == torch.bfloat16

    assert mapped_names(model, folder) == (state.keys() if is_mapped else set())

    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name

        assert (value.data_ptr() % 64 != 0) == is_mapped


@pytest.mark.parametrize("stored", DTYPES)
def test_other_types_are_converted(tmp_path: Path, stored: torch.dtype) -> None:
    config, state = make_state(stored)

    folder = write_aligned(tmp_path, state)

    [dtype] = set(DTYPES) - {stored}

    model = get_codec_lm_hub().load_custom_model(folder, config, dtype=dtype)

    assert not mapped_names(model, folder)

    for name, value in model.state_dict().items():
        assert value.dtype == dtype and torch.equal(value, state[name].to(dtype)), name


def test_part_of_tensor_parallelism_is_what_fairseq2_cuts(tmp_path: Path) -> None:
    config = tiny_config()

    config.rows_multiple_of = 2

    whole = get_codec_lm_hub().create_new_model(config, dtype=torch.float32).state_dict()

    folder = write_aligned(tmp_path, {key: value.contiguous() for key, value in whole.items()})

    cpu = torch.device("cpu")

    fake = create_fake_gangs(cpu)

    tp = FakeGang(cpu, rank=1, size=2)

    gangs = Gangs(root=tp, dp=fake.dp, rdp=fake.rdp, sdp=fake.sdp, tp=tp, pp=fake.pp)

    model = get_codec_lm_hub().load_custom_model(folder, config, gangs=gangs, dtype=torch.float32)

    name = "decoder.layers.0.ffn.inner_proj.weight"

    part, expected = model.state_dict()[name], whole[name]

    assert torch.equal(part, expected.chunk(2)[1])


def test_ranks_that_wait_for_the_first_read_nothing(tmp_path: Path) -> None:
    config, state = make_state(torch.float32)

    folder = write_aligned(tmp_path, state)

    cpu = torch.device("cpu")

    fake = create_fake_gangs(cpu)

    dp = FakeGang(cpu, rank=1, size=2)

    gangs = Gangs(root=dp, dp=dp, rdp=dp, sdp=fake.sdp, tp=fake.tp, pp=fake.pp)

    model = get_codec_lm_hub().load_custom_model(folder, config, gangs=gangs, dtype=torch.float32, load_rank0_only=True)

    assert all(parameter.is_meta for parameter in model.parameters())
