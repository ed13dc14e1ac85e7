"""The two halves of the embedded codec round its quantizer.

Legend: B batch, N samples, T codec frame, F spectra, C latent width, D width.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import LayerNorm, Linear, Module, Sequential
from typing_extensions import override

from codec_s2st.codecs.melcodec.blocks import ConvNeXtBlock
from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.codecs.melcodec.spectrum import ISTFTHead, LogMel


class MelEncoder(Module):
    """Waveform to latent vectors, one a codec frame."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()

        self.spectra_per_frame = config.spectra_per_frame

        self.log_mel = LogMel(
            size=config.stft_size, hop=config.stft_hop, num_mels=config.num_mels, sample_rate=config.sample_rate
        )

        self.input_proj = Linear(config.num_mels * config.spectra_per_frame, config.encoder_dim)
        self.input_norm = LayerNorm(config.encoder_dim)
        self.blocks = _create_blocks(config, config.encoder_dim, config.num_encoder_blocks)
        self.output_norm = LayerNorm(config.encoder_dim)
        self.output_proj = Linear(config.encoder_dim, config.latent_dim)

        self.phonetic_proj = Linear(config.encoder_dim, config.latent_dim) if config.phonetic_codebook_size else None

    @override
    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor | None]:
        """Maps [B, N] to [B, T, C], and to as much for the phonetic level; N is T * hop_length."""
        mels = self.log_mel(wave)

        # (B, F, M) -> (B, T, F / T * M): the spectra of one frame lie side by side, nothing is averaged away.
        seqs = mels.unflatten(1, (-1, self.spectra_per_frame)).flatten(2)

        seqs = self.blocks(self.input_norm(self.input_proj(seqs)))

        seqs = self.output_norm(seqs)

        phonetic = None if self.phonetic_proj is None else self.phonetic_proj(seqs)

        return self.output_proj(seqs), phonetic


class MelDecoder(Module):
    """Latent vectors to waveform."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()

        self.spectra_per_frame = config.spectra_per_frame

        self.input_proj = Linear(config.latent_dim, config.decoder_dim)
        self.blocks = _create_blocks(config, config.decoder_dim, config.num_decoder_blocks)
        self.up_proj = Linear(config.decoder_dim, config.head_dim * config.spectra_per_frame)
        self.head_norm = LayerNorm(config.head_dim)
        self.head_blocks = _create_blocks(config, config.head_dim, config.num_head_blocks)
        self.output_norm = LayerNorm(config.head_dim)
        self.head = ISTFTHead(config.head_dim, size=config.stft_size, hop=config.stft_hop)

    @override
    def forward(self, seqs: Tensor) -> Tensor:
        """Maps [B, T, C] to [B, T * hop_length]."""
        seqs = self.up_proj(self.blocks(self.input_proj(seqs)))

        # (B, T, F / T * D) -> (B, F, D)
        seqs = seqs.unflatten(2, (self.spectra_per_frame, -1)).flatten(1, 2)

        seqs = self.output_norm(self.head_blocks(self.head_norm(seqs)))

        wave = self.head(seqs)

        return wave  # type: ignore[no-any-return]


def _create_blocks(config: MelCodecConfig, model_dim: int, num_blocks: int) -> Sequential:
    blocks = [
        ConvNeXtBlock(
            model_dim,
            kernel_size=config.kernel_size,
            expansion=config.expansion,
            init_scale=1.0 / max(num_blocks, 1),
        )
        for _ in range(num_blocks)
    ]

    return Sequential(*blocks)
