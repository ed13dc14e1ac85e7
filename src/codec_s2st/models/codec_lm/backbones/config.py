"""The configuration of a backbone, whatever its family."""

from __future__ import annotations

from dataclasses import dataclass

from fairseq2.models.qwen import QwenConfig


@dataclass(kw_only=True)
class RoPEScaling:
    """How LLaMA 3.1 and later stretch the wavelengths of rotary positions."""

    factor: float = 8.0
    """The longest wavelengths become so many times as long."""

    low_freq_factor: float = 1.0
    """Wavelengths above the original context divided by it are stretched in full."""

    high_freq_factor: float = 4.0
    """Wavelengths below the original context divided by it stay as they are."""

    original_max_seq_len: int = 8192
    """The context that the model was trained with before the stretch."""


@dataclass(kw_only=True)
class BackboneConfig(QwenConfig):
    """The sizes of a decoder of pre-normalised attention and gated feed-forward layers.

    ``vocab_size`` is the number of text rows; ``tied_embeddings`` says whether the textual LLM that a warm start reads
    has one table for embedding and head. Both tables of codec_lm are always its own.
    """

    family: str = "qwen"
    """The backbone that reads the other fields, such as ``qwen`` or ``llama``."""

    norm_eps: float = 1e-6
    """What is added to the denominator of every RMS norm."""

    rope_scaling: RoPEScaling | None = None
    """If given, how rotary positions are stretched."""

    @property
    def actual_head_dim(self) -> int:
        """The width of an attention head."""
        return self.model_dim // self.num_attn_heads if self.head_dim is None else self.head_dim
