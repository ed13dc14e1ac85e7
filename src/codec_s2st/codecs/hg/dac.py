"""DAC, the Descript audio codec. Legend: B batch, N sample, T codec frame, Q stream."""

from __future__ import annotations

from math import prod
from typing import Final, final

from torch import Tensor
from torch.nn import Module
from torch.nn.functional import pad
from typing_extensions import override

from codec_s2st.codecs.chunks import EncoderContext, conv_reach
from codec_s2st.codecs.hg.config import HgCodecConfig
from codec_s2st.codecs.hg.library import import_from_transformers, make_config
from codec_s2st.codecs.hg.model import HgCodec
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.streams import StreamSpec

DERIVED: Final = ("hidden_size", "upsampling_ratios")
"""What transformers derives from other arguments, and ``config.json`` may state otherwise."""


@final
class DacCodec(HgCodec):
    """Transformers' DAC."""

    @override
    def _make_network(self, config: HgCodecConfig) -> Module:
        config_kls, model_kls = import_from_transformers("DacConfig", "DacModel")

        network_config = make_config(config_kls, config.network, extra=DERIVED)

        try:
            network: Module = model_kls(network_config)
        except ValueError as ex:
            raise UserInputError(f"`network` of the codec cannot be used: {ex}") from ex

        return network

    @override
    def _network_spec(self) -> StreamSpec:
        config = self.network.config

        # Not its `hop_length`: in published configurations it is that of another sample rate.
        hop_length = prod(config.downsampling_ratios)

        return StreamSpec((config.codebook_size,) * config.n_codebooks, hop_length, config.sampling_rate)

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        codes: Tensor = self.network.encode(self._pad_to_frames(wave), n_quantizers=num_streams).audio_codes

        return codes

    @property
    @override
    def encoder_context(self) -> EncoderContext:
        num_frames = -(-conv_reach([self.network.encoder]) // self.config.hop_length)

        return EncoderContext(num_frames, num_frames)

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        # (B, N)
        wave: Tensor = self.network.decode(audio_codes=codes).audio_values

        # An up-sampling by an odd number (5 at 16 and 24 kHz) leaves a few samples out.
        return pad(wave, (0, codes.size(-1) * self.config.hop_length - wave.size(-1)))[:, None]
