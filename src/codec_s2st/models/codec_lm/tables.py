"""Rows of the tables of embedding and heads: how many there are, and how those of new tokens begin.

Legend: V rows of text, N new rows, D width.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import torch
from torch import Generator, Tensor

NewRowsInit: TypeAlias = Literal["normal", "old_rows"]

NEW_ROWS_INITS: Final = ("normal", "old_rows")

_MAX_SAMPLED_ROWS: Final = 8192
"""The mean and the covariance of 150,000 rows are known well enough from so many."""

_BLOCK: Final = 1 << 16


def padded_rows(num_rows: int, multiple: int) -> int:
    """Returns the smallest multiple of ``multiple`` that is not below ``num_rows``.

    Rows of padding stand at the end of a table. No id names one, and no softmax runs over one.
    """
    return -(-num_rows // multiple) * multiple


def draw_new_rows(
    output: Tensor,
    old_rows: Tensor,
    init: NewRowsInit,
    std: float,
    scale: float,
    generator: Generator,
    *,
    precision: torch.dtype,
) -> None:
    """Draws rows for new tokens.

    ``normal`` draws them from a normal with mean 0 and ``std``. ``old_rows`` draws them from the normal that has the
    mean of the old rows and their covariance times ``scale`` squared; both are taken from at most 8,192 rows that are
    spread evenly over the old ones.

    :param output: Where they go; contiguous. *Shape:* [N, D].
    :param old_rows: The rows of the text. *Shape:* [V, D].
    :param precision: The type that they are rounded to, so that they do not depend on the type of ``output``.
    """
    if init == "normal":
        _draw_normal(output.view(-1), std, generator, precision)

        return

    num_sampled = min(old_rows.size(0), _MAX_SAMPLED_ROWS)

    idx = torch.linspace(0, old_rows.size(0) - 1, num_sampled).long()

    sampled = old_rows[idx].float()

    mean = sampled.mean(dim=0)

    # A normal combination of centred rows has their covariance; it needs no factorisation, which fails where there are
    # fewer rows than columns.
    weights = torch.randn((output.size(0), num_sampled), generator=generator)

    deviations: Tensor = weights @ (sampled - mean) * (scale / max(num_sampled - 1, 1) ** 0.5)

    output.copy_((mean + deviations).to(precision))


def _draw_normal(output: Tensor, std: float, generator: Generator, precision: torch.dtype) -> None:
    # In blocks that stay in the cache. What is drawn is what a single call draws: torch draws by 16, and the last 16
    # anew where their number is no multiple of it; so no block may be smaller.
    num_blocks = max(output.numel() // _BLOCK, 1)

    memory = torch.empty(min(output.numel(), 2 * _BLOCK))

    for i in range(num_blocks):
        block = output[i * _BLOCK : (i + 1) * _BLOCK if i + 1 < num_blocks else None]

        block.copy_(memory[: block.numel()].normal_(std=std, generator=generator).to(precision))
