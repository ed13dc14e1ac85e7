"""Which rows of hidden states each head reads: those that have a target, and no other.

Legend: B batch, S step, Q stream, N rows of some head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from codec_s2st.tokens.vocabulary import Vocabulary


class SelectedRows(NamedTuple):
    """A row is a number into the B * S hidden states; it predicts what stands one step further."""

    text: Tensor
    """Those that predict over text and specials. *Shape:* [N], int64."""

    text_targets: Tensor
    """Counted from the begin of that space. *Shape:* [N]."""

    speech: Tensor
    """Those that predict stream 0 over specials and code book 0. *Shape:* [N]."""

    speech_targets: Tensor
    """*Shape:* [N]."""

    codes: Tensor
    """Those with a target in streams 1..Q-1. *Shape:* [N]."""

    code_ids: Tensor
    """The ids of the steps that these predict. *Shape:* [N, Q]."""

    code_mask: Tensor
    """Which of them are targets. *Shape:* [N, Q - 1]."""

    sequences: Tensor
    """The sequence of the step that each hidden state predicts. *Shape:* [B * S]."""

    num_sequences: int

    num_targets: Tensor
    """The number of steps with a target. *Shape:* []."""

    stream_counts: Tensor
    """The targets of text, and of each stream. *Shape:* [1 + Q]."""

    row_counts: Tensor
    """The steps with a target of each sequence. *Shape:* [number of sequences]."""


@torch.no_grad()
def select_rows(
    vocabulary: Vocabulary, ids: Tensor, loss_mask: Tensor, packed_lens: Sequence[int] | None = None
) -> SelectedRows:
    """Finds the rows of a batch.

    How many there are decides about shapes, so that on a GPU the host waits here for what it has asked for before. That
    costs nothing as long as it is asked before the backbone, and not behind it.

    :param ids: *Shape:* [B, S, Q].
    :param loss_mask: Marks the ids that are targets; a mark at step 0 has no effect. *Shape:* [B, S, Q].
    :param packed_lens: The lengths of sequences that stand one after the other in one row.
    """
    # Step s predicts step s + 1, and the last one nothing.
    next_ids, mask = ids.roll(-1, dims=1).flatten(0, 1), loss_mask.roll(-1, dims=1)

    mask[:, -1] = False

    mask = mask.flatten(0, 1)

    in_text = vocabulary.is_text_space(next_ids[:, 0])

    is_text, is_speech, has_codes = mask[:, 0] & in_text, mask[:, 0] & ~in_text, mask[:, 1:].any(dim=-1)

    text, speech, codes = (part.nonzero().squeeze(-1) for part in (is_text, is_speech, has_codes))

    num_sequences, sequences = _number_sequences(ids, packed_lens)

    has_target = mask.any(dim=-1)

    row_counts = torch.zeros(num_sequences, dtype=torch.int64, device=ids.device)

    return SelectedRows(
        text=text,
        text_targets=next_ids[text, 0] - vocabulary.text_space.start,
        speech=speech,
        speech_targets=next_ids[speech, 0] - vocabulary.speech_space.start,
        codes=codes,
        code_ids=next_ids[codes],
        code_mask=mask[codes, 1:],
        sequences=sequences,
        num_sequences=num_sequences,
        num_targets=has_target.sum(),
        stream_counts=torch.cat([is_text.sum()[None], is_speech.sum()[None], mask[:, 1:].sum(dim=0)]),
        row_counts=row_counts.index_add_(0, sequences, has_target.long()),
    )


def _number_sequences(ids: Tensor, packed_lens: Sequence[int] | None) -> tuple[int, Tensor]:
    """Returns the number of sequences, and which of them the step after each belongs to, *Shape:* [B * S]."""
    batch_size, num_steps = ids.shape[:2]

    if packed_lens is None:
        return batch_size, torch.arange(batch_size, device=ids.device).repeat_interleave(num_steps)

    numbers = torch.arange(len(packed_lens)).repeat_interleave(torch.tensor(packed_lens))

    # What is right of the last sequence is padding, and not a target.
    sequences = torch.full((num_steps,), len(packed_lens) - 1)

    sequences[: len(numbers)] = numbers

    return len(packed_lens), sequences.roll(-1).to(ids.device)
