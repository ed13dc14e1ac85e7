"""Tiny random models, written by transformers, are grown into ours through fairseq2's own loading path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fairseq2.models.llama import get_llama_model_hub
from fairseq2.models.qwen import get_qwen_model_hub
from fairseq2.nn import BatchLayout
from torch import Tensor

from codec_s2st.models.codec_lm.backbones import BACKBONES
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.loader import lazy_checkpoint_path
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.models.codec_lm.text_llm import read_text_llm
from codec_s2st.models.codec_lm.warm_start import convert_codec_lm_state_dict
from tests.llms import SHAPES, load_llm, read_llm_state, write_llm

NUM_TEXT, SIZES, STD = 50, [600, 300, 500], 0.07


def make_config(folder: Path) -> CodecLMConfig:
    return CodecLMConfig(decoder=read_text_llm(folder)[0], codebook_sizes=SIZES, new_rows_std=STD)


def load(folder: Path, config: CodecLMConfig | None = None) -> CodecLM:
    path = lazy_checkpoint_path(folder)

    assert path.name in ("config.json", "model.safetensors.index.json")

    return get_codec_lm_hub().load_custom_model(path, config or make_config(folder)).eval()


def text_logits(model: CodecLM, ids: Tensor) -> Tensor:
    steps = torch.full((*ids.shape, model.vocabulary.num_streams), model.vocabulary.pad)

    steps[..., 0] = ids

    return model.heads.logits(model(steps).hidden.flatten(0, 1))[0][:, : model.vocabulary.text_size]


def random_ids(*shape: int) -> Tensor:
    return torch.randint(0, NUM_TEXT, shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=list(SHAPES))
def llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llm(tmp_path_factory.mktemp("llm"), request.param)


@pytest.fixture(scope="module", params=["qwen1_5", "llama3_2"])
def some_llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the family hardly matters: one with a head of its own, and one that is tied."""
    return write_llm(tmp_path_factory.mktemp("llm"), request.param)


def test_tied_checkpoint_has_no_head(llm: Path) -> None:
    tied = json.loads((llm / "config.json").read_text())["tie_word_embeddings"]

    assert ("lm_head.weight" in read_llm_state(llm)) == (not tied)


@torch.inference_mode()
def test_text_logits_equal_those_of_transformers(llm: Path) -> None:
    # Long enough for positions to be stretched.
    ids = random_ids(2, 200)

    logits, expected = text_logits(load(llm), ids), load_llm(llm)(ids).logits.flatten(0, 1)

    assert float(expected.std()) > 0.5

    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("key", ["rms_norm_eps", "rope_theta"])
def test_logits_depend_on_what_is_not_at_its_default(llm: Path, key: str) -> None:
    ids = random_ids(2, 200)

    config = make_config(llm)

    setattr(config.decoder, {"rms_norm_eps": "norm_eps"}.get(key, key), {"rms_norm_eps": 1e-2}.get(key, 123.0))

    assert (text_logits(load(llm, config), ids) - text_logits(load(llm), ids)).abs().max() > 1e-2


@torch.inference_mode()
def test_stretched_positions_matter(tmp_path: Path) -> None:
    llm = write_llm(tmp_path, "llama3_2")

    config = make_config(llm)

    config.decoder.rope_scaling = None

    ids = random_ids(1, 200)

    assert (text_logits(load(llm, config), ids) - text_logits(load(llm), ids)).abs().max() > 1e-2


