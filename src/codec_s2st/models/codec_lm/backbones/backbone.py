"""What a backbone family must say, so that its textual LLMs can be read, grown and written again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from fairseq2.gang import get_current_gangs
from fairseq2.models.qwen import QwenFactory
from fairseq2.models.transformer import MultiheadAttention, StandardMultiheadAttention
from fairseq2.models.transformer_lm import TransformerLMDecoder, TransformerLMDecoderLayer
from fairseq2.nn import LayerNorm, PositionEncoder, RMSNorm
from torch import Tensor
from typing_extensions import override

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.attention import DocumentSDPA
from codec_s2st.models.codec_lm.backbones.config import BackboneConfig
from codec_s2st.models.codec_lm.backbones.config_json import ConfigJson
from codec_s2st.models.codec_lm.backbones.norms import HeadNorm
from codec_s2st.models.codec_lm.backbones.positions import HalvesRotaryEncoder
from codec_s2st.models.codec_lm.meta import is_on_meta, repeat_module


class DecoderFactory(QwenFactory):
    """Builds fairseq2's decoder; the LLaMA family's has the same blocks, and differs in what a configuration says."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)

        self._norm_eps = config.norm_eps

        self._first_layer: TransformerLMDecoderLayer | None = None

    @override
    def create_position_encoder(self) -> PositionEncoder:
        config = self._config

        head_dim = config.model_dim // config.num_attn_heads if config.head_dim is None else config.head_dim

        return HalvesRotaryEncoder(head_dim, config.max_seq_len, theta=config.rope_theta)

    @override
    def create_decoder_layer(self, layer_idx: int, pos_encoder: PositionEncoder) -> TransformerLMDecoderLayer:
        # Layers differ in their numbers alone, which there are none of there.
        if self._first_layer is not None:
            layer = repeat_module(self._first_layer, {pos_encoder})

            assert isinstance(layer, TransformerLMDecoderLayer)

            return layer

        layer = super().create_decoder_layer(layer_idx, pos_encoder)

        if is_on_meta():
            self._first_layer = layer

        return layer

    @override
    def create_layer_norm(self, dim: int | None = None) -> LayerNorm:
        tp_gang = get_current_gangs().tp

        # Only the norms of queries and keys say how wide they are.
        if dim is not None and tp_gang.size > 1:
            return HeadNorm(dim, tp_gang, eps=self._norm_eps)

        # fairseq2's own has a constant where checkpoints differ.
        return RMSNorm(self._config.model_dim if dim is None else dim, bias=False, eps=self._norm_eps)

    @override
    def create_self_attention(self, layer_idx: int, pos_encoder: PositionEncoder) -> MultiheadAttention:
        attention = super().create_self_attention(layer_idx, pos_encoder)

        assert isinstance(attention, StandardMultiheadAttention)

        attention.sdpa = DocumentSDPA(attention.sdpa)

        return attention


class Backbone(ABC):
    """A family of textual LLMs; an instance holds no state."""

    family: ClassVar[str]
    """The name in :attr:`BackboneConfig.family`, and of fairseq2's model family whose cards can be read."""

    model_types: ClassVar[tuple[str, ...]]
    """The values of ``model_type`` in a Hugging Face ``config.json`` that can be read."""

    def create_decoder(self, config: BackboneConfig) -> TransformerLMDecoder:
        """Returns a decoder with random weights, on the current device."""
        return DecoderFactory(config).create_decoder()

    @abstractmethod
    def read_config(self, config: ConfigJson) -> BackboneConfig:
        """
        :raises UserInputError: a key is missing, or the layers would compute something else than it says.
        """

    @abstractmethod
    def write_config(self, config: BackboneConfig) -> dict[str, object]:
        """Returns what a ``config.json`` says of the architecture, but for ``vocab_size`` and the tie."""

    def from_card_config(self, config: object) -> BackboneConfig:
        """Turns the configuration of fairseq2's model family into ours.

        :raises UserInputError: cards of the family are not read.
        """
        raise UserInputError(
            f"cards of fairseq2's model family '{self.family}' are not read", hint="name a Hugging Face folder"
        )

    def to_card_config(self, config: BackboneConfig) -> object:
        """Turns ours into that of fairseq2's model family.

        :raises UserInputError: fairseq2's has no field for what the model computes.
        """
        raise UserInputError(
            f"cards of fairseq2's model family '{self.family}' are not written", hint="export it: codec-s2st export-hf"
        )

    def from_hugging_face(self, key: str, weight: Tensor, config: BackboneConfig) -> Tensor:
        """Returns a parameter as our decoder wants it.

        :param key: Our name of it.
        """
        return weight

    def to_hugging_face(self, key: str, weight: Tensor, config: BackboneConfig) -> Tensor:
        """Undoes :meth:`from_hugging_face`."""
        return weight


