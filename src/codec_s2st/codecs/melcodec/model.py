"""The embedded codec: log-mel -> ConvNeXt -> residual VQ -> ConvNeXt -> inverse STFT.

Legend: B batch, N samples, T codec frame, Q stream, C latent width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Linear
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

    phoneme_logits: Tensor | None
    """Of a phonetic level: [B, P * T, phonemes], P of them a frame."""


class MelCodec(Codec):
    """A codec small enough to be trained and run on one CPU core."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__(StreamSpec(config.codebook_sizes, config.hop_length, config.sample_rate))

        self.config = config

        self.encoder = MelEncoder(config)

        self.phonetic_quantizer: ResidualQuantizer | None = None

        self.phoneme_head: Linear | None = None

        if config.phonetic_codebook_size:
            self.phonetic_quantizer = ResidualQuantizer(
                num_levels=1,
                num_codes=config.phonetic_codebook_size,
                latent_dim=config.latent_dim,
                decay=config.codebook_decay,
                dead_usage=config.dead_code_usage,
            )

            self.phoneme_head = Linear(config.latent_dim, config.num_phonemes * config.phonemes_per_frame)

        self.quantizer = ResidualQuantizer(
            num_levels=config.num_codebooks - (self.phonetic_quantizer is not None),
            num_codes=config.codebook_size,
            latent_dim=config.latent_dim,
            decay=config.codebook_decay,
            dead_usage=config.dead_code_usage,
        )

        self.decoder = MelDecoder(config)

    @override
    def forward(self, wave: Tensor, *, level_mask: Tensor | None = None, quantize: bool = True) -> MelCodecOutput:
        """Encodes and decodes ``wave`` [B, N] for training; N is a multiple of the hop.

        :param level_mask: [B, Q], 1 for the levels that take part in a row's reconstruction; all by default. A phonetic
            level always does.
        :param quantize: If ``False``, the latent vectors pass as they are.
        """
        latents, phonetic = self.encoder(wave)

        if not quantize:
            if phonetic is not None:
                latents = latents + phonetic

            return MelCodecOutput(
                wave=self.decoder(latents),
                codes=None,
                commitment_loss=wave.new_zeros(()),
                phoneme_logits=self._phoneme_logits(phonetic),
            )

        if self.phonetic_quantizer is None:
            output = self.quantizer(latents, level_mask)

            return MelCodecOutput(
                wave=self.decoder(output.quantized),
                codes=output.codes,
                commitment_loss=output.commitment_loss,
                phoneme_logits=None,
            )

        first = self.phonetic_quantizer(phonetic)

        others = self.quantizer(latents, None if level_mask is None else level_mask[:, 1:])

        return MelCodecOutput(
            wave=self.decoder(first.quantized + others.quantized),
            codes=torch.cat((first.codes, others.codes), dim=-1),
            commitment_loss=first.commitment_loss + others.commitment_loss,
            phoneme_logits=self._phoneme_logits(first.quantized),
        )

    def _phoneme_logits(self, phonetic: Tensor | None) -> Tensor | None:
        if self.phoneme_head is None or phonetic is None:
            return None

        # (B, T, P * L) -> (B, P * T, L)
        logits: Tensor = self.phoneme_head(phonetic)

        per_frame: Tensor = logits.unflatten(-1, (self.config.phonemes_per_frame, -1))

        return per_frame.flatten(1, 2)

    def phonemes(self, codes: Tensor) -> Tensor:
        """Returns the most likely phonemes of ``codes`` [B, Q, T] of a codec with a phonetic level. [B, P * T]."""
        assert self.phonetic_quantizer is not None

        logits = self._phoneme_logits(self.phonetic_quantizer.decode(codes[:, :1].transpose(1, 2)))

        assert logits is not None

        return logits.argmax(dim=-1)

    @property
    def has_codebooks(self) -> bool:
        """Whether the code books have been set, by k-means or from a checkpoint."""
        return self.quantizer.has_codebooks

    @torch.no_grad()
    def init_codebooks(self, wave: Tensor) -> None:
        """Sets the code books to the k-means of the latent vectors of ``wave`` [B, N]; B * N / hop >= 512 is wise."""
        latents, phonetic = self.encoder(wave)

        self.quantizer.init_codebooks(latents.flatten(0, 1))

        if self.phonetic_quantizer is not None:
            self.phonetic_quantizer.init_codebooks(phonetic.flatten(0, 1))

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        # The end of the wave is followed by as much silence as the network can see: a row's codes do not depend on how
        # far its batch was padded.
        hop_length = self.config.hop_length

        num_samples = wave.size(-1)

        num_frames = -(-num_samples // hop_length)

        num_padded = (num_frames + self.config.encoder_context) * hop_length

        latents, phonetic = self.encoder(pad(wave.squeeze(1), (0, num_padded - num_samples)))

        if self.phonetic_quantizer is None:
            return self.quantizer.encode(latents[:, :num_frames], num_streams).transpose(1, 2)

        codes = self.phonetic_quantizer.encode(phonetic[:, :num_frames], 1)

        if num_streams > 1:
            codes = torch.cat((codes, self.quantizer.encode(latents[:, :num_frames], num_streams - 1)), dim=-1)

        return codes.transpose(1, 2)

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
        codes = codes.transpose(1, 2)

        if self.phonetic_quantizer is None:
            latents = self.quantizer.decode(codes)
        else:
            latents = self.phonetic_quantizer.decode(codes[..., :1])

            if codes.size(-1) > 1:
                latents = latents + self.quantizer.decode(codes[..., 1:])

        wave: Tensor = self.decoder(latents)

        return wave.unsqueeze(1)
