"""A batch of sequences. Legend: B batch, S step, Q stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq2.device import Device, SupportsDeviceTransfer
from torch import Tensor
from typing_extensions import override

from codec_s2st.tokens.sequence import TokenSequence


@dataclass
class SpeechTextBatch(SupportsDeviceTransfer):
    """Sequences, one a row and padded on the right to the longest of them; or packed, all in one row."""

    ids: Tensor
    """*Shape:* [B, S, Q], int64; B is 1 if they are packed."""

    loss_mask: Tensor
    """*Shape:* [B, S, Q], bool; false in the padding."""

    tasks: list[str]
    """The task of each sequence."""

    row_ids: list[str]
    """The utterance id of each sequence."""

    num_steps: int
    """The number of steps that are not padding."""

    num_frames: int
    """The number of codec frames that the sequences hold."""

    packed_lens: list[int] | None = None
    """The lengths of packed sequences, which stand one after the other; ``None`` if they are not packed."""

    num_targets: int = field(init=False)
    """The number of steps with a target, counted before the batch travels to a GPU, whose answer takes long."""

    def __post_init__(self) -> None:
        # What stands at the first step is predicted by none.
        self.num_targets = int(self.loss_mask[:, 1:].any(dim=-1).sum())

    @property
    def batch_size(self) -> int:
        """The number of sequences."""
        return len(self.row_ids)

    def __getstate__(self) -> dict[str, object]:
        # As arrays: between processes, torch would pass tensors through its own machinery of shared files.
        return {**vars(self), "ids": self.ids.numpy(), "loss_mask": self.loss_mask.numpy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, ids=torch.from_numpy(state["ids"]), loss_mask=torch.from_numpy(state["loss_mask"]))

    @override
    def to(self, device: Device, *, non_blocking: bool = False) -> None:
        self.ids = self.ids.to(device, non_blocking=non_blocking)

        self.loss_mask = self.loss_mask.to(device, non_blocking=non_blocking)


def collate(
    sequences: Sequence[TokenSequence], tasks: Sequence[str], row_ids: Sequence[str], *, pad: int, num_frames: int
) -> SpeechTextBatch:
    """Returns the padded batch of ``sequences``.

    :param pad: The padding id.
    :param num_frames: The number of codec frames in them.
    """
    num_steps = [len(sequence) for sequence in sequences]

    shape = (len(sequences), max(num_steps), sequences[0].ids.size(1))

    ids = torch.full(shape, pad)

    loss_mask = torch.zeros(shape, dtype=torch.bool)

    for i, sequence in enumerate(sequences):
        ids[i, : num_steps[i]] = sequence.ids

        loss_mask[i, : num_steps[i]] = sequence.loss_mask

    return SpeechTextBatch(ids, loss_mask, list(tasks), list(row_ids), sum(num_steps), num_frames)


def collate_packed(
    sequences: Sequence[TokenSequence],
    tasks: Sequence[str],
    row_ids: Sequence[str],
    *,
    pad: int,
    num_frames: int,
    num_steps: int,
) -> SpeechTextBatch:
    """Returns the packed batch of ``sequences``.

    :param num_steps: The length of the row; what the sequences leave of it is padding.
    """
    lens = [len(sequence) for sequence in sequences]

    ids = torch.full((1, num_steps, sequences[0].ids.size(1)), pad)

    loss_mask = torch.zeros_like(ids, dtype=torch.bool)

    torch.cat([sequence.ids for sequence in sequences], out=ids[0, : sum(lens)])

    torch.cat([sequence.loss_mask for sequence in sequences], out=loss_mask[0, : sum(lens)])

    return SpeechTextBatch(ids, loss_mask, list(tasks), list(row_ids), sum(lens), num_frames, lens)
