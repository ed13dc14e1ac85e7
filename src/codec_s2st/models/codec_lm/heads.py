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

from codec_s2st.models.codec_lm.depth import DepthTransformer
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
        self, hidden: Tensor, ids: Tensor, loss_mask: Tensor, packed_lens: Sequence[int] | None = None
    ) -> CodecLMLoss:
        """Computes the loss of predicting step s + 1 from ``hidden`` at step s.

        :param hidden: *Shape:* [B, S, D].
        :param ids: *Shape:* [B, S, Q].
        :param loss_mask: Marks the ids that are targets; a mark at step 0 has no effect. *Shape:* [B, S, Q].
        :param packed_lens: The lengths of sequences that stand one after the other in one row.
        """
        vocabulary = self.vocabulary

        targets, mask = ids[:, 1:], loss_mask[:, 1:]

        hidden = hidden[:, :-1]

        num_rows, rows_of = _number_rows(targets, packed_lens)

        in_text = vocabulary.is_text_space(targets[..., 0])

        sums, counts, row_sums = [], [], hidden.new_zeros(num_rows, dtype=torch.float32)

        spaces = ((mask[..., 0] & in_text, vocabulary.text_space), (mask[..., 0] & ~in_text, vocabulary.speech_space))

        tables = self._stream0_tables()

        for selected, space in spaces:
            logits = logits_of_rows(hidden[selected], tables, space)

            losses = _cross_entropy(logits, targets[..., 0][selected] - space.start)

            sums.append(losses.sum())

            counts.append(selected.sum())

            row_sums = row_sums.index_add(0, rows_of[selected], losses.detach())

        if self.codebook_weight is not None:
            selected = mask[..., 1:].any(dim=-1)

            # [N, Q - 1]
            losses = self._codebook_losses(hidden[selected], targets[selected], mask[..., 1:][selected])

            sums.extend(losses.sum(dim=0).unbind())

            counts.extend(mask[..., 1:].sum(dim=(0, 1)).unbind())

            row_sums = row_sums.index_add(0, rows_of[selected], losses.detach().sum(dim=-1))

        has_target = mask.any(dim=-1)

        stream_sums = torch.stack(sums)

        return CodecLMLoss(
            total=stream_sums.dot(stream_sums.new_tensor(self.loss_weights)),
            num_targets=has_target.sum(),
            stream_sums=stream_sums.detach(),
            stream_counts=torch.stack(counts),
            row_sums=row_sums,
            row_counts=torch.bincount(rows_of[has_target], minlength=num_rows),
        )

    def _codebook_losses(self, hidden: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """
        :param hidden: *Shape:* [N, D].
        :param targets: *Shape:* [N, Q].
        :param mask: *Shape:* [N, Q - 1].

        :returns: Cross entropies, zero where there is no target. *Shape:* [N, Q - 1].
        """
        sizes = self.vocabulary.codebook_sizes[1:]

        offsets = targets.new_tensor(self.vocabulary.codebook_offsets()[1:])

        local = (targets[:, 1:] - offsets).masked_fill(~mask, -100)

        logits = self._codebook_logits(hidden, targets)

        if len(set(sizes)) == 1:
            # One softmax over N * (Q - 1) rows is faster than Q - 1 of them.
            losses = _cross_entropy(logits.view(-1, sizes[0]), local.reshape(-1))

            return losses.view(local.shape)

        return torch.stack(
            [_cross_entropy(part, local[:, i]) for i, part in enumerate(logits.split(sizes, dim=-1))], dim=-1
        )

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


def _number_rows(targets: Tensor, packed_lens: Sequence[int] | None) -> tuple[int, Tensor]:
    """Returns the number of sequences, and which of them each target belongs to, *Shape:* [B, S - 1]."""
    batch_size, num_steps = targets.shape[:2]

    if packed_lens is None:
        return batch_size, torch.arange(batch_size, device=targets.device)[:, None].expand(batch_size, num_steps)

    lens = torch.tensor(packed_lens, device=targets.device)

    # What is right of the last sequence is padding, and not a target.
    starts = torch.arange(1, num_steps + 1, device=targets.device)

    rows = torch.bucketize(starts, lens.cumsum(0), right=True).clamp(max=len(packed_lens) - 1)

    return len(packed_lens), rows[None]


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="none")
