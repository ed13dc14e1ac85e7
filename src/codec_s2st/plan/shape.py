"""What stands in a batch of a mixture, as far as its cost goes. Legend: S step, Q stream, N text length, T frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from codec_s2st.data.alignment import AlignedSpan
from codec_s2st.data.mixture import MixtureEntry
from codec_s2st.data.shard_format import ShardRow, Side
from codec_s2st.data.slots import Example, LossPolicy
from codec_s2st.data.templates import TaskTemplate, find_template, render
from codec_s2st.tokens.sequence import SequenceBuilder


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """Sums over a batch; fractions where it is an average one."""

    num_steps: float
    """Steps of all sequences, without padding."""

    sum_of_squares: float
    """Of the lengths of the sequences, each of which attends to itself alone."""

    num_text_targets: float
    """Targets of stream 0 that are predicted over text."""

    num_speech_targets: float
    """Targets of stream 0 that are predicted over specials and code book 0."""

    num_code_targets: float
    """Steps at which streams 1..Q-1 have a target."""

    def scaled_to(self, num_steps: float) -> BatchShape:
        """Returns as many such sequences as have ``num_steps`` steps together."""
        factor = num_steps / self.num_steps

        return BatchShape(
            num_steps=num_steps,
            sum_of_squares=factor * self.sum_of_squares,
            num_text_targets=factor * self.num_text_targets,
            num_speech_targets=factor * self.num_speech_targets,
            num_code_targets=factor * self.num_code_targets,
        )


def shape_of_batch(ids: Tensor, loss_mask: Tensor, lens: Sequence[int], builder: SequenceBuilder) -> BatchShape:
    """Counts what the heads will select.

    :param ids: *Shape:* [S, Q].
    :param loss_mask: *Shape:* [S, Q].
    :param lens: The lengths of the sequences.
    """
    # What is at the first step is never predicted.
    targets, mask = ids[1:], loss_mask[1:]

    in_text = builder.vocabulary.is_text_space(targets[:, 0])

    return BatchShape(
        num_steps=sum(lens),
        sum_of_squares=sum(length * length for length in lens),
        num_text_targets=int((mask[:, 0] & in_text).sum()),
        num_speech_targets=int((mask[:, 0] & ~in_text).sum()),
        num_code_targets=int(mask[:, 1:].any(dim=-1).sum()),
    )


def shape_of_mixture(
    entries: Sequence[MixtureEntry],
    own: dict[str, TaskTemplate],
    builder: SequenceBuilder,
    loss: LossPolicy,
    *,
    temperature: float,
    num_frames: int,
    num_text: int,
) -> BatchShape:
    """Returns the average sequence of a mixture whose utterances and texts all have the same lengths.

    Sequences are made as training makes them, of rows that are made up.

    :param num_frames: T of an utterance.
    :param num_text: N of its transcript, and of the translation.

    :raises UserInputError: the mixture names a task that there is not.
    """
    weights = [entry.weight ** (1 / temperature) for entry in entries]

    total, sums = sum(weights), [0.0] * 5

    example = _make_example(builder.vocabulary.num_streams, num_frames, num_text)

    for entry, weight in zip(entries, weights, strict=True):
        sequence = render(
            find_template(entry.task, own),
            example,
            builder,
            # A word of these rows is a token.
            lambda text: torch.zeros(len(text.split()), dtype=torch.int64),
            entry.loss or loss,
        )

        shape = shape_of_batch(sequence.ids, sequence.loss_mask, [len(sequence.ids)], builder)

        for i, value in enumerate(vars(shape).values()):
            sums[i] += weight / total * value

    return BatchShape(
        num_steps=sums[0],
        sum_of_squares=sums[1],
        num_text_targets=sums[2],
        num_speech_targets=sums[3],
        num_code_targets=sums[4],
    )


def _make_example(num_streams: int, num_frames: int, num_text: int) -> Example:
    bounds = np.linspace(0, num_frames, num_text + 1).astype(int).tolist()

    alignment = tuple(AlignedSpan("w", begin, end) for begin, end in pairwise(bounds))

    codes = np.zeros((num_frames, num_streams), dtype=np.int16)

    source, target = (Side(codes, " ".join(["w"] * num_text), lang, "s", alignment) for lang in ("eng", "cmn"))

    return Example(ShardRow("made-up", "train", source, target), voice=codes)
