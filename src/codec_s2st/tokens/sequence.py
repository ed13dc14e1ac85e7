"""From segments of text and speech to the ids that a model reads. Legend: S step, T frame, Q stream, N text length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import torch
from torch import Tensor

from codec_s2st.tokens.delay import StreamPattern
from codec_s2st.tokens.units import Frames
from codec_s2st.tokens.vocabulary import FLUSH, SPEECH_BEGIN, SPEECH_END, TEXT_BEGIN, TEXT_END, Vocabulary


class Modality(Enum):
    TAGS = "tags"
    """Task and language tags: ids of specials, with no boundary round them and never in the loss."""

    TEXT = "text"
    SPEECH = "speech"


@dataclass(frozen=True)
class Segment:
    """One piece of a sequence."""

    modality: Modality

    ids: Tensor
    """Tags: ids [K]. Text: the tokenizer's ids [N]. Speech: the codec's codes [T, Q], each below its book's size."""

    in_loss: bool
    """If ``True``, the segment and its boundaries are to be predicted."""


@dataclass(frozen=True)
class TokenSequence:
    """One sequence for the model. ``loss_mask`` is aligned with ``ids``: it marks the ids that are to be predicted."""

    ids: Tensor
    """Ids of the vocabulary. *Shape:* [S, Q], int64."""

    loss_mask: Tensor
    """*Shape:* [S, Q], bool."""

    def __len__(self) -> int:
        return self.ids.size(0)


@dataclass(frozen=True)
class SequenceBuilder:
    """Lays segments end to end: ``(condition)(prompt)(target)`` with boundary tokens round each segment."""

    vocabulary: Vocabulary
    pattern: StreamPattern

    def __post_init__(self) -> None:
        if self.pattern.num_streams != self.vocabulary.num_streams:
            raise ValueError(
                f"`pattern` has {self.pattern.num_streams} streams, but `vocabulary` has {self.vocabulary.num_streams}."
            )

    def build(self, segments: Sequence[Segment]) -> TokenSequence:
        """Returns the sequence of ``segments``.

        :raises ValueError: there is no segment, or ids are out of range.
        """
        if not segments:
            raise ValueError("`segments` must hold at least one segment, but is empty instead.")

        blocks = [self._lay_out(segment) for segment in segments]

        masks = [
            block != self._pad
            if segment.in_loss and segment.modality is not Modality.TAGS
            else torch.zeros_like(block, dtype=torch.bool)
            for segment, block in zip(segments, blocks, strict=True)
        ]

        return TokenSequence(torch.cat(blocks), torch.cat(masks))

    def num_steps(self, modality: Modality, size: int) -> int:
        """Returns the number of steps that a segment takes, boundaries included.

        :param size: The number of its tags, text ids or codec frames.
        """
        if modality is Modality.TAGS:
            return size

        return 2 + (size if modality is Modality.TEXT else self.pattern.num_steps(Frames(size)))

    def opening(self, modality: Modality) -> Tensor:
        """Returns the step that opens a segment to be generated. *Shape:* [1, Q]."""
        block = self._empty(1)

        block[0, 0] = self.vocabulary.special(SPEECH_BEGIN if modality is Modality.SPEECH else TEXT_BEGIN)

        return block

    def _lay_out(self, segment: Segment) -> Tensor:
        """Returns the ids of a segment; where it has none, they are padding. *Shape:* [S, Q]."""
        match segment.modality:
            case Modality.TAGS:
                return self._lay_out_tags(segment.ids)
            case Modality.TEXT:
                return self._lay_out_text(segment.ids)
            case Modality.SPEECH:
                return self._lay_out_speech(segment.ids)

    def _lay_out_tags(self, ids: Tensor) -> Tensor:
        begin, end = self.vocabulary.specials_begin, self.vocabulary.codes_begin

        if ids.numel() and not begin <= int(ids.min()) <= int(ids.max()) < end:
            raise ValueError(f"Ids of tags must be in {begin}..{end - 1}.")

        block = self._empty(ids.numel())

        block[:, 0] = ids

        return block

    def _lay_out_text(self, ids: Tensor) -> Tensor:
        vocabulary = self.vocabulary

        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary.text_size:
            raise ValueError(f"Text ids must be in 0..{vocabulary.text_size - 1}.")

        block = self._empty(ids.numel() + 2)

        block[0, 0] = vocabulary.special(TEXT_BEGIN)
        block[1:-1, 0] = ids
        block[-1, 0] = vocabulary.special(TEXT_END)

        return block

    def _lay_out_speech(self, codes: Tensor) -> Tensor:
        vocabulary = self.vocabulary

        if codes.dim() != 2 or codes.size(1) != vocabulary.num_streams:
            raise ValueError(f"Codes must be of shape [T, {vocabulary.num_streams}], but are {list(codes.shape)}.")

        if codes.numel() and (int(codes.min()) < 0 or bool((codes >= self._sizes).any())):
            raise ValueError(f"Codes must be below the sizes {vocabulary.codebook_sizes} of their code books.")

        steps = self.pattern.apply(codes.to(torch.int64) + self._offsets, self._pad)

        if codes.size(0) and self.pattern.tail_steps:
            steps[-self.pattern.tail_steps :, 0] = vocabulary.special(FLUSH)

        block = self._empty(steps.size(0) + 2)

        block[0, 0] = vocabulary.special(SPEECH_BEGIN)
        block[1:-1] = steps
        block[-1, 0] = vocabulary.special(SPEECH_END)

        return block

    def _empty(self, num_steps: int) -> Tensor:
        return torch.full((num_steps, self.vocabulary.num_streams), self._pad)

    @cached_property
    def _pad(self) -> int:
        return self.vocabulary.pad

    @cached_property
    def _sizes(self) -> Tensor:
        return torch.tensor(self.vocabulary.codebook_sizes)

    @cached_property
    def _offsets(self) -> Tensor:
        return torch.tensor(self.vocabulary.codebook_offsets())
