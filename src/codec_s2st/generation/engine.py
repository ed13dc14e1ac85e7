"""The fast way to read steps: fused products, a static cache, the heads of all streams in one product.

Legend: B row, N step of some row, S step, Q stream, D width, E width of the depth transformer, C choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from codec_s2st.generation.options import Quantization
from codec_s2st.generation.steps import StepLogits, StepReader
from codec_s2st.models.codec_lm.decoding.cache import KeyValueCache
from codec_s2st.models.codec_lm.decoding.fused import FusedDecoder
from codec_s2st.models.codec_lm.decoding.matrices import DenseMatrix, Int8Matrix, Matrix, MatrixMaker, lay_out
from codec_s2st.models.codec_lm.depth import DepthTransformer
from codec_s2st.models.codec_lm.model import CodecLM


class DecodingEngine:
    """A model laid out for generation. It is built once, of the weights as they are then."""

    def __init__(self, model: CodecLM, *, quantize: Quantization = "none") -> None:
        """
        :param model: One that :func:`~codec_s2st.models.codec_lm.decoding.known.why_unknown` has nothing against. Some
            of its parameters become views of larger tensors.

        :raises UserInputError: the model's device cannot do what ``quantize`` asks for.
        """
        self.vocabulary = model.vocabulary

        self._make: MatrixMaker = Int8Matrix if quantize == "int8" else DenseMatrix

        with torch.inference_mode():
            self.decoder = FusedDecoder(model.decoder, self._make)

            embed, heads = model.decoder_frontend.embed, model.heads

            self._embed = _whole_table(embed.text_weight, embed.weight)

            self._stream0 = _whole_table(heads.text_weight, heads.stream0_weight)

            sizes = self.vocabulary.codebook_sizes[1:]

            self.codebooks: list[Tensor] = []

            if heads.codebook_weight is not None:
                self.codebooks = list(heads.codebook_weight.detach()[: sum(sizes)].split(sizes))

            self._depth = None if heads.depth is None else _Depth(heads.depth, self.codebooks, self._make)

        self._heads: dict[tuple[range, ...], Heads] = {}

    def embed(self, ids: Tensor) -> Tensor:
        """
        :param ids: *Shape:* [N, Q].

        :returns: *Shape:* [N, D].
        """
        return functional.embedding_bag(ids, self._embed, mode="sum", padding_idx=self.vocabulary.pad)

    def heads_over(self, spaces: Sequence[range]) -> Heads:
        """Returns the heads where stream 0 chooses among ``spaces``."""
        key = tuple(spaces)

        if key not in self._heads:
            rows = [self._stream0[space.start : space.stop] for space in spaces]

            is_speech = spaces[-1].stop > self.vocabulary.codes_begin

            codebooks, depth = (self.codebooks, self._depth) if is_speech else ([], None)

            self._heads[key] = Heads(rows, codebooks, depth, self._make)

        return self._heads[key]


class Heads:
    """Turns the decoder's output into logits."""

    def __init__(
        self, stream0: Sequence[Tensor], codebooks: Sequence[Tensor], depth: _Depth | None, make: MatrixMaker
    ) -> None:
        """
        :param stream0: The rows of stream 0, in consecutive tables. *Shape:* [C, D] each.
        :param codebooks: Those of the streams 1..Q-1. *Shape:* [C_q, D] each.
        """
        self.num_stream0 = sum(len(rows) for rows in stream0)
        self.sizes = [len(rows) for rows in codebooks]
        self.depth = depth

        if codebooks and depth is None:
            # One product for all streams, at the price of a copy.
            self.matrices = [make(lay_out([*stream0, *codebooks]), None)]
        else:
            # The rows of text are too many to be copied.
            self.matrices = [make(rows, None) for rows in stream0]


