"""Cuts a long signal into pieces that overlap, so that each can be worked on by itself. Legend: N samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a signal, with what is before and after it."""

    samples: Tensor
    """*Shape:* [1, N]."""

    num_before: int
    """How many of the samples were new in an earlier window."""

    num_new: int
    """How many samples are new; those that follow will be new in a later window."""

    is_last: bool


def cut_windows(blocks: Iterable[Tensor], *, size: int, before: int, after: int) -> Iterator[Window]:
    """Yields windows of ``size`` new samples each, of which the last one may hold up to ``after`` more, or fewer.

    No more than ``before + size + after`` samples and one block are in memory.

    :param blocks: The signal in blocks of any size. *Shape:* [1, n].
    :param before: How many samples stand before the new ones; fewer at the beginning of the signal.
    :param after: How many samples stand behind the new ones; none at the end of the signal.
    """
    parts: list[Tensor] = []

    num_before = num_held = 0

    for block in blocks:
        parts.append(block)

        num_held += block.size(-1)

        # One sample more, so that the last window is known to be the last.
        while num_held > num_before + size + after:
            held = torch.cat(parts, dim=-1)

            yield Window(held[:, : num_before + size + after], num_before, size, False)

            num_done = num_before + size

            num_before = min(before, num_done)

            # A copy: a view would keep what is done in memory.
            parts = [held[:, num_done - num_before :].clone()]

            num_held = parts[0].size(-1)

    if num_held > num_before:
        yield Window(torch.cat(parts, dim=-1), num_before, num_held - num_before, True)
