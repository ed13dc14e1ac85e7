"""The configuration of the codec_lm family."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fairseq2.models.qwen import QwenConfig
from fairseq2.runtime.config_registry import ConfigRegistrar
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.utils.validation import Validatable, ValidationResult

from codec_s2st.tokens.delay import StreamPattern, parse_pattern
from codec_s2st.tokens.vocabulary import Vocabulary

CODEC_LM_FAMILY: Final = "codec_s2st_lm"


@dataclass(kw_only=True)
class CodecLMConfig(Validatable):
    """A decoder-only language model over text and Q streams of codec tokens."""

    decoder: QwenConfig = field(default_factory=lambda: QwenConfig())
    """The backbone; its ``vocab_size`` is the number of text rows, and ``tied_embeddings`` is not read."""

    codebook_sizes: list[int] = field(default_factory=lambda: [1024, 1024, 1024])
    """The size of each of the Q code books."""

    pattern: str = "parallel"
    """How codes are laid out over steps: ``parallel``, ``delay``, ``flatten`` or ``delay:0,1,1``."""

    new_rows_std: float = 0.02
    """The standard deviation of the normal that new rows of embedding and heads are drawn from."""

    new_rows_seed: int = 1
    """The seed of the new rows' initialisation in a warm start."""

    text_loss_weight: float = 1.0
    """The weight of text targets in the loss."""

    stream_loss_weights: list[float] = field(default_factory=list)
    """The weight of the codes of each of the Q streams in the loss; if empty, 1 each."""

    vocabulary: str = ""
    """What the rows mean: a vocabulary fingerprint in JSON. Empty in an architecture; a run fills it in."""

    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if not self.codebook_sizes or min(self.codebook_sizes) < 1:
            result.add_error("`codebook_sizes` must hold at least one positive size.")

            return result

        if self.text_loss_weight <= 0:
            result.add_error("`text_loss_weight` must be positive.")

        if self.stream_loss_weights and len(self.stream_loss_weights) != len(self.codebook_sizes):
            result.add_error(f"`stream_loss_weights` must hold {len(self.codebook_sizes)} values, one a code book.")

        if self.stream_loss_weights and min(self.stream_loss_weights) < 0:
            result.add_error("`stream_loss_weights` must not be negative.")

        try:
            parse_pattern(self.pattern, len(self.codebook_sizes))
        except ValueError as ex:
            result.add_error(str(ex))

        return result

    def make_vocabulary(self) -> Vocabulary:
        """Returns the id intervals of the model's rows."""
        return Vocabulary(self.decoder.vocab_size, tuple(self.codebook_sizes))

    def make_pattern(self) -> StreamPattern:
        return parse_pattern(self.pattern, len(self.codebook_sizes))


def register_codec_lm_configs(container: DependencyContainer) -> None:
    arch = ConfigRegistrar(container, CodecLMConfig)

    @arch("tiny")
    def tiny() -> CodecLMConfig:
        """Two layers, for tests."""
        decoder = QwenConfig(
            model_dim=32,
            max_seq_len=512,
            vocab_size=64,
            num_layers=2,
            num_attn_heads=4,
            num_key_value_heads=2,
            ffn_inner_dim=64,
            rope_theta=10_000.0,
        )

        return CodecLMConfig(decoder=decoder, codebook_sizes=[16, 16])

    @arch("demo")
    def demo() -> CodecLMConfig:
        """The model of the demo world, for two CPU cores."""
        decoder = QwenConfig(
            model_dim=192,
            max_seq_len=1024,
            vocab_size=800,
            num_layers=6,
            num_attn_heads=4,
            num_key_value_heads=4,
            ffn_inner_dim=512,
            rope_theta=10_000.0,
        )

        return CodecLMConfig(decoder=decoder, codebook_sizes=[512] * 4)

    @arch("qwen1_5_0_5b")
    def qwen1_5_0_5b() -> CodecLMConfig:
        """The paper's base model, Qwen1.5-0.5B."""
        decoder = QwenConfig(
            model_dim=1024,
            max_seq_len=32_768,
            vocab_size=151_936,
            num_layers=24,
            num_attn_heads=16,
            num_key_value_heads=16,
            ffn_inner_dim=2816,
        )

        return CodecLMConfig(decoder=decoder)

    @arch("qwen2_5_0_5b")
    def qwen2_5_0_5b() -> CodecLMConfig:
        """Qwen2.5-0.5B."""
        decoder = QwenConfig(
            model_dim=896,
            max_seq_len=32_768,
            vocab_size=151_936,
            num_layers=24,
            num_attn_heads=14,
            num_key_value_heads=2,
            ffn_inner_dim=4864,
        )

        return CodecLMConfig(decoder=decoder)
