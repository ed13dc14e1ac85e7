"""Sequences as lines of text, and as a picture. Legend: S step, Q stream."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from codec_s2st.data.files import atomic_path
from codec_s2st.tokens.sequence import TokenSequence
from codec_s2st.tokens.vocabulary import Vocabulary

_SHOWN_AT_ENDS: Final = 3
"""Of a run of steps that hold codes alone, so many at each end are printed."""

# Colour blind readers tell these apart (Okabe and Ito).
_COLOURS: Final = {"padding": "#f4f4f4", "special": "#000000", "text": "#0072b2", "code": "#e69f00"}


@dataclass(frozen=True)
class ShownSequence:
    title: str
    sequence: TokenSequence
    names: list[list[str]]
    """The name of each id, empty for padding. *Shape:* [S][Q]."""


def name_ids(ids: Tensor, vocabulary: Vocabulary, decode: Callable[[Tensor], str]) -> list[list[str]]:
    """Returns a readable name for each id; a text id is shown as the text that it stands for.

    :param ids: *Shape:* [S, Q].
    :param decode: Turns ids of the tokenizer into text.
    """

    def name(token: int) -> str:
        if token == vocabulary.pad:
            return ""

        if token < vocabulary.text_size:
            return repr(decode(torch.tensor([token])))

        return vocabulary.name_of(token)

    return [[name(token) for token in step] for step in ids.tolist()]


def format_sequence(shown: ShownSequence, vocabulary: Vocabulary, *, whole: bool = False) -> str:
    """Returns a line a step, with a column a stream; ``*`` marks what is in the loss.

    :param whole: If ``False``, the middle of long runs of codes is left out.
    """
    ids, mask = shown.sequence.ids, shown.sequence.loss_mask.tolist()

    is_code = (ids[:, 0] >= vocabulary.codes_begin).tolist()

    hidden = set() if whole else _middles(is_code)

    cells = [
        [f"{name}{'*' if marked else ''}" for name, marked in zip(names, marks, strict=True)]
        for names, marks in zip(shown.names, mask, strict=True)
    ]

    widths = [max(len(row[q]) for row in cells) for q in range(ids.size(1))]

    lines = [shown.title]

    for step, row in enumerate(cells):
        if step not in hidden:
            line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))

            lines.append(f"{step:5}  {line}".rstrip())
        elif step - 1 not in hidden:
            lines.append(f"    …  {_run_length(hidden, step)} more steps of codes")

    return "\n".join(lines)


def _middles(is_code: Sequence[bool]) -> set[int]:
    hidden: set[int] = set()

    begin = 0

    for step in range(len(is_code) + 1):
        if step == len(is_code) or not is_code[step]:
            middle = range(begin + _SHOWN_AT_ENDS, step - _SHOWN_AT_ENDS)

            # One line says that steps are left out: it must stand for more than one.
            if len(middle) > 1:
                hidden.update(middle)

            begin = step + 1

    return hidden


def _run_length(hidden: set[int], step: int) -> int:
    length = 0

    while step + length in hidden:
        length += 1

    return length


def draw_sequences(shown: Sequence[ShownSequence], vocabulary: Vocabulary, path: Path) -> None:
    """Writes a picture of sequences: streams from top to bottom, steps from left to right, full colour in the loss."""
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    num_streams = vocabulary.num_streams

    figure = Figure(figsize=(12, 1.0 + len(shown) * (0.8 + 0.22 * num_streams)), layout="constrained")

    for item, axes in zip(shown, figure.subplots(len(shown), 1, squeeze=False)[:, 0], strict=True):
        # [Q, S]
        ids, mask = item.sequence.ids.T, item.sequence.loss_mask.T

        image = torch.ones((*ids.shape, 3))

        kinds = {
            "padding": ids == vocabulary.pad,
            "text": ids < vocabulary.text_size,
            "special": (ids >= vocabulary.text_size) & (ids < vocabulary.codes_begin) & (ids != vocabulary.pad),
            "code": ids >= vocabulary.codes_begin,
        }

        for kind, where in kinds.items():
            image[where] = torch.tensor(to_rgb(_COLOURS[kind]))

        # What is not predicted is paler.
        pale = ~mask & ~kinds["padding"]

        image[pale] = 0.35 * image[pale] + 0.65

        axes.imshow(image.numpy(), aspect="auto", interpolation="nearest")

        axes.set_title(item.title, loc="left", fontsize=9)
        axes.set_yticks(range(num_streams), [f"stream {q}" for q in range(num_streams)], fontsize=7)
        axes.set_xlabel("step", fontsize=8)

    handles = [Patch(color=colour, label=kind) for kind, colour in _COLOURS.items() if kind != "padding"]

    figure.legend(handles=handles, loc="outside upper right", ncols=3, fontsize=8, title="pale: not in the loss")

    path.parent.mkdir(parents=True, exist_ok=True)

    with atomic_path(path) as temporary, warnings.catch_warnings():
        # Its font lacks letters of some rows' ids, which are boxes then; the text above has them.
        warnings.filterwarnings("ignore", message=r"Glyph \d+")

        figure.savefig(temporary, dpi=120, format=path.suffix.removeprefix("."))