def test_text_rows_are_copied_bit_for_bit(llm: Path) -> None:
    state, model = read_llm_state(llm), load(llm)

    embed = state["model.embed_tokens.weight"]

    assert torch.equal(model.decoder_frontend.embed.weight[:NUM_TEXT], embed)
    assert torch.equal(model.heads.stream0_weight[:NUM_TEXT], state.get("lm_head.weight", embed))
    assert torch.equal(model.decoder.layers[1].ffn.inner_proj.weight, state["model.layers.1.mlp.up_proj.weight"])
    assert torch.equal(model.decoder.layers[2].self_attn.v_proj.weight, state["model.layers.2.self_attn.v_proj.weight"])

    if "model.layers.0.self_attn.q_proj.bias" in state:
        assert torch.equal(model.decoder.layers[0].self_attn.q_proj.bias, state["model.layers.0.self_attn.q_proj.bias"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_copied_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    llm = write_llm(tmp_path, "llama3_2")

    load_llm(llm).to(dtype).save_pretrained(llm)

    model = get_codec_lm_hub().load_custom_model(lazy_checkpoint_path(llm), make_config(llm), dtype=dtype)

    embed = read_llm_state(llm)["model.embed_tokens.weight"]

    assert embed.dtype == dtype

    assert torch.equal(model.decoder_frontend.embed.weight[:NUM_TEXT], embed)


@pytest.mark.parametrize("shape", ["qwen3", "llama3_2"])
def test_folder_of_several_files_is_read(tmp_path: Path, shape: str) -> None:
    one, many = write_llm(tmp_path / "one", shape), write_llm(tmp_path / "many", shape, max_shard_size="20KB")

    assert len(list(many.glob("*.safetensors"))) > 2

    state = load(one).state_dict()

    # A file that the index does not name has no part in it.
    many.joinpath("consolidated.safetensors").write_bytes(b"something else")

    for key, value in load(many).state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize("path", [lambda folder: folder, lambda folder: folder / "model.safetensors"])
def test_folder_and_file_give_the_same(some_llm: Path, path: object) -> None:
    state = load(some_llm).state_dict()

    model = get_codec_lm_hub().load_custom_model(path(some_llm), make_config(some_llm))  # type: ignore[operator]

    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize("init", ["normal", "old_rows"])
@pytest.mark.parametrize("heads", ["parallel", "depth"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mapped_weights_are_the_same(some_llm: Path, init: str, heads: str, dtype: torch.dtype) -> None:
    config = make_config(some_llm)

    config.new_rows_init, config.heads, config.rows_multiple_of = init, heads, 32  # type: ignore[assignment]

    hub, path = get_codec_lm_hub(), lazy_checkpoint_path(some_llm)

    state = hub.load_custom_model(path, config, dtype=dtype).state_dict()

    mapped = hub.load_custom_model(path, config, dtype=dtype, mmap=True).state_dict()

    assert list(mapped) == list(state)

    for key, value in state.items():
        assert value.dtype == dtype and mapped[key].dtype == dtype and torch.equal(mapped[key], value), key


def test_training_mapped_weights_leaves_the_file_as_it_is(some_llm: Path) -> None:
    content = (some_llm / "model.safetensors").read_bytes()

    hub, path, config = get_codec_lm_hub(), lazy_checkpoint_path(some_llm), make_config(some_llm)

    states = []

    for mmap in (False, True):
        model = hub.load_custom_model(path, config, mmap=mmap)

        before = model.decoder.layers[0].ffn.inner_proj.weight.clone()

        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

        steps = torch.full((2, 9, model.vocabulary.num_streams), model.vocabulary.pad)

        steps[..., 0] = random_ids(2, 9)

        for _ in range(2):
            loss = model(steps, loss_mask=steps != model.vocabulary.pad).loss

            assert loss is not None

            loss.total.backward()

            optimizer.step()

        assert not torch.equal(model.decoder.layers[0].ffn.inner_proj.weight, before)

        states.append(model.state_dict())

    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, msg=key)

    assert (some_llm / "model.safetensors").read_bytes() == content


def test_one_stream_has_no_further_head(some_llm: Path) -> None:
    config = make_config(some_llm)

    config.codebook_sizes = [600]

    assert load(some_llm, config).heads.codebook_weight is None


def test_our_own_state_is_taken_as_it_is(some_llm: Path) -> None:
    state = dict(load(some_llm).state_dict())

    assert convert_codec_lm_state_dict(dict(state), make_config(some_llm)) == state


@torch.inference_mode()
@pytest.mark.parametrize(("shape", "eps"), [("qwen2_5", 1e-6), ("llama3_2", 1e-5)])
def test_state_of_fairseq2s_own_family_is_grown_alike(tmp_path: Path, shape: str, eps: float) -> None:
    llm = write_llm(tmp_path, shape, rms_norm_eps=eps)

    config = make_config(llm)

    hubs = {"qwen": get_qwen_model_hub, "llama": get_llama_model_hub}

    backbone = BACKBONES[config.decoder.family]

    card_config = backbone.to_card_config(config.decoder)

    assert backbone.from_card_config(card_config) == config.decoder

    base = hubs[config.decoder.family]().load_custom_model(llm, card_config).eval()  # type: ignore[arg-type]

    converted = convert_codec_lm_state_dict(dict(base.state_dict()), config)

    model = load(llm)

    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, converted[name]), name  # type: ignore[arg-type]

    ids = random_ids(1, 200)

    torch.testing.assert_close(text_logits(model, ids), base(ids, BatchLayout.of(ids))[0], rtol=1e-5, atol=1e-5)
