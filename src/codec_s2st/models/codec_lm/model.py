"""The codec_lm model. Legend: B batch, S step, Q stream, D width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

from fairseq2.models.transformer_lm import TransformerLMDecoder
from fairseq2.nn import BatchLayout, IncrementalStateBag
from torch import Tensor
from torch.nn import Module
from typing_extensions import override

from codec_s2st.models.codec_lm.frontend import CodecLMFrontend
from codec_s2st.models.codec_lm.heads import CodecLMHeads, CodecLMLoss
from codec_s2st.models.codec_lm.selection import select_rows
from codec_s2st.tokens.delay import StreamPattern
from codec_s2st.tokens.vocabulary import Vocabulary


class CodecLMOutput(NamedTuple):
    """What a forward pass returns.

    It is a tuple, and so is what it holds, because FSDP does not find the tensors in a dataclass: it would leave out
    the reduction of gradients where it wraps the model alone, and say nothing.
    """

    hidden: Tensor
    """The decoder's output; at step s it predicts step s + 1. *Shape:* [B, S, D]."""

    loss: CodecLMLoss | None
    """Present where a loss mask was given."""


@final
class CodecLM(Module):
    """Reads Q streams summed to one vector a step, and predicts Q streams a step by parallel heads."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        pattern: StreamPattern,
        decoder_frontend: CodecLMFrontend,
        decoder: TransformerLMDecoder,
        heads: CodecLMHeads,
        *,
        max_seq_len: int,
        vocabulary_fingerprint: str = "",
    ) -> None:
        """
        :param max_seq_len: The largest number of steps that positions are known for.
        :param vocabulary_fingerprint: What the rows mean, in JSON; empty if the model is not bound to a vocabulary.
        """
        super().__init__()

        self.vocabulary = vocabulary
        self.pattern = pattern
        self.max_seq_len = max_seq_len
        self.vocabulary_fingerprint = vocabulary_fingerprint

        self.decoder_frontend = decoder_frontend
        self.decoder = decoder
        self.heads = heads

    @override
    def forward(
        self,
        ids: Tensor,
        *,
        loss_mask: Tensor | None = None,
        packed_lens: Sequence[int] | None = None,
        state_bag: IncrementalStateBag | None = None,
    ) -> CodecLMOutput:
        """
        :param ids: Ids of the vocabulary, padded on the right with the padding id: attention is causal, so that what
            stands right of a sequence cannot reach it. *Shape:* [B, S, Q].
        :param loss_mask: If given, the loss is computed; it must happen here, inside ``forward``, for the hooks of data
            parallelism to see it. *Shape:* [B, S, Q].
        :param packed_lens: If given, the sequences of the batch stand one after the other in one row, ``ids`` is of
            shape [1, S, Q], and these are their lengths; a sequence sees itself alone, and positions count within it.
            The first step of a sequence must not be a target.
        :param state_bag: Holds keys and values of earlier steps in generation.
        """
        selected = None

        if loss_mask is not None:
            # Before the backbone: a GPU's host waits for it.
            selected = select_rows(self.vocabulary, ids, loss_mask, packed_lens)

        seqs = self.decoder_frontend(ids)

        if packed_lens is None:
            hidden = self.decoder(seqs, BatchLayout.of(seqs), state_bag=state_bag)
        else:
            layout = BatchLayout.of(seqs[0], list(packed_lens), packed=True)

            hidden = self.decoder(seqs[0], layout)[None]

        loss = None if loss_mask is None else self.heads(hidden, ids, loss_mask, packed_lens, selected=selected)

        return CodecLMOutput(hidden, loss)
