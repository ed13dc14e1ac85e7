"""Cells to text. Legend: the first row is the head; the first two columns are words, the others numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_NUM_WORD_COLUMNS: Final = 2


def plain(cells: Sequence[Sequence[str]]) -> str:
    """Returns the table for a terminal, columns aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]

    lines = [_join("  ", row, widths) for row in cells]

    lines.insert(1, "  ".join("-" * width for width in widths))

    return "\n".join(lines)


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """Returns the table in Markdown."""
    rules = ["---" if idx < _NUM_WORD_COLUMNS else "---:" for idx in range(len(cells[0]))]

    escaped = [[cell.replace("|", "\\|") for cell in row] for row in cells]

    return "\n".join(f"| {' | '.join(row)} |" for row in [escaped[0], rules, *escaped[1:]])


def _join(separator: str, row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if idx < _NUM_WORD_COLUMNS else cell.rjust(width)
        for idx, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]

    return separator.join(cells).rstrip()
