"""A tiny random Qwen2 model, written by transformers, is grown into ours through fairseq2's own loading path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fairseq2.models.qwen import get_qwen_model_hub
from fairseq2.nn import BatchLayout
from safetensors.torch import load_file, save_file
from torch import Tensor

from codec_s2st.errors import UserInputError
from codec_s2st.explain import explain
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.models.codec_lm.warm_start import convert_codec_lm_state_dict
from codec_s2st.recipes.common.initial import from_hugging_face

NUM_TEXT, SIZES, STD = 50, [600, 300, 500], 0.07


def write_llm(folder: Path, *, tied: bool) -> Path:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=NUM_TEXT,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rope_theta=10_000.0,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )

    with torch.random.fork_rng():
        torch.manual_seed(0)

        llm = Qwen2ForCausalLM(config)

        # transformers starts with biases of zero.
        for name, parameter in llm.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter)

    llm.save_pretrained(folder)

    return folder


def read_state(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def make_config(folder: Path) -> CodecLMConfig:
    return CodecLMConfig(decoder=from_hugging_face(folder).decoder, codebook_sizes=SIZES, new_rows_std=STD)


def load(folder: Path, config: CodecLMConfig | None = None) -> CodecLM:
    return get_codec_lm_hub().load_custom_model(folder, config or make_config(folder)).eval()


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llm(tmp_path_factory.mktemp("llm"), tied=request.param)


def test_tied_checkpoint_has_no_head(llm: Path) -> None:
    tied = json.loads((llm / "config.json").read_text())["tie_word_embeddings"]

    assert ("lm_head.weight" in read_state(llm)) == (not tied)


@torch.inference_mode()
def test_text_logits_equal_those_of_transformers(llm: Path) -> None:
    from transformers import Qwen2ForCausalLM

    model, base = load(llm), Qwen2ForCausalLM.from_pretrained(llm).eval()

    ids = torch.randint(0, NUM_TEXT, (2, 20), generator=torch.Generator().manual_seed(0))

    steps = torch.full((2, 20, 3), model.vocabulary.pad)

    steps[..., 0] = ids

    logits = model.heads.logits(model(steps).hidden.flatten(0, 1))[0]

    expected = base(ids).logits.flatten(0, 1)

    assert float(expected.std()) > 0.5

    torch.testing.assert_close(logits[:, :NUM_TEXT], expected, rtol=1e-5, atol=1e-5)


def test_text_rows_are_copied_bit_for_bit(llm: Path) -> None:
    state, model = read_state(llm), load(llm)

    embed = state["model.embed_tokens.weight"]

    assert torch.equal(model.decoder_frontend.embed.weight[:NUM_TEXT], embed)
    assert torch.equal(model.heads.stream0_weight[:NUM_TEXT], state.get("lm_head.weight", embed))
    assert torch.equal(model.decoder.layers[1].ffn.inner_proj.weight, state["model.layers.1.mlp.up_proj.weight"])


def test_new_rows_are_drawn_as_stated(llm: Path) -> None:
    config = make_config(llm)

    model, again = load(llm, config), load(llm, config)

    config.new_rows_seed = 2

    other = load(llm, config)

    assert model.heads.codebook_weight is not None and again.heads.codebook_weight is not None
    assert other.heads.codebook_weight is not None

    embed, head = model.decoder_frontend.embed.weight, model.heads.stream0_weight

    assert embed.shape == (NUM_TEXT + 256 + sum(SIZES), 32)
    assert head.shape == (NUM_TEXT + 256 + SIZES[0], 32)
    assert model.heads.codebook_weight.shape == (sum(SIZES[1:]), 32)

    for new_rows in (embed[NUM_TEXT:], head[NUM_TEXT:], model.heads.codebook_weight):
        assert abs(new_rows.mean().item()) < 0.05 * STD
        assert abs(new_rows.std().item() / STD - 1) < 0.02

    # Embedding and heads are drawn apart.
    assert not torch.equal(embed[NUM_TEXT : NUM_TEXT + 256], head[NUM_TEXT : NUM_TEXT + 256])

    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name

    assert not torch.equal(embed[NUM_TEXT:], other.decoder_frontend.embed.weight[NUM_TEXT:])
    assert torch.equal(embed[:NUM_TEXT], other.decoder_frontend.embed.weight[:NUM_TEXT])


def test_one_stream_has_no_further_head(llm: Path) -> None:
    config = make_config(llm)

    config.codebook_sizes = [600]

    assert load(llm, config).heads.codebook_weight is None


def test_our_own_state_is_taken_as_it_is(llm: Path) -> None:
    state = dict(load(llm).state_dict())

    assert convert_codec_lm_state_dict(dict(state), make_config(llm)) == state


@torch.inference_mode()
def test_state_of_fairseq2s_qwen_is_grown_alike(llm: Path, tmp_path: Path) -> None:
    qwen = get_qwen_model_hub().load_custom_model(llm, from_hugging_face(llm).decoder).eval()

    converted = convert_codec_lm_state_dict(dict(qwen.state_dict()), make_config(llm))

    model = load(llm)

    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, converted[name]), name  # type: ignore[arg-type]

    ids = torch.randint(0, NUM_TEXT, (1, 9))

    steps = torch.full((1, 9, 3), model.vocabulary.pad)

    steps[..., 0] = ids

    logits = model.heads.logits(model(steps).hidden[0])[0]

    torch.testing.assert_close(logits[:, :NUM_TEXT], qwen(ids, BatchLayout.of(ids))[0], rtol=1e-5, atol=1e-5)


class TestRefusals:
    def test_other_number_of_text_rows(self, llm: Path) -> None:
        config = make_config(llm)

        config.decoder.vocab_size = 40

        with pytest.raises(UserInputError, match=r"text table of shape \(50, 32\), but the model wants \(40, 32\)"):
            load(llm, config)

    def test_other_width(self, llm: Path) -> None:
        config = make_config(llm)

        config.decoder.model_dim = 64

        with pytest.raises(UserInputError, match=r"text table of shape \(50, 32\), but the model wants \(50, 64\)"):
            load(llm, config)

    @pytest.mark.parametrize(
        ("field", "value", "key"),
        [("num_layers", 2, "decoder.layers.2"), ("ffn_inner_dim", 40, "ffn.inner_proj.weight")],
    )
    def test_other_layers(self, llm: Path, field: str, value: int, key: str) -> None:
        config = make_config(llm)

        setattr(config.decoder, field, value)

        with pytest.raises(Exception) as info:
            load(llm, config)

        message = str(explain(info.value))

        assert key in message and "\n" not in message

    def test_other_model(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="neither a codec_lm model nor a textual Qwen model"):
            convert_codec_lm_state_dict({"weight": torch.zeros(2)}, CodecLMConfig())


class TestHuggingFaceFolder:
    def change(self, llm: Path, folder: Path, **values: object) -> Path:
        save_file(read_state(llm), folder / "model.safetensors")

        config = {**json.loads((llm / "config.json").read_text()), **values}

        config = {key: value for key, value in config.items() if value is not None}

        folder.joinpath("config.json").write_text(json.dumps(config))

        return folder

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("model_type", "gpt2", "model type 'gpt2' is not supported, only qwen2"),
            ("rms_norm_eps", 1e-5, "`rms_norm_eps` = 1e-05 is not supported"),
            ("rope_scaling", {"type": "linear", "factor": 2.0}, "`rope_scaling`"),
            ("use_sliding_window", True, "`use_sliding_window`"),
            ("hidden_size", None, "no key 'hidden_size'"),
        ],
    )
    def test_what_cannot_be_computed_is_refused(
        self, llm: Path, tmp_path: Path, key: str, value: object, message: str
    ) -> None:
        with pytest.raises(UserInputError, match=message):
            from_hugging_face(self.change(llm, tmp_path, **{key: value}))

    def test_pickles_are_refused(self, llm: Path, tmp_path: Path) -> None:
        folder = self.change(llm, tmp_path)

        folder.joinpath("model.safetensors").rename(folder / "pytorch_model.bin")

        with pytest.raises(UserInputError, match="holds no safetensors file"):
            from_hugging_face(folder)

    def test_config_that_is_not_json_is_refused(self, llm: Path, tmp_path: Path) -> None:
        self.change(llm, tmp_path).joinpath("config.json").write_text("{")

        with pytest.raises(UserInputError, match=r"config.json is not JSON"):
            from_hugging_face(tmp_path)
