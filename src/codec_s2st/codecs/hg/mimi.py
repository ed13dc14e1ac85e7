"""Mimi. Legend: B batch, N sample, T codec frame, Q stream."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn import Module
from typing_extensions import override

from codec_s2st.codecs.hg.config import HgCodecConfig
from codec_s2st.codecs.hg.library import import_from_transformers, make_config
from codec_s2st.codecs.hg.model import HgCodec
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.streams import StreamSpec


@final
class MimiCodec(HgCodec):
    """Transformers' Mimi: stream 0 is semantic, the others are acoustic."""

    @override
    def _make_network(self, config: HgCodecConfig) -> Module:
        config_kls, model_kls = import_from_transformers("MimiConfig", "MimiModel")

        network_config = make_config(config_kls, config.network)

        # Otherwise the network would not encode the first streams alone.
        if network_config.num_semantic_quantizers != 1 or network_config.audio_channels != 1:
            raise UserInputError("a Mimi with more than one semantic code book, or that is stereo, cannot be used")

        network: Module = model_kls(network_config)

        return network

    @override
    def _network_spec(self) -> StreamSpec:
        config = self.network.config

        return StreamSpec((config.codebook_size,) * config.num_quantizers, config.frame_size, config.sampling_rate)

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        codes: Tensor = self.network.encode(wave, num_quantizers=num_streams).audio_codes

        return codes

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        wave: Tensor = self.network.decode(codes).audio_values

        return wave
