"""Builds a codec_lm model around fairseq2's decoder."""

from __future__ import annotations

from fairseq2.gang import get_current_gangs

from codec_s2st.models.codec_lm.backbones import backbone_of
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.depth import DepthTransformer
from codec_s2st.models.codec_lm.frontend import CodecLMFrontend, StreamEmbedding
from codec_s2st.models.codec_lm.heads import CodecLMHeads
from codec_s2st.models.codec_lm.meta import without_fills
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.models.codec_lm.splits import check_splits
from codec_s2st.models.codec_lm.tables import padded_rows


def create_codec_lm(config: CodecLMConfig) -> CodecLM:
    """Returns a new model with random weights, on the current device (the meta device included).

    With tensor parallelism, it is the part of the current rank.

    :raises UserInputError: the model cannot be split over the ranks of tensor parallelism.
    """
    check_splits(config, get_current_gangs().tp.size)

    with without_fills():
        return _create_codec_lm(config)


def _create_codec_lm(config: CodecLMConfig) -> CodecLM:
    tp_gang = get_current_gangs().tp

    vocabulary = config.make_vocabulary()

    model_dim = config.decoder.model_dim

    num_rows = padded_rows(vocabulary.size, config.rows_multiple_of)

    embed = StreamEmbedding(num_rows, model_dim, vocabulary.pad, std=config.new_rows_std, tp_gang=tp_gang)

    return CodecLM(
        vocabulary,
        config.make_pattern(),
        CodecLMFrontend(embed),
        backbone_of(config.decoder).create_decoder(config.decoder),
        CodecLMHeads(
            vocabulary,
            model_dim,
            std=config.new_rows_std,
            text_weight=config.text_loss_weight,
            stream_weights=config.stream_loss_weights,
            rows_multiple_of=config.rows_multiple_of,
            tp_gang=tp_gang,
            depth=create_depth_transformer(config) if config.heads == "depth" else None,
        ),
        max_seq_len=config.decoder.max_seq_len,
        vocabulary_fingerprint=config.vocabulary,
    )


def create_depth_transformer(config: CodecLMConfig) -> DepthTransformer:
    """Returns a new depth transformer with random weights, on the current device."""
    return DepthTransformer(config.depth, config.make_vocabulary(), config.decoder.model_dim, std=config.new_rows_std)
