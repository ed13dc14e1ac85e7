"""The architectures of the family: small ones of our own, and those of textual LLMs in their published sizes."""

from __future__ import annotations

from typing import Final

from fairseq2.runtime.config_registry import ConfigRegistrar
from fairseq2.runtime.dependency import DependencyContainer

from codec_s2st.models.codec_lm.backbones import BackboneConfig, RoPEScaling
from codec_s2st.models.codec_lm.config import CodecLMConfig

_QWEN_TEXT_ROWS: Final = 151_936


def register_codec_lm_configs(container: DependencyContainer) -> None:
    arch = ConfigRegistrar(container, CodecLMConfig)

    @arch("tiny")
    def tiny() -> CodecLMConfig:
        """Two layers, for tests."""
        decoder = BackboneConfig(
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
        decoder = BackboneConfig(
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
        decoder = BackboneConfig(
            model_dim=1024,
            max_seq_len=32_768,
            vocab_size=_QWEN_TEXT_ROWS,
            tied_embeddings=True,
            num_layers=24,
            num_attn_heads=16,
            num_key_value_heads=16,
            ffn_inner_dim=2816,
        )

        return CodecLMConfig(decoder=decoder)

    @arch("qwen2_5_0_5b")
    def qwen2_5_0_5b() -> CodecLMConfig:
        """Qwen2.5-0.5B."""
        decoder = BackboneConfig(
            model_dim=896,
            max_seq_len=32_768,
            vocab_size=_QWEN_TEXT_ROWS,
            tied_embeddings=True,
            num_layers=24,
            num_attn_heads=14,
            num_key_value_heads=2,
            ffn_inner_dim=4864,
        )

        return CodecLMConfig(decoder=decoder)

    @arch("qwen2_5_1_5b")
    def qwen2_5_1_5b() -> CodecLMConfig:
        """Qwen2.5-1.5B."""
        decoder = BackboneConfig(
            model_dim=1536,
            max_seq_len=32_768,
            vocab_size=_QWEN_TEXT_ROWS,
            tied_embeddings=True,
            num_layers=28,
            num_attn_heads=12,
            num_key_value_heads=2,
            ffn_inner_dim=8960,
        )

        return CodecLMConfig(decoder=decoder)

    def qwen3(model_dim: int, ffn_inner_dim: int) -> CodecLMConfig:
        decoder = BackboneConfig(
            model_dim=model_dim,
            max_seq_len=40_960,
            vocab_size=_QWEN_TEXT_ROWS,
            tied_embeddings=True,
            num_layers=28,
            num_attn_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            qkv_proj_bias=False,
            q_norm=True,
            k_norm=True,
            ffn_inner_dim=ffn_inner_dim,
        )

        return CodecLMConfig(decoder=decoder)

    @arch("qwen3_0_6b")
    def qwen3_0_6b() -> CodecLMConfig:
        """Qwen3-0.6B."""
        return qwen3(1024, 3072)

    @arch("qwen3_1_7b")
    def qwen3_1_7b() -> CodecLMConfig:
        """Qwen3-1.7B."""
        return qwen3(2048, 6144)

    @arch("llama3_2_1b")
    def llama3_2_1b() -> CodecLMConfig:
        """Llama-3.2-1B."""
        decoder = BackboneConfig(
            family="llama",
            model_dim=2048,
            max_seq_len=131_072,
            vocab_size=128_256,
            tied_embeddings=True,
            num_layers=16,
            num_attn_heads=32,
            num_key_value_heads=8,
            qkv_proj_bias=False,
            ffn_inner_dim=8192,
            rope_theta=500_000.0,
            rope_scaling=RoPEScaling(factor=32.0),
            norm_eps=1e-5,
        )

        return CodecLMConfig(decoder=decoder)
