"""Registers the codecs of transformers with fairseq2."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from fairseq2.composition.models import register_model_family
from fairseq2.models import ModelHubAccessor
from fairseq2.runtime.config_registry import ConfigRegistrar
from fairseq2.runtime.dependency import DependencyContainer

from codec_s2st.codecs.hg.config import ADAPTERS, HG_FAMILY, HgCodecConfig
from codec_s2st.codecs.hg.interop import convert_hg_state_dict
from codec_s2st.codecs.hg.model import HgCodec
from codec_s2st.errors import unknown_name

get_hg_hub: Final = ModelHubAccessor(HG_FAMILY, kls=HgCodec, config_kls=HgCodecConfig)


def make_hg_codec(config: HgCodecConfig) -> HgCodec:
    """Builds the codec of a configuration, with random weights.

    :raises UserInputError: the configuration has no adapter, or does not fit it.
    :raises CodecS2STError: transformers is not installed, or too old.
    """
    target = ADAPTERS.get(config.adapter)
    if target is None:
        raise unknown_name("adapter", config.adapter, ADAPTERS)

    module_name, _, kls_name = target.partition(":")

    codec: HgCodec = getattr(import_module(module_name), kls_name)(config)

    return codec


def register_hg(container: DependencyContainer) -> None:
    """Registers the family and the architectures of the codecs that there are cards for."""
    register_model_family(
        container,
        HG_FAMILY,
        kls=HgCodec,
        config_kls=HgCodecConfig,
        factory=make_hg_codec,
        # Transformers' modules compute buffers when they are made.
        supports_meta=False,
        state_dict_converter=convert_hg_state_dict,
    )

    arch = ConfigRegistrar(container, HgCodecConfig)

    @arch("encodec_24khz")
    def encodec_24khz() -> HgCodecConfig:
        return HgCodecConfig()

    @arch("mimi")
    def mimi() -> HgCodecConfig:
        return HgCodecConfig(adapter="mimi", hop_length=1920, codebook_sizes=[2048] * 32)

    @arch("dac_16khz")
    def dac_16khz() -> HgCodecConfig:
        return _dac(sample_rate=16_000, ratios=[2, 4, 5, 8], hop_length=320, num_codebooks=12)

    @arch("dac_24khz")
    def dac_24khz() -> HgCodecConfig:
        return _dac(sample_rate=24_000, ratios=[2, 4, 5, 8], hop_length=320, num_codebooks=32)

    @arch("dac_44khz")
    def dac_44khz() -> HgCodecConfig:
        return _dac(sample_rate=44_100, ratios=[2, 4, 8, 8], hop_length=512, num_codebooks=9)

    @arch("xcodec_hubert")
    def xcodec_hubert() -> HgCodecConfig:
        return _xcodec("hubert")

    @arch("xcodec_wavlm")
    def xcodec_wavlm() -> HgCodecConfig:
        return _xcodec("wavlm")


def _dac(*, sample_rate: int, ratios: list[int], hop_length: int, num_codebooks: int) -> HgCodecConfig:
    return HgCodecConfig(
        adapter="dac",
        sample_rate=sample_rate,
        hop_length=hop_length,
        codebook_sizes=[1024] * num_codebooks,
        network={"downsampling_ratios": ratios, "n_codebooks": num_codebooks, "sampling_rate": sample_rate},
    )


def _xcodec(semantic_model: str) -> HgCodecConfig:
    return HgCodecConfig(
        adapter="xcodec",
        sample_rate=16_000,
        hop_length=320,
        codebook_sizes=[1024] * 8,
        network={"semantic_model_config": {"model_type": semantic_model}},
    )
