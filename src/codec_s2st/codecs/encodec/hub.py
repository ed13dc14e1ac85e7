"""Registers EnCodec with fairseq2."""

from __future__ import annotations

from typing import Final

from fairseq2.composition.models import register_model_family
from fairseq2.models import ModelHubAccessor
from fairseq2.runtime.config_registry import ConfigRegistrar
from fairseq2.runtime.dependency import DependencyContainer

from codec_s2st.codecs.encodec.config import ENCODEC_FAMILY, EncodecConfig
from codec_s2st.codecs.encodec.interop import convert_encodec_state_dict
from codec_s2st.codecs.encodec.model import EncodecCodec

get_encodec_hub: Final = ModelHubAccessor(ENCODEC_FAMILY, kls=EncodecCodec, config_kls=EncodecConfig)


def register_encodec(container: DependencyContainer) -> None:
    """Registers the family and its architecture ``24khz``."""
    register_model_family(
        container,
        ENCODEC_FAMILY,
        kls=EncodecCodec,
        config_kls=EncodecConfig,
        factory=EncodecCodec,
        # The package's modules cannot reset their parameters and buffers.
        supports_meta=False,
        state_dict_converter=convert_encodec_state_dict,
    )

    arch = ConfigRegistrar(container, EncodecConfig)

    @arch("24khz")
    def encodec_24khz() -> EncodecConfig:
        return EncodecConfig()
