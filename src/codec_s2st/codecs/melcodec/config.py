"""The configuration of the embedded codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MELCODEC_FAMILY: Final = "codec_s2st_melcodec"


@dataclass(kw_only=True)
class MelCodecConfig:
    """The shape of a mel -> ConvNeXt -> RVQ -> ConvNeXt -> inverse STFT codec.

    ``stft_hop`` must divide ``hop_length``, and ``stft_size`` must be ``stft_hop`` times an even number.
    """

    sample_rate: int = 16_000
    """Samples a second."""

    hop_length: int = 640
    """Samples of one codec frame (640 at 16 kHz: 25 frames a second)."""

    stft_hop: int = 160
    """Samples between two spectra, of the front end and of the head."""

    stft_size: int = 640
    """Samples of one window, of the front end and of the head."""

    num_mels: int = 80
    """Mel bands of the front end."""

    num_codebooks: int = 8
    """Levels of the residual quantizer."""

    codebook_size: int = 512
    """Codes of one level."""

    phonetic_codebook_size: int = 0
    """If positive, the first level is a quantizer of its own, of so many codes, that learns what is said: it is trained
    to tell the phonemes, as the semantic codes of Mimi and CosyVoice are. The levels after it code the rest."""

    num_phonemes: int = 0
    """The number of phonemes, silence among them, that the first level is trained to tell apart."""

    phonemes_per_frame: int = 2
    """How many phonemes are told of one codec frame, at evenly spaced times."""

    latent_dim: int = 64
    """Width of the quantized vectors."""

    encoder_dim: int = 256
    """Width of the encoder, which runs at the frame rate."""

    num_encoder_blocks: int = 3
    """ConvNeXt blocks of the encoder."""

    decoder_dim: int = 256
    """Width of the decoder's part at the frame rate."""

    num_decoder_blocks: int = 2
    """ConvNeXt blocks of the decoder at the frame rate."""

    head_dim: int = 192
    """Width of the decoder's part at the rate of the spectra."""

    num_head_blocks: int = 4
    """ConvNeXt blocks of the decoder at the rate of the spectra."""

    kernel_size: int = 7
    """Width of the depthwise convolutions."""

    expansion: int = 3
    """Inner width of a ConvNeXt block over its width."""

    codebook_decay: float = 0.99
    """Decay of the running means of the code books."""

    dead_code_usage: float = 0.05
    """A code whose running count a step falls below this is drawn anew from the batch."""

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        if self.phonetic_codebook_size:
            return (self.phonetic_codebook_size, *[self.codebook_size] * (self.num_codebooks - 1))

        return (self.codebook_size,) * self.num_codebooks

    @property
    def spectra_per_frame(self) -> int:
        return self.hop_length // self.stft_hop

    @property
    def encoder_context(self) -> int:
        """How many codec frames the encoder sees to either side of a frame."""
        return self.num_encoder_blocks * (self.kernel_size // 2) + -(-self.stft_size // (2 * self.hop_length))

    @property
    def decoder_context(self) -> int:
        """How many codec frames the decoder sees to either side of a frame."""
        # Windows of the inverse transform overlap.
        num_spectra = self.num_head_blocks * (self.kernel_size // 2) + self.stft_size // self.stft_hop

        return self.num_decoder_blocks * (self.kernel_size // 2) - (-num_spectra // self.spectra_per_frame)
