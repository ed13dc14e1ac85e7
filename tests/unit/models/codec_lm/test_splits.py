"""What tensor parallelism splits, and what it refuses; see tests/parallel for what ranks compute together."""

from __future__ import annotations

import pytest
import torch
from fairseq2.device import CPU
from fairseq2.gang import FakeGang, Gangs
from fairseq2.nn import get_shard_dims
from fairseq2.recipe.config import TrainerSection

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.parallelism import check_parallelism
from tests.factories import tiny_config


def fake_gangs(*, dp: int = 1, tp: int = 1, rank: int = 0) -> Gangs:
    one = FakeGang(CPU)

    data = FakeGang(CPU, size=dp)

    return Gangs(
        root=FakeGang(CPU, rank=rank, size=dp * tp),
        dp=data,
        rdp=data,
        sdp=one,
        tp=FakeGang(CPU, rank=rank, size=tp),
        pp=one,
    )


def create(config: CodecLMConfig, gangs: Gangs) -> CodecLM:
    with torch.random.fork_rng():
        torch.manual_seed(0)

        return get_codec_lm_hub().create_new_model(config, gangs=gangs)


@pytest.mark.parametrize("pattern", ["parallel", "parallel+depth"])
@pytest.mark.parametrize("norms", [False, True])
def test_parts_of_the_ranks_make_the_model_of_one_process(pattern: str, norms: bool) -> None:
    config = tiny_config(pattern=pattern)

    config.decoder.q_norm = config.decoder.k_norm = norms

    whole = create(config, fake_gangs())

    dims = get_shard_dims(whole)

    assert {"decoder_frontend.embed.weight", "heads.stream0_weight", "heads.codebook_weight"} <= dims.keys()

    parts = [create(config, fake_gangs(tp=2, rank=rank)).state_dict() for rank in range(2)]

    assert whole.state_dict().keys() == parts[0].keys()

    for name, expected in whole.state_dict().items():
        if name in dims:
            assert torch.equal(torch.cat([part[name] for part in parts], dim=dims[name]), expected), name
        else:
            assert all(torch.equal(part[name], expected) for part in parts), name


@pytest.mark.parametrize(
    ("name", "value", "tp"),
    [
        ("decoder.num_attn_heads", 4, 8),
        ("decoder.num_key_value_heads", 2, 4),
        ("decoder.ffn_inner_dim", 63, 2),
        ("depth.num_attn_heads", 1, 2),
        ("depth.ffn_inner_dim", 33, 2),
    ],
)
def test_sizes_that_cannot_be_split_are_refused(name: str, value: int, tp: int) -> None:
    config = tiny_config(pattern="parallel+depth")

    section, _, key = name.partition(".")

    setattr(getattr(config, section), key, value)

    with pytest.raises(UserInputError, match=rf"size` is {tp}, but must divide the model's `{name}`, {value}$"):
        create(config, fake_gangs(tp=tp))


@pytest.mark.parametrize(("sizes", "num_rows"), [((16, 15), 351), ((15, 15), 335)])
def test_tables_that_cannot_be_split_are_refused_until_they_are_padded(sizes: tuple[int, ...], num_rows: int) -> None:
    config = tiny_config(sizes)

    with pytest.raises(UserInputError, match=rf"must divide the {num_rows} rows of a table") as info:
        create(config, fake_gangs(tp=2))

    assert info.value.hint is not None and info.value.hint.endswith("rows_multiple_of=2")

    config.rows_multiple_of = 2

    assert create(config, fake_gangs(tp=2)).heads.stream0_weight.size(0) == 336 / 2


def test_dropout_is_refused() -> None:
    config = tiny_config()

    config.decoder.dropout_p = 0.1

    assert create(config, fake_gangs()).decoder is not None

    with pytest.raises(UserInputError, match="dropout"):
        create(config, fake_gangs(tp=2))


def test_first_version_of_fsdp_is_refused_on_cpus() -> None:
    section = TrainerSection(data_parallelism="fsdp")

    section.fsdp.version = "v1"

    check_parallelism(section, fake_gangs())

    with pytest.raises(UserInputError, match="needs GPUs"):
        check_parallelism(section, fake_gangs(dp=2))

    section.fsdp.version = "v2"

    check_parallelism(section, fake_gangs(dp=2))
