"""LLaMA 3.x: no biases, and rotary positions that may be stretched."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final, final

from fairseq2.models.llama import LLAMA_FAMILY, LLaMAConfig
from fairseq2.models.llama.config import LLaMARoPEScaleConfig
from fairseq2.models.llama.factory import init_llama_rope_freqs
from fairseq2.models.transformer_lm import TransformerLMDecoder
from fairseq2.nn import PositionEncoder, RotaryEncoder
from torch import Tensor
from typing_extensions import override

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.backbones.backbone import (
    Backbone,
    DecoderFactory,
    check_no_other_eps,
    read_rope_type,
    read_sizes,
    read_theta,
    write_sizes,
)
from codec_s2st.models.codec_lm.backbones.config import BackboneConfig, RoPEScaling
from codec_s2st.models.codec_lm.backbones.config_json import ConfigJson

_NORM_EPS: Final = 1e-5
"""Of fairseq2's factory."""


class _LLaMADecoderFactory(DecoderFactory):
    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)

        self._head_dim = config.actual_head_dim
        self._scaling = config.rope_scaling

    @override
    def create_position_encoder(self) -> PositionEncoder:
        scaling = self._scaling

        scale_config = None

        if scaling is not None:
            scale_config = LLaMARoPEScaleConfig(
                scaling.factor, (scaling.low_freq_factor, scaling.high_freq_factor), scaling.original_max_seq_len
            )

        def init_freqs(encoder: RotaryEncoder) -> Tensor:
            assert scale_config is not None

            return init_llama_rope_freqs(encoder, scale_config)

        return RotaryEncoder(
            self._head_dim,
            self._config.max_seq_len,
            theta=self._config.rope_theta,
            freqs_init_fn=None if scale_config is None else init_freqs,
        )


@final
class LLaMABackbone(Backbone):
    family: ClassVar[str] = LLAMA_FAMILY

    model_types: ClassVar[tuple[str, ...]] = ("llama",)

    @override
    def create_decoder(self, config: BackboneConfig) -> TransformerLMDecoder:
        return _LLaMADecoderFactory(config).create_decoder()

    @override
    def read_config(self, config: ConfigJson) -> BackboneConfig:
        config.require("attention_bias", False)
        config.require("mlp_bias", False)

        kind, key, value = read_rope_type(config)

        if kind not in ("default", "llama3"):
            raise UserInputError(f"{config.file}: `{key}` = {dict(value)} is not supported, only the type llama3")

        scaling = None

        if kind == "llama3":
            keys = config.below(key)

            scaling = RoPEScaling(
                factor=keys.number("factor"),
                low_freq_factor=keys.number("low_freq_factor"),
                high_freq_factor=keys.number("high_freq_factor"),
                original_max_seq_len=keys.integer("original_max_position_embeddings"),
            )

        sizes = read_sizes(config, self.family)

        # transformers always says how wide heads are.
        head_dim = None if sizes.actual_head_dim * sizes.num_attn_heads == sizes.model_dim else sizes.head_dim

        return replace(
            sizes, head_dim=head_dim, qkv_proj_bias=False, rope_theta=read_theta(config), rope_scaling=scaling
        )

    @override
    def write_config(self, config: BackboneConfig) -> dict[str, object]:
        if config.qkv_proj_bias or config.q_norm or config.k_norm:
            raise UserInputError("LLaMA's family has neither biases nor norms of queries and keys")

        data = write_sizes(config)

        data["architectures"] = ["LlamaForCausalLM"]
        data["model_type"] = "llama"
        data["attention_bias"] = False
        data["mlp_bias"] = False
        data["rope_scaling"] = None

        if (scaling := config.rope_scaling) is not None:
            data["rope_scaling"] = {
                "factor": scaling.factor,
                "high_freq_factor": scaling.high_freq_factor,
                "low_freq_factor": scaling.low_freq_factor,
                "original_max_position_embeddings": scaling.original_max_seq_len,
                "rope_type": "llama3",
            }

        return data

    @override
    def from_card_config(self, config: object) -> BackboneConfig:
        assert isinstance(config, LLaMAConfig)

        # As fairseq2's feed-forward network computes it.
        inner_dim = int(int(config.ffn_inner_dim * config.ffn_inner_dim_multiplier) * config.ffn_inner_dim_scale)

        multiple = config.ffn_inner_dim_multiple_of

        scale = config.rope_scale

        low, high = scale.frequency_factors

        scaling = RoPEScaling(
            factor=scale.factor,
            low_freq_factor=low,
            high_freq_factor=high,
            original_max_seq_len=scale.original_context_length,
        )

        return BackboneConfig(
            family=self.family,
            model_dim=config.model_dim,
            max_seq_len=config.max_seq_len,
            vocab_size=config.vocab_size,
            tied_embeddings=config.tied_embeddings,
            num_layers=config.num_layers,
            num_attn_heads=config.num_attn_heads,
            num_key_value_heads=config.num_key_value_heads,
            qkv_proj_bias=False,
            ffn_inner_dim=multiple * ((inner_dim + multiple - 1) // multiple),
            rope_theta=config.rope_theta,
            rope_scaling=scaling if config.use_scaled_rope else None,
            norm_eps=_NORM_EPS,
            dropout_p=config.dropout_p,
        )

    @override
    def to_card_config(self, config: BackboneConfig) -> object:
        check_no_other_eps(config, _NORM_EPS)

        if config.actual_head_dim * config.num_attn_heads != config.model_dim:
            raise UserInputError(
                f"fairseq2's model family '{self.family}' has no field for heads of {config.actual_head_dim}",
                hint="export it: codec-s2st export-hf",
            )

        output = LLaMAConfig(
            model_dim=config.model_dim,
            max_seq_len=config.max_seq_len,
            vocab_size=config.vocab_size,
            tied_embeddings=config.tied_embeddings,
            num_layers=config.num_layers,
            num_attn_heads=config.num_attn_heads,
            num_key_value_heads=config.num_key_value_heads,
            ffn_inner_dim=config.ffn_inner_dim,
            ffn_inner_dim_scale=1.0,
            ffn_inner_dim_multiple_of=1,
            rope_theta=config.rope_theta,
            use_scaled_rope=config.rope_scaling is not None,
            dropout_p=config.dropout_p,
            shard_embed_dim=False,
        )

        if (scaling := config.rope_scaling) is not None:
            output.rope_scale = LLaMARoPEScaleConfig(
                scaling.factor, (scaling.low_freq_factor, scaling.high_freq_factor), scaling.original_max_seq_len
            )

        return output

    @override
    def from_hugging_face(self, key: str, weight: Tensor, config: BackboneConfig) -> Tensor:
        # fairseq2 rotates neighbours; Hugging Face rotates the two halves of a head against each other.
        if key.endswith(("self_attn.q_proj.weight", "self_attn.k_proj.weight")):
            return _swap_pairs(weight, (-1, 2, config.actual_head_dim // 2))

        return weight

    @override
    def to_hugging_face(self, key: str, weight: Tensor, config: BackboneConfig) -> Tensor:
        if key.endswith(("self_attn.q_proj.weight", "self_attn.k_proj.weight")):
            return _swap_pairs(weight, (-1, config.actual_head_dim // 2, 2))

        return weight


def _swap_pairs(weight: Tensor, shape: tuple[int, int, int]) -> Tensor:
    swapped: Tensor = weight.unflatten(0, shape).transpose(1, 2)

    return swapped.flatten(0, 2)
