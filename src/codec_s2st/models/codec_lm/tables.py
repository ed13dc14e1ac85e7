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


def padded_rows(num_rows: int, multiple: int) -> int:
    """Returns the smallest multiple of ``multiple`` that is not below ``num_rows``.

    Rows of padding stand at the end of a table. No id names one, and no softmax runs over one.
    """
    return -(-num_rows // multiple) * multiple


def draw_new_rows(
    old_rows: Tensor, num_rows: int, init: NewRowsInit, std: float, scale: float, generator: Generator
) -> Tensor:
    """Returns rows for new tokens.

    ``normal`` draws them from a normal with mean 0 and ``std``. ``old_rows`` draws them from the normal that has the
    mean of the old rows and their covariance times ``scale`` squared; both are taken from at most 8,192 rows that are
    spread evenly over the old ones.

    :param old_rows: The rows of the text. *Shape:* [V, D].

    :returns: *Shape:* [N, D], float32.
    """
    if init == "normal":
        return torch.randn((num_rows, old_rows.size(1)), generator=generator) * std

    num_sampled = min(old_rows.size(0), _MAX_SAMPLED_ROWS)

    idx = torch.linspace(0, old_rows.size(0) - 1, num_sampled).long()

    sampled = old_rows[idx].float()

    mean = sampled.mean(dim=0)

    # A normal combination of centred rows has their covariance; it needs no factorisation, which fails where there are
    # fewer rows than columns.
    weights = torch.randn((num_rows, num_sampled), generator=generator)

    deviations: Tensor = weights @ (sampled - mean) * (scale / max(num_sampled - 1, 1) ** 0.5)

    return mean + deviations
