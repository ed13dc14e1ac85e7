"""From hidden states to predictions: one head a stream, all at the same step.

The heads are *parallel*: each reads the backbone's hidden state. With a depth transformer, those of streams 1..Q-1 read
its output instead, which knows the codes of the streams before.

Legend: B batch, S step, Q stream, D width, N rows (positions that have a target), C size of a code book.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from fairseq2.device import CPU
from fairseq2.gang import FakeGang, Gang
from fairseq2.nn import IncrementalStateBag, Sharded
from torch import Tensor
from torch.nn import Module, Parameter, functional
from typing_extensions import override

from codec_s2st.models.codec_lm.chunked_loss import NO_TARGET, HeadJob, chunked_cross_entropy
from codec_s2st.models.codec_lm.depth import DepthTransformer
from codec_s2st.models.codec_lm.selection import SelectedRows, select_rows
from codec_s2st.models.codec_lm.sharding import gather_rows, init_rows, rows_of_rank
from codec_s2st.models.codec_lm.tables import padded_rows
from codec_s2st.models.codec_lm.text_rows import TEXT_ROWS, cut_table, logits_of_rows
from codec_s2st.tokens.vocabulary import Vocabulary


class CodecLMLoss(NamedTuple):
    """Sums over target positions, so that batches and ranks add up; nothing in it is averaged."""

    total: Tensor
    """The weighted sum of the cross entropies of text and of all streams, in nats. *Shape:* []."""

    num_targets: Tensor
    """The number of steps with at least one target. *Shape:* [], int64."""

    stream_sums: Tensor
    """The summed cross entropy of text (index 0) and of streams 0..Q-1 (indices 1..Q). Detached. *Shape:* [1 + Q]."""

    stream_counts: Tensor
    """The number of targets behind each of ``stream_sums``. *Shape:* [1 + Q], int64."""

    row_sums: Tensor
    """The summed cross entropy of each of the N sequences of the batch. Detached. *Shape:* [N]."""

    row_counts: Tensor
    """The number of steps with a target of each sequence. *Shape:* [N], int64."""


class CodecLMHeads(Module, Sharded):
    """Stream 0 predicts over text, specials and code book 0; streams 1..Q-1 each over their own code book.

    At a text step the softmax of stream 0 runs over text and specials, at any other step over specials and code book 0;
    generation uses the same spaces. A head is computed only at the positions where its target exists; a head without
    rows still runs on zero rows, so that every parameter has a gradient on every rank.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        model_dim: int,
        *,
        std: float,
        text_weight: float = 1.0,
        stream_weights: Sequence[float] = (),
        rows_multiple_of: int = 1,
        tp_gang: Gang | None = None,
        depth: DepthTransformer | None = None,
    ) -> None:
        """
        :param text_weight: The weight of text targets in the loss.
        :param stream_weights: The weight of the codes of each of the Q streams in the loss; if empty, 1 each.
        :param rows_multiple_of: Each table is padded at its end to a multiple of so many rows. No softmax runs over
            rows of padding.
        :param tp_gang: If given, the rows of each table are split over its ranks.
        :param depth: If given, what the heads of streams 1..Q-1 read.
        """
        super().__init__()

        self.vocabulary = vocabulary

        self.std = std

        self.loss_weights = (text_weight, *(stream_weights or [1.0] * len(vocabulary.codebook_sizes)))
        """Of text, and of streams 0..Q-1."""

        self.tp_gang = tp_gang or FakeGang(CPU)

        num_rows = rows_of_rank(padded_rows(vocabulary.stream0_size, rows_multiple_of), self.tp_gang)

        self.stream0_weight = Parameter(torch.empty((num_rows, model_dim)))

        num_other = sum(vocabulary.codebook_sizes[1:])

        self.text_weight: Parameter | None

        self.register_parameter(TEXT_ROWS, None)

        self.codebook_weight: Parameter | None

        if num_other:
            num_rows = rows_of_rank(padded_rows(num_other, rows_multiple_of), self.tp_gang)

            self.register_parameter("codebook_weight", Parameter(torch.empty((num_rows, model_dim))))
        else:
            self.register_parameter("codebook_weight", None)

        self.depth: DepthTransformer | None

        self.register_module("depth", depth)

        self.reset_parameters()

    def reset_parameters(self) -> None:
        init_rows(self.stream0_weight, self.tp_gang, std=self.std)

        for table in (self.text_weight, self.codebook_weight):
            if table is not None:
                init_rows(table, self.tp_gang, std=self.std)

    def cut_text_rows(self) -> None:
        """Makes the text's rows the parameter ``text_weight``; ``stream0_weight`` holds the others from then on."""
        self.text_weight, self.stream0_weight = cut_table(self.stream0_weight, self.vocabulary.text_size)

    @override
    def get_shard_dims(self) -> list[tuple[Parameter, int]]:
        tables = (self.stream0_weight, self.codebook_weight)

        return [(table, 0) for table in tables if table is not None]

    @override
    def forward(
        self,
        hidden: Tensor,
        ids: Tensor,
        loss_mask: Tensor,
        packed_lens: Sequence[int] | None = None,
        *,
        selected: SelectedRows | None = None,
    ) -> CodecLMLoss:
        """Computes the loss of predicting step s + 1 from ``hidden`` at step s.

        :param hidden: *Shape:* [B, S, D].
        :param ids: *Shape:* [B, S, Q].
        :param loss_mask: Marks the ids that are targets; a mark at step 0 has no effect. *Shape:* [B, S, Q].
        :param packed_lens: The lengths of sequences that stand one after the other in one row.
        :param selected: What :func:`select_rows` returns for the same batch, where that is known already.
        """
        vocabulary = self.vocabulary

        rows = select_rows(vocabulary, ids, loss_mask, packed_lens) if selected is None else selected

        flat = hidden.reshape(-1, hidden.size(-1))

        tables = self._stream0_tables()

        jobs = [
            HeadJob(flat[rows.text], vocabulary.text_space, rows.text_targets[:, None], self.loss_weights[:1]),
            HeadJob(flat[rows.speech], vocabulary.speech_space, rows.speech_targets[:, None], self.loss_weights[1:2]),
        ]

        total, losses = chunked_cross_entropy(tables, jobs)

        sums = [part.sum(dim=0) for part in losses]

        row_sums = hidden.new_zeros(rows.num_sequences, dtype=torch.float32)

        for part, idx in zip(losses, (rows.text, rows.speech), strict=True):
            row_sums.index_add_(0, rows.sequences[idx], part[:, 0])

        if self.codebook_weight is not None:
            # [N, Q - 1]
            codebook_total, codebook_losses = self._codebook_losses(flat[rows.codes], rows.code_ids, rows.code_mask)

            total = total + codebook_total

            sums.append(codebook_losses.sum(dim=0))

            row_sums.index_add_(0, rows.sequences[rows.codes], codebook_losses.sum(dim=-1))

        return CodecLMLoss(
            total=total,
            num_targets=rows.num_targets,
            stream_sums=torch.cat(sums),
            stream_counts=rows.stream_counts,
            row_sums=row_sums,
            row_counts=rows.row_counts,
        )

    def _codebook_losses(self, hidden: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """
        :param hidden: *Shape:* [N, D].
        :param targets: *Shape:* [N, Q].
        :param mask: *Shape:* [N, Q - 1].

        :returns: The weighted sum, and cross entropies, zero where there is no target. *Shape:* [], [N, Q - 1].
        """
        vocabulary = self.vocabulary

        sizes, weights = vocabulary.codebook_sizes[1:], self.loss_weights[2:]

        offsets = vocabulary.codebook_offsets()[1:]

        # A copy to a GPU that is not told otherwise waits for all that it has yet to do.
        begins = torch.tensor(offsets).to(targets.device, non_blocking=True)

        local = (targets[:, 1:] - begins).masked_fill(~mask, NO_TARGET)

        tables = [self._codebook_rows()]

        if self.depth is None and len(set(sizes)) == 1:
            # One softmax over N * (Q - 1) rows is faster than Q - 1 of them.
            jobs = [HeadJob(hidden, range(sum(sizes)), local, weights)]
        else:
            if self.depth is None:
                by_stream = [hidden] * len(sizes)
            else:
                # [N, Q - 1, D]
                by_stream = list(self.depth(hidden, targets[:, :-1]).unbind(dim=1))

            jobs = []

            for i, (size, offset) in enumerate(zip(sizes, offsets, strict=True)):
                rows = range(offset - offsets[0], offset - offsets[0] + size)

                jobs.append(HeadJob(by_stream[i], rows, local[:, i, None], weights[i : i + 1]))

        total, losses = chunked_cross_entropy(tables, jobs)

        return total, torch.cat(losses, dim=-1)

    def _codebook_logits(self, hidden: Tensor, ids: Tensor | None) -> Tensor:
        """Returns the logits of streams 1..Q-1, one after the other. *Shape:* [N, C_1 + .. + C_(Q-1)].

        :param ids: Those of the step that is predicted. *Shape:* [N, Q].
        """
        weight = self._codebook_rows()

        if self.depth is None:
            return functional.linear(hidden, weight)

        if ids is None:
            raise ValueError("`ids` must be given, since a depth transformer reads them.")

        # [N, Q - 1, D]
        by_stream = self.depth(hidden, ids[:, :-1])

        parts = weight.split(self.vocabulary.codebook_sizes[1:])

        return torch.cat([functional.linear(by_stream[:, i], part) for i, part in enumerate(parts)], dim=-1)

    def stream0_logits(self, hidden: Tensor, space: range | None = None) -> Tensor:
        """
        :param hidden: *Shape:* [N, D].
        :param space: The ids that are asked for; by default all.

        :returns: *Shape:* [N, text + specials + C_0], or [N, size of the space].
        """
        return logits_of_rows(hidden, self._stream0_tables(), space or range(self.vocabulary.stream0_size))

    def _stream0_tables(self) -> list[Tensor]:
        """Returns the rows of stream 0; where those of the text are a parameter of their own, in two tables."""
        rows = gather_rows(self.stream0_weight, self.tp_gang)

        return [rows] if self.text_weight is None else [self.text_weight, rows]

    def _codebook_rows(self) -> Tensor:
        assert self.codebook_weight is not None

        return gather_rows(self.codebook_weight, self.tp_gang)[: sum(self.vocabulary.codebook_sizes[1:])]

    def logits(self, hidden: Tensor, ids: Tensor | None = None, *, space: range | None = None) -> tuple[Tensor, ...]:
        """Returns the logits of each stream of steps that are known.

        :param hidden: *Shape:* [N, D].
        :param ids: The ids of the steps that are predicted; a depth transformer shows each stream those before it.
            *Shape:* [N, Q].
        :param space: The ids of stream 0 that are asked for; by default all.

        :returns: Q tensors: [N, text + specials + C_0] first, or [N, size of the space], then [N, C_q] each.
        """
        stream0 = self.stream0_logits(hidden, space)

        if self.codebook_weight is None:
            return (stream0,)

        return (stream0, *self._codebook_logits(hidden, ids).split(self.vocabulary.codebook_sizes[1:], dim=-1))

    def step(self, hidden: Tensor) -> HeadsStep:
        """Begins the choice of a step's ids, stream by stream.

        :param hidden: *Shape:* [N, D].
        """
        return HeadsStep(self, hidden)


class HeadsStep:
    """The logits of one step, while its streams are being chosen."""

    def __init__(self, heads: CodecLMHeads, hidden: Tensor) -> None:
        self._heads = heads
        self._hidden = hidden

        self._parallel: tuple[Tensor, ...] | None = None

        self._state_bag = IncrementalStateBag(heads.vocabulary.num_streams)

    def logits(self, stream: int, ids: Tensor | None = None) -> Tensor:
        """
        :param stream: From 0 upwards, each once.
        :param ids: What was chosen in the streams before ``stream``; the rest is not read. *Shape:* [N, Q].

        :returns: *Shape:* [N, text + specials + C_0] for stream 0, else [N, C_q].
        """
        heads, hidden = self._heads, self._hidden

        if stream == 0:
            return heads.stream0_logits(hidden)

        assert ids is not None

        sizes = heads.vocabulary.codebook_sizes[1:]

        if heads.depth is None:
            if self._parallel is None:
                self._parallel = heads._codebook_logits(hidden, ids).split(sizes, dim=-1)

            return self._parallel[stream - 1]

        output = heads.depth(hidden, ids[:, stream - 1 : stream], state_bag=self._state_bag)

        self._state_bag.increment_step_nr()

        return functional.linear(output[:, 0], heads._codebook_rows().split(sizes)[stream - 1])
