"""The embedded codec: log-mel -> ConvNeXt -> residual VQ -> ConvNeXt -> inverse STFT.

Legend: B batch, N samples, T codec frame, Q stream, C latent width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from typing_extensions import override

from codec_s2st.codecs.chunks import EncoderContext
from codec_s2st.codecs.codec import Codec
from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.codecs.melcodec.network import MelDecoder, MelEncoder
from codec_s2st.codecs.melcodec.quantizer import ResidualQuantizer
from codec_s2st.codecs.streaming import DecoderContext
from codec_s2st.tokens.streams import StreamSpec


@dataclass(kw_only=True)
class MelCodecOutput:
    """What training needs of one pass."""

    wave: Tensor
    """The reconstruction [B, N]."""

    codes: Tensor | None
    """[B, T, Q], int64; ``None`` where nothing was quantized."""

    commitment_loss: Tensor
    """A scalar; zero where nothing was quantized."""


class MelCodec(Codec):
    """A codec small enough to be trained and run on one CPU core."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__(StreamSpec(config.codebook_sizes, config.hop_length, config.sample_rate))

        self.config = config

        self.encoder = MelEncoder(config)

        self.quantizer = ResidualQuantizer(
            num_levels=config.num_codebooks,
            num_codes=config.codebook_size,
            latent_dim=config.latent_dim,
            decay=config.codebook_decay,
            dead_usage=config.dead_code_usage,
        )

        self.decoder = MelDecoder(config)

    @override
    def forward(self, wave: Tensor, *, level_mask: Tensor | None = None, quantize: bool = True) -> MelCodecOutput:
        """Encodes and decodes ``wave`` [B, N] for training; N is a multiple of the hop.

        :param level_mask: [B, Q], 1 for the levels that take part in a row's reconstruction; all by default.
        :param quantize: If ``False``, the latent vectors pass as they are.
        """
        latents = self.encoder(wave)

        if not quantize:
            return MelCodecOutput(wave=self.decoder(latents), codes=None, commitment_loss=wave.new_zeros(()))

        output = self.quantizer(latents, level_mask)

        return MelCodecOutput(
            wave=self.decoder(output.quantized), codes=output.codes, commitment_loss=output.commitment_loss
        )

    @torch.no_grad()
    def init_codebooks(self, wave: Tensor) -> None:
        """Sets the code books to the k-means of the latent vectors of ``wave`` [B, N]; B * N / hop >= 512 is wise."""
        self.quantizer.init_codebooks(self.encoder(wave).flatten(0, 1))

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        # The end of the wave is followed by as much silence as the network can see: a row's codes do not depend on how
        # far its batch was padded.
        hop_length = self.config.hop_length

        num_samples = wave.size(-1)

        num_frames = -(-num_samples // hop_length)

        num_padded = (num_frames + self.config.encoder_context) * hop_length

        latents = self.encoder(pad(wave.squeeze(1), (0, num_padded - num_samples)))

        return self.quantizer.encode(latents[:, :num_frames], num_streams).transpose(1, 2)

    @property
    @override
    def encoder_context(self) -> EncoderContext:
        return EncoderContext(self.config.encoder_context, self.config.encoder_context)

    @property
    @override
    def decoder_context(self) -> DecoderContext:
        return DecoderContext(self.config.decoder_context, self.config.decoder_context)

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        wave: Tensor = self.decoder(self.quantizer.decode(codes.transpose(1, 2)))

        return wave.unsqueeze(1)
