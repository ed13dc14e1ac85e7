"""What is refused of a textual LLM: an architecture that is not ours, and weights that do not fit it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.backbones import backbone_of
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.text_llm import read_text_llm
from codec_s2st.models.codec_lm.warm_start import convert_codec_lm_state_dict
from tests.llms import SHAPES, change_config, read_llm_state, write_llm


@pytest.fixture(scope="module")
def llms(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("llms")

    def make(shape: str) -> Path:
        return folder / shape if folder.joinpath(shape).exists() else write_llm(folder / shape, shape)

    return make


class TestConfigJson:
    @pytest.mark.parametrize(
        ("shape", "key", "value", "message"),
        [
            ("qwen2_5", "model_type", "gpt2", "`model_type` 'gpt2' is not supported, only qwen2, qwen3, llama"),
            ("qwen2_5", "rope_scaling", {"type": "linear", "factor": 2.0}, "`rope_scaling` = .* is not supported"),
            ("qwen3", "rope_scaling", {"rope_type": "yarn", "factor": 2.0}, "`rope_scaling` = .* is not supported"),
            ("qwen2_5", "rope_parameters", {"rope_type": "yarn"}, "`rope_parameters` = .* is not supported"),
            ("llama3_2", "rope_scaling", {"rope_type": "dynamic"}, "`rope_scaling` = .*, only the type llama3"),
            ("llama3_2", "rope_scaling", {"rope_type": "llama3"}, "has no key 'factor'"),
            ("llama3_2", "rope_scaling", 8.0, "`rope_scaling` must be a mapping, but is 8.0"),
            ("qwen2_5", "use_sliding_window", True, "`use_sliding_window` = True is not supported"),
            ("qwen3", "layer_types", ["full_attention", "sliding_attention"], "`layer_types` = .* is not supported"),
            ("qwen3", "attention_bias", True, "`attention_bias` = True is not supported"),
            ("llama3", "mlp_bias", True, "`mlp_bias` = True is not supported"),
            ("llama3", "hidden_act", "gelu", "`hidden_act` = gelu is not supported, only silu"),
            ("llama3", "quantization_config", {"bits": 4}, "`quantization_config` = .* is not supported"),
            ("qwen2_5", "hidden_size", None, "has no key 'hidden_size'"),
            ("qwen2_5", "hidden_size", "wide", "`hidden_size` must be a positive integer, but is 'wide'"),
            ("qwen1_5", "hidden_size", 33, "`hidden_size` must be a multiple of `num_attention_heads`"),
            ("qwen2_5", "num_key_value_heads", 3, "`num_attention_heads` must be a multiple of `num_key_value_heads`"),
            ("qwen2_5", "rms_norm_eps", 0, "`rms_norm_eps` must be a positive number, but is 0"),
            ("qwen2_5", "rope_theta", float("nan"), "`rope_theta` must be a positive number, but is nan"),
            ("qwen2_5", "rope_theta", float("inf"), "`rope_theta` must be a positive number, but is inf"),
            ("qwen3", "head_dim", 7, "heads must be of an even width, but are of 7"),
            ("qwen2_5", "tie_word_embeddings", "yes", "`tie_word_embeddings` must be true or false"),
        ],
    )
    def test_what_cannot_be_computed_is_refused(
        self, llms: Callable[[str], Path], tmp_path: Path, shape: str, key: str, value: object, message: str
    ) -> None:
        folder = change_config(llms(shape), tmp_path, **{"head_dim": None, key: value})

        with pytest.raises(UserInputError, match=message) as info:
            read_text_llm(folder)

        assert str(tmp_path / "config.json") in str(info.value)

    def test_more_layers_than_tensors_are_refused_at_once(self, llms: Callable[[str], Path], tmp_path: Path) -> None:
        folder = change_config(llms("qwen2_5"), tmp_path, num_hidden_layers=10**12)

        with pytest.raises(UserInputError, match="has 38 tensors, but its configuration says 1000000000000 layers"):
            read_text_llm(folder)

    def test_config_that_is_not_json_is_refused(self, tmp_path: Path) -> None:
        tmp_path.joinpath("config.json").write_text("{")

        with pytest.raises(UserInputError, match=r"config.json is not JSON"):
            read_text_llm(tmp_path)

        tmp_path.joinpath("config.json").write_text("[]")

        with pytest.raises(UserInputError, match=r"config.json must hold a mapping, but holds a list"):
            read_text_llm(tmp_path)

    def test_rope_parameters_of_later_versions_are_read(self, llms: Callable[[str], Path], tmp_path: Path) -> None:
        scaling = json.loads((llms("llama3_2") / "config.json").read_text())["rope_scaling"]

        folder = change_config(
            llms("llama3_2"),
            tmp_path,
            rope_scaling=None,
            rope_theta=None,
            rope_parameters={"rope_theta": 1000.0, **scaling},
        )

        assert read_text_llm(folder)[0] == read_text_llm(llms("llama3_2"))[0]

    @pytest.mark.parametrize("shape", list(SHAPES))
    def test_what_is_written_is_read_alike(self, llms: Callable[[str], Path], tmp_path: Path, shape: str) -> None:
        config, _ = read_text_llm(llms(shape))

        written = {
            **backbone_of(config).write_config(config),
            "vocab_size": config.vocab_size,
            "tie_word_embeddings": config.tied_embeddings,
        }

        theirs = json.loads((llms(shape) / "config.json").read_text())

        assert written["architectures"] == theirs["architectures"]

        for file in llms(shape).glob("*.safetensors"):
            tmp_path.joinpath(file.name).symlink_to(file)

        tmp_path.joinpath("config.json").write_text(json.dumps(written))

        read, _ = read_text_llm(tmp_path)

        assert read.actual_head_dim == config.actual_head_dim

        read.head_dim = config.head_dim

        assert read == config


class TestWeights:
    """Safetensors with wrong shapes, missing or surplus keys; the key and the file are named."""

    def change(self, llm: Path, folder: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
        state = read_llm_state(llm)

        change(state)

        folder.joinpath("config.json").write_bytes((llm / "config.json").read_bytes())

        save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / "model.safetensors")

        return folder

    @pytest.mark.parametrize("shape", ["qwen2_5", "qwen3_untied", "llama3"])
    @pytest.mark.parametrize(
        "key", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.layers.2.self_attn.q_proj.weight"]
    )
    def test_missing_key_is_named(self, llms: Callable[[str], Path], tmp_path: Path, shape: str, key: str) -> None:
        folder = self.change(llms(shape), tmp_path, lambda state: state.pop(key))

        with pytest.raises(UserInputError, match=rf"{folder} has no `{key}` \(fetch it again"):
            read_text_llm(folder)

    def test_missing_head_of_an_untied_model_is_named(self, llms: Callable[[str], Path], tmp_path: Path) -> None:
        folder = self.change(llms("llama3"), tmp_path, lambda state: state.pop("lm_head.weight"))

        with pytest.raises(UserInputError, match=r"has no `lm_head\.weight`"):
            read_text_llm(folder)

    @pytest.mark.parametrize(
        "key", ["model.layers.0.self_attn.q_norm.weight", "model.layers.3.mlp.up_proj.weight", "x"]
    )
    def test_surplus_key_is_named(self, llms: Callable[[str], Path], tmp_path: Path, key: str) -> None:
        folder = self.change(llms("llama3"), tmp_path, lambda state: state.update({key: torch.zeros(3)}))

        with pytest.raises(UserInputError, match=rf"{folder}/model.safetensors holds `{key}`, which the model has no"):
            read_text_llm(folder)

    def test_first_of_many_keys_is_named(self, llms: Callable[[str], Path], tmp_path: Path) -> None:
        folder = self.change(
            llms("qwen2_5"), tmp_path, lambda state: [state.pop(key) for key in list(state) if ".2." in key]
        )

        with pytest.raises(UserInputError, match=r"has no `model.layers.2.\S+` and 11 more"):
            read_text_llm(folder)

    @pytest.mark.parametrize("key", ["model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight"])
    def test_wrong_shape_is_named(self, llms: Callable[[str], Path], tmp_path: Path, key: str) -> None:
        folder = self.change(llms("qwen2_5"), tmp_path, lambda state: state.update({key: torch.zeros(3, 7)}))

        with pytest.raises(
            UserInputError,
            match=rf"`{key}` in {folder}/model.safetensors is of shape \(3, 7\), but the model wants \(\d+, \d+\)",
        ):
            read_text_llm(folder)

    def test_stored_frequencies_and_a_stored_tied_head_are_not_read(
        self, llms: Callable[[str], Path], tmp_path: Path
    ) -> None:
        def change(state: dict[str, Tensor]) -> None:
            state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
            state["lm_head.weight"] = torch.zeros(50, 32)

        folder = self.change(llms("qwen2_5"), tmp_path, change)

        config, tensors = read_text_llm(folder)

        assert config.tied_embeddings

        assert torch.equal(tensors["final_proj.weight"].read(), tensors["decoder_frontend.embed.weight"].read())
        assert tensors["final_proj.weight"].read().any()

    def test_pickles_are_refused(self, llms: Callable[[str], Path], tmp_path: Path) -> None:
        folder = change_config(llms("qwen2_5"), tmp_path)

        folder.joinpath("model.safetensors").rename(folder / "pytorch_model.bin")

        with pytest.raises(UserInputError, match=r"holds no safetensors file \(pickled checkpoints are not read\)"):
            read_text_llm(folder)

    def test_missing_file_of_the_index_is_named(self, tmp_path: Path) -> None:
        folder = write_llm(tmp_path, max_shard_size="20KB")

        file = max(folder.glob("*.safetensors"))

        file.unlink()

        with pytest.raises(UserInputError, match=f"{file} is missing, but model.safetensors.index.json names it"):
            read_text_llm(folder)

    def test_checkpoint_of_another_kind_is_refused(self) -> None:
        with pytest.raises(UserInputError, match=r"neither a codec_lm model nor a textual LLM"):
            convert_codec_lm_state_dict({"weight": torch.zeros(2)}, CodecLMConfig())

    def test_folder_itself_is_checked_too(self, llms: Callable[[str], Path]) -> None:
        config = CodecLMConfig(decoder=read_text_llm(llms("llama3"))[0])

        config.decoder.num_layers = 2

        with pytest.raises(UserInputError, match=r"model.safetensors holds `model.layers.2.\S+` and 8 more"):
            get_codec_lm_hub().load_custom_model(llms("llama3"), config)