class EngineSteps(StepReader):
    """Reads a batch with the engine."""

    def __init__(self, engine: DecodingEngine) -> None:
        self._engine = engine

    @override
    def begin(self, prompts: Sequence[Tensor], num_new: int, spaces: Sequence[range]) -> StepLogits:
        engine = self._engine

        lengths = [len(prompt) for prompt in prompts]

        self._heads = engine.heads_over(spaces)

        self._cache = engine.decoder.make_cache(lengths, num_new)

        self._depth_cache: KeyValueCache | None = None

        if self._heads.depth is not None:
            self._depth_cache = self._heads.depth.make_cache(len(prompts))

        ids = torch.cat(list(prompts)).to(engine.decoder.device)

        hidden = engine.decoder.read(engine.embed(ids), self._cache)

        ends = torch.tensor(lengths, device=hidden.device).cumsum(0) - 1

        return EngineLogits(self._heads, hidden[ends], self._depth_cache)

    @override
    def read(self, ids: Tensor) -> StepLogits:
        hidden = self._engine.decoder.step(self._engine.embed(ids), self._cache)

        return EngineLogits(self._heads, hidden, self._depth_cache)

    @override
    def keep(self, order: Sequence[int]) -> None:
        self._cache.keep(order)

        if self._depth_cache is not None:
            # It holds nothing between two steps.
            self._depth_cache.keep(range(len(order)))


class EngineLogits(StepLogits):
    def __init__(self, heads: Heads, hidden: Tensor, depth_cache: KeyValueCache | None) -> None:
        self._heads = heads
        self._hidden = hidden
        self._depth_cache = depth_cache

        self._projected: Tensor | None = None

        parts = [matrix(hidden) for matrix in heads.matrices]

        self._logits = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    @override
    def stream0(self) -> Tensor:
        return self._logits[:, : self._heads.num_stream0]

    @override
    def others(self) -> Tensor | None:
        sizes = self._heads.sizes

        if self._heads.depth is not None or not sizes or len(set(sizes)) > 1:
            return None

        return self._logits[:, self._heads.num_stream0 :].view(-1, len(sizes), sizes[0])

    @override
    def stream(self, stream: int, ids: Tensor) -> Tensor:
        heads = self._heads

        if heads.depth is not None:
            assert self._depth_cache is not None

            if self._projected is None:
                self._projected = heads.depth.begin(self._hidden, self._depth_cache)

            return heads.depth.logits(self._projected, stream, ids[:, stream - 1], self._depth_cache)

        begin = heads.num_stream0 + sum(heads.sizes[: stream - 1])

        return self._logits[:, begin : begin + heads.sizes[stream - 1]]


class _Depth:
    """The depth transformer, laid out as the backbone."""

    def __init__(self, depth: DepthTransformer, codebooks: Sequence[Tensor], make: MatrixMaker) -> None:
        self._codes_begin = depth.vocabulary.codes_begin
        self._num_streams = depth.vocabulary.num_streams
        self._pad = depth.embed.pad_idx

        # All that is not a code counts as zero.
        self._embed = depth.embed.weight.detach().clone()
        self._embed[self._pad] = 0.0

        self._decoder = FusedDecoder(depth.decoder, make)

        self._hidden = make(depth.hidden_proj.weight.detach(), None)
        self._output = make(depth.output_proj.weight.detach(), None)

        self._books: list[Matrix] = [make(rows, None) for rows in codebooks]

    def make_cache(self, num_rows: int) -> KeyValueCache:
        return self._decoder.make_cache([0] * num_rows, self._num_streams)

    def begin(self, hidden: Tensor, cache: KeyValueCache) -> Tensor:
        """Begins a step.

        :param hidden: The backbone's. *Shape:* [B, D].

        :returns: What each stream reads of it. *Shape:* [B, E].
        """
        cache.rewind()

        return self._hidden(hidden)

    def logits(self, projected: Tensor, stream: int, ids: Tensor, cache: KeyValueCache) -> Tensor:
        """
        :param projected: What :meth:`begin` returned. *Shape:* [B, E].
        :param stream: From 1 upwards, in turn.
        :param ids: What was chosen in the stream before. *Shape:* [B].

        :returns: *Shape:* [B, C_q].
        """
        rows = ids - self._codes_begin

        rows = rows.masked_fill((rows < 0) | (rows >= self._pad), self._pad)

        output = self._decoder.step(functional.embedding(rows, self._embed) + projected, cache)

        return self._books[stream - 1](self._output(output))


def _whole_table(text_rows: Tensor | None, rows: Tensor) -> Tensor:
    """Returns a table that may be cut in two."""
    return rows.detach() if text_rows is None else torch.cat([text_rows.detach(), rows.detach()])
