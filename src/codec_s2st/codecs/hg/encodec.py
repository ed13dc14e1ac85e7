"""EnCodec. Legend: B batch, N sample, T codec frame, Q stream."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn import Module
from typing_extensions import override

from codec_s2st.codecs.chunks import EncoderContext, RecurrentState, recurrent_context, run_recurrent_chunk
from codec_s2st.codecs.hg.config import HgCodecConfig
from codec_s2st.codecs.hg.library import import_from_transformers, make_config
from codec_s2st.codecs.hg.model import HgCodec
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.streams import StreamSpec


@final
class HgEncodecCodec(HgCodec):
    """Transformers' EnCodec. Its codes and waves are those of the family ``codec_s2st_encodec``."""

    @override
    def _make_network(self, config: HgCodecConfig) -> Module:
        config_kls, model_kls = import_from_transformers("EncodecConfig", "EncodecModel")

        network_config = make_config(config_kls, config.network)

        if network_config.normalize or network_config.chunk_length_s is not None or network_config.audio_channels != 1:
            raise UserInputError(
                "an EnCodec that is stereo, normalises or works in chunks (48 kHz) cannot be used: its codes alone do "
                "not carry the sound"
            )

        network: Module = model_kls(network_config)

        return network

    @override
    def _network_spec(self) -> StreamSpec:
        config = self.network.config

        return StreamSpec((config.codebook_size,) * config.num_quantizers, config.hop_length, config.sampling_rate)

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        # Its bandwidths do not name every number of code books; that of the last one is all of them.
        codes: Tensor = self.network.encode(wave, bandwidth=self.network.config.target_bandwidths[-1]).audio_codes[0]

        return codes[:, :num_streams]

    @property
    @override
    def encoder_context(self) -> EncoderContext | None:
        network = self.network

        return recurrent_context(network.encoder.layers, network.config.hop_length) if self._is_causal else None

    @override
    def _do_encode_chunk(
        self, wave: Tensor, num_streams: int, frames: slice, state: object
    ) -> tuple[Tensor, RecurrentState]:
        assert state is None or isinstance(state, RecurrentState)

        latents, new_state = run_recurrent_chunk(self.network.encoder.layers, wave, frames, state)

        # (B, D, t) -> (Q, B, t)
        codes = self.network.quantizer.encode(latents, self.network.config.target_bandwidths[-1])

        return codes.transpose(0, 1)[:, :num_streams], new_state

    @property
    def _is_causal(self) -> bool:
        config = self.network.config

        # Otherwise a chunk depends on what follows, or on the mean of the whole.
        return bool(config.use_causal_conv and config.norm_type == "weight_norm")

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        wave: Tensor = self.network.decode(codes[None], [None]).audio_values

        return wave