def read_sizes(config: ConfigJson, family: str) -> BackboneConfig:
    """Returns the sizes that all families of Hugging Face name alike, and refuses what no backbone computes.

    Rotary positions are left to the family.
    """
    config.require("hidden_act", "silu")

    # These say how a checkpoint is stored, and weights of few bits need code to unpack them.
    config.require("quantization_config", None)

    num_heads = config.integer("num_attention_heads")

    head_dim = config.values.get("head_dim")

    sizes = BackboneConfig(
        family=family,
        model_dim=config.integer("hidden_size"),
        max_seq_len=config.integer("max_position_embeddings"),
        vocab_size=config.integer("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", False),
        num_layers=config.integer("num_hidden_layers"),
        num_attn_heads=num_heads,
        num_key_value_heads=config.integer("num_key_value_heads", num_heads),
        head_dim=None if head_dim is None else config.integer("head_dim"),
        ffn_inner_dim=config.integer("intermediate_size"),
        norm_eps=config.number("rms_norm_eps", 1e-6),
    )

    if sizes.head_dim is None and sizes.model_dim % num_heads:
        raise UserInputError(f"{config.file}: `hidden_size` must be a multiple of `num_attention_heads`")

    # Rotary positions turn pairs.
    if sizes.actual_head_dim % 2:
        raise UserInputError(f"{config.file}: heads must be of an even width, but are of {sizes.actual_head_dim}")

    if num_heads % sizes.num_key_value_heads:
        raise UserInputError(f"{config.file}: `num_attention_heads` must be a multiple of `num_key_value_heads`")

    return sizes


def write_sizes(config: BackboneConfig) -> dict[str, object]:
    """Returns what :func:`read_sizes` reads."""
    return {
        "head_dim": config.actual_head_dim,
        "hidden_act": "silu",
        "hidden_size": config.model_dim,
        "intermediate_size": config.ffn_inner_dim,
        "max_position_embeddings": config.max_seq_len,
        "num_attention_heads": config.num_attn_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": config.num_key_value_heads,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
    }


def read_theta(config: ConfigJson) -> float:
    """Returns the base of rotary positions, which transformers 5 says in ``rope_parameters``."""
    if "rope_theta" in config.values:
        return config.number("rope_theta")

    return config.below("rope_parameters").number("rope_theta", 10_000.0)


def read_rope_type(config: ConfigJson) -> tuple[str, str, Mapping[str, object]]:
    """Returns the type of rotary positions (``default`` for plain ones), the key that says so, and its value."""
    for key in ("rope_scaling", "rope_parameters"):
        value = config.mapping(key)

        kind = value.get("rope_type", value.get("type", "default"))

        if kind != "default":
            return str(kind), key, value

    return "default", "rope_scaling", {}


def check_no_other_eps(config: BackboneConfig, eps: float) -> None:
    """Refuses what fairseq2's own factories cannot be told."""
    if config.norm_eps != eps:
        raise UserInputError(
            f"fairseq2's model family '{config.family}' computes norms with {eps:g}, but the model with"
            f" {config.norm_eps:g}",
            hint="export it: codec-s2st export-hf",
        )
