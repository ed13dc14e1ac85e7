"""Registers the embedded codec with fairseq2."""

from __future__ import annotations

from typing import Final

import torch
from fairseq2.composition.models import register_model_family
from fairseq2.models import ModelHubAccessor
from fairseq2.runtime.config_registry import ConfigRegistrar
from fairseq2.runtime.dependency import DependencyContainer
from torch import Tensor

from codec_s2st.codecs.melcodec.config import MELCODEC_FAMILY, MelCodecConfig
from codec_s2st.codecs.melcodec.model import MelCodec

get_melcodec_hub: Final = ModelHubAccessor(MELCODEC_FAMILY, kls=MelCodec, config_kls=MelCodecConfig)


def register_melcodec(container: DependencyContainer) -> None:
    """Registers the family and its architectures ``demo`` (the shipped codec), ``phonetic`` (the same with a phonetic
    level for the demo world's phonemes) and ``tiny`` (for tests)."""
    register_model_family(
        container,
        MELCODEC_FAMILY,
        kls=MelCodec,
        config_kls=MelCodecConfig,
        factory=MelCodec,
        state_dict_converter=convert_melcodec_state_dict,
    )

    arch = ConfigRegistrar(container, MelCodecConfig)

    @arch("demo")
    def demo() -> MelCodecConfig:
        return MelCodecConfig()

    @arch("phonetic")
    def phonetic() -> MelCodecConfig:
        # As many as codec_s2st.demo.phonemes tells apart.
        return MelCodecConfig(phonetic_codebook_size=256, num_phonemes=76)

    @arch("tiny")
    def tiny() -> MelCodecConfig:
        return MelCodecConfig(
            num_mels=20,
            num_codebooks=4,
            codebook_size=16,
            latent_dim=8,
            encoder_dim=32,
            num_encoder_blocks=1,
            decoder_dim=32,
            num_decoder_blocks=1,
            head_dim=16,
            num_head_blocks=1,
        )


def convert_melcodec_state_dict(state_dict: dict[str, object], config: MelCodecConfig) -> dict[str, object]:
    """Turns a published state dict (fp16, code books without their statistics) into one that the model loads."""
    converted: dict[str, object] = {}

    for name, value in state_dict.items():
        if isinstance(value, Tensor) and value.dtype == torch.float16:
            value = value.float()

        converted[name] = value

    for name in [name for name in converted if name.endswith("quantizer.codebooks")]:
        codebooks = converted[name]

        prefix = name.removesuffix("codebooks")

        # Whoever goes on training starts with every code in moderate use.
        if isinstance(codebooks, Tensor) and f"{prefix}usage" not in converted:
            converted[f"{prefix}usage"] = torch.ones(codebooks.shape[:2])
            converted[f"{prefix}totals"] = codebooks.clone()

    return converted


def publish_state_dict(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reverse: drops what only training needs and rounds to fp16."""
    training_only = ("quantizer.usage", "quantizer.totals")

    return {name: value.half().contiguous() for name, value in state_dict.items() if not name.endswith(training_only)}
