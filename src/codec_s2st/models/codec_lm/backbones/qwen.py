"""Qwen1.5, Qwen2, Qwen2.5 (``model_type: qwen2``) and Qwen3 (norms of queries and keys, heads of their own width)."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import ClassVar, Final, final

from fairseq2.models.qwen import QWEN_FAMILY, QwenConfig
from typing_extensions import override

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.backbones.backbone import (
    Backbone,
    check_no_other_eps,
    read_rope_type,
    read_sizes,
    read_theta,
    write_sizes,
)
from codec_s2st.models.codec_lm.backbones.config import BackboneConfig
from codec_s2st.models.codec_lm.backbones.config_json import ConfigJson

_NORM_EPS: Final = 1e-6
"""Of fairseq2's factory."""

_QWEN3_HEAD_DIM: Final = 128
"""Of transformers' Qwen3Config, where a config.json says nothing."""


@final
class QwenBackbone(Backbone):
    family: ClassVar[str] = QWEN_FAMILY

    model_types: ClassVar[tuple[str, ...]] = ("qwen2", "qwen3")

    @override
    def read_config(self, config: ConfigJson) -> BackboneConfig:
        config.require("use_sliding_window", False)
        config.require_all("layer_types", "full_attention")

        kind, key, value = read_rope_type(config)

        if kind != "default":
            raise UserInputError(f"{config.file}: `{key}` = {dict(value)} is not supported, only the default type")

        sizes = replace(read_sizes(config, self.family), rope_theta=read_theta(config))

        if config.model_type == "qwen2":
            return sizes

        config.require("attention_bias", False)

        return replace(sizes, head_dim=sizes.head_dim or _QWEN3_HEAD_DIM, qkv_proj_bias=False, q_norm=True, k_norm=True)

    @override
    def write_config(self, config: BackboneConfig) -> dict[str, object]:
        # What tells the two apart is what their layers hold.
        is_qwen3 = config.q_norm and config.k_norm and not config.qkv_proj_bias

        if not is_qwen3 and (config.q_norm or config.k_norm or not config.qkv_proj_bias):
            raise UserInputError("norms of queries and keys and no biases must come together in Qwen's family")

        data = write_sizes(config)

        data["architectures"] = ["Qwen3ForCausalLM" if is_qwen3 else "Qwen2ForCausalLM"]
        data["model_type"] = "qwen3" if is_qwen3 else "qwen2"
        data["use_sliding_window"] = False

        if is_qwen3:
            data["attention_bias"] = False

        return data

    @override
    def from_card_config(self, config: object) -> BackboneConfig:
        assert isinstance(config, QwenConfig)

        return BackboneConfig(family=self.family, norm_eps=_NORM_EPS, **asdict(config))

    @override
    def to_card_config(self, config: BackboneConfig) -> object:
        check_no_other_eps(config, _NORM_EPS)

        return QwenConfig(**{field.name: getattr(config, field.name) for field in fields(QwenConfig)})
