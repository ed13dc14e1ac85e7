"""The configuration of EnCodec."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Final

from fairseq2.utils.validation import Validatable, ValidationResult

from codec_s2st.tokens.streams import StreamSpec

ENCODEC_FAMILY: Final = "codec_s2st_encodec"


@dataclass(kw_only=True)
class EncodecConfig(Validatable):
    """The shape of a mono EnCodec with weight normalisation; the defaults are those of EnCodec 24 kHz.

    EnCodec 48 kHz is none: it works in chunks of a second with a scale each, which codes alone cannot carry.
    """

    sample_rate: int = 24_000
    """Samples a second."""

    num_codebooks: int = 32
    """Levels of the residual quantizer; 2, 4, 8, 16, 32 of them are 1.5, 3, 6, 12, 24 kbit/s at 24 kHz. A checkpoint
    may hold more: what is above is not loaded."""

    codebook_size: int = 1024
    """Codes of one level."""

    latent_dim: int = 128
    """Width of the quantized vectors."""

    num_filters: int = 32
    """Channels of the first convolution; each down-sampling doubles them."""

    num_residual_layers: int = 1
    """Residual blocks before each down-sampling."""

    ratios: list[int] = field(default_factory=lambda: [8, 5, 4, 2])
    """Up-sampling of the decoder's stages; the hop is their product."""

    kernel_size: int = 7
    """Width of the first convolution of encoder and decoder."""

    last_kernel_size: int = 7
    """Width of their last convolution."""

    residual_kernel_size: int = 3
    """Width of the convolutions of the residual blocks."""

    num_lstm_layers: int = 2
    """Layers of the LSTM of encoder and decoder."""

    causal: bool = True
    """Whether the convolutions see the past only."""

    conv_shortcut: bool = True
    """Whether a residual block's shortcut is a convolution."""

    @property
    def spec(self) -> StreamSpec:
        return StreamSpec((self.codebook_size,) * self.num_codebooks, prod(self.ratios), self.sample_rate)

    def validate(self) -> ValidationResult:
        result = ValidationResult()

        for name in ("sample_rate", "num_codebooks", "codebook_size", "latent_dim", "num_filters", "num_lstm_layers"):
            if getattr(self, name) < 1:
                result.add_error(f"`{name}` must be greater than or equal to 1, but is {getattr(self, name)} instead.")

        if not self.ratios or min(self.ratios) < 1:
            result.add_error(f"`ratios` must hold positive numbers, but is {self.ratios} instead.")

        return result
