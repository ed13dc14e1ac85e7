"""Builds a codec_lm model out of fairseq2's Qwen parts."""

from __future__ import annotations

from fairseq2.models.qwen import QwenFactory

from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.frontend import CodecLMFrontend, StreamEmbedding
from codec_s2st.models.codec_lm.heads import CodecLMHeads
from codec_s2st.models.codec_lm.model import CodecLM


def create_codec_lm(config: CodecLMConfig) -> CodecLM:
    """Returns a new model with random weights, on the current device (the meta device included)."""
    vocabulary = config.make_vocabulary()

    model_dim = config.decoder.model_dim

    embed = StreamEmbedding(vocabulary.size, model_dim, vocabulary.pad, std=config.new_rows_std)

    return CodecLM(
        vocabulary,
        config.make_pattern(),
        CodecLMFrontend(embed),
        QwenFactory(config.decoder).create_decoder(),
        CodecLMHeads(
            vocabulary,
            model_dim,
            std=config.new_rows_std,
            text_weight=config.text_loss_weight,
            stream_weights=config.stream_loss_weights,
        ),
        max_seq_len=config.decoder.max_seq_len,
        vocabulary_fingerprint=config.vocabulary,
    )
