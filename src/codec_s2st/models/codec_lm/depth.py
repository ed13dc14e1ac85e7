"""The depth transformer: within a step, each stream sees the codes of the streams before it.

Parallel heads draw the Q codes of a step independently, given the backbone's hidden state. A depth transformer runs
over the streams of one step instead, as in RQ-Transformer (arXiv 2203.01941) and Moshi (arXiv 2410.00037): its position
q - 1 reads the hidden state and the code of stream q - 1, and predicts stream q.

Legend: N row (a step of some sequence), Q stream, D width of the backbone, E width of the depth transformer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from fairseq2.models.transformer_lm import TransformerLMDecoder
from fairseq2.nn import BatchLayout, IncrementalStateBag
from fairseq2.utils.validation import Validatable, ValidationResult
from torch import Tensor
from torch.nn import Linear, Module
from typing_extensions import override

from codec_s2st.models.codec_lm.backbones import BackboneConfig, backbone_of
from codec_s2st.models.codec_lm.frontend import StreamEmbedding
from codec_s2st.tokens.vocabulary import Vocabulary


@dataclass(kw_only=True)
class DepthConfig(Validatable):
    """The sizes of the depth transformer."""

    model_dim: int = 256
    num_layers: int = 2
    num_attn_heads: int = 4
    ffn_inner_dim: int = 704

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if min(self.model_dim, self.num_layers, self.num_attn_heads, self.ffn_inner_dim) < 1:
            result.add_error("`depth` must hold positive sizes.")
        elif self.model_dim % (2 * self.num_attn_heads):
            result.add_error("`depth.model_dim` must be a multiple of twice `depth.num_attn_heads`.")

        return result


class DepthTransformer(Module):
    """Turns a hidden state of the backbone into one for each of the streams 1..Q-1."""

    def __init__(self, config: DepthConfig, vocabulary: Vocabulary, model_dim: int, *, std: float) -> None:
        """
        :param model_dim: The width of the backbone, D.
        :param std: The standard deviation of the embedding's normal initialisation.
        """
        super().__init__()

        self.vocabulary = vocabulary

        # Rows of code books 0..Q-2, and a last one for all that is not a code: padding, and boundaries in stream 0.
        num_codes = sum(vocabulary.codebook_sizes[:-1])

        self.embed = StreamEmbedding(num_codes + 1, config.model_dim, num_codes, std=std)

        self.hidden_proj = Linear(model_dim, config.model_dim, bias=False)

        backbone = BackboneConfig(
            model_dim=config.model_dim,
            num_layers=config.num_layers,
            num_attn_heads=config.num_attn_heads,
            num_key_value_heads=config.num_attn_heads,
            ffn_inner_dim=config.ffn_inner_dim,
            max_seq_len=vocabulary.num_streams,
            rope_theta=10_000.0,
        )

        self.decoder: TransformerLMDecoder = backbone_of(backbone).create_decoder(backbone)

        self.output_proj = Linear(config.model_dim, model_dim, bias=False)

    @override
    def forward(self, hidden: Tensor, ids: Tensor, *, state_bag: IncrementalStateBag | None = None) -> Tensor:
        """
        :param hidden: The backbone's. *Shape:* [N, D].
        :param ids: Ids of the vocabulary, of as many streams as are known, from stream 0 or, with ``state_bag``, from
            the first stream that it has not seen. *Shape:* [N, Q'].
        :param state_bag: Holds keys and values of earlier streams in generation.

        :returns: For each of ``ids``, the hidden state that predicts the stream after it. *Shape:* [N, Q', D].
        """
        num_rows = hidden.size(0)

        if num_rows == 0:
            # A made-up row, which is dropped again, keeps every parameter in the graph.
            hidden, ids = hidden.new_zeros((1, hidden.size(1))) + hidden.sum(), ids.new_zeros((1, ids.size(1)))

        seqs = self.embed(self._rows_of(ids).unsqueeze(-1)) + self.hidden_proj(hidden).unsqueeze(1)

        output: Tensor = self.output_proj(self.decoder(seqs, BatchLayout.of(seqs), state_bag=state_bag))

        return output[:num_rows]

    def _rows_of(self, ids: Tensor) -> Tensor:
        """Returns the rows of the embedding; all that is not a code shares the padding row."""
        rows = ids - self.vocabulary.codes_begin

        pad = self.embed.pad_idx

        return torch.where((rows < 0) | (rows >= pad), pad, rows)
