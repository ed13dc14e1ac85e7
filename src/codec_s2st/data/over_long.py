"""Says how many examples are longer than a run takes, without saying it again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from fairseq2.logging import log


@final
class OverLongLog:
    """Warns when the first examples are too long, and again whenever their number has doubled."""

    def __init__(self, names: Sequence[str], max_seq_len: int, *, cropped: bool) -> None:
        """
        :param names: The tasks of the sources.
        """
        self._names = names
        self._max_seq_len = max_seq_len
        self._cropped = cropped

        self._last = 0

    def tell(self, drawn: Sequence[int], over_long: Sequence[int]) -> None:
        """
        :param drawn: The number of examples of each source so far.
        :param over_long: How many of them are too long.
        """
        total = sum(over_long)

        if total < max(2 * self._last, 1):
            return

        self._last = total

        parts = [f"{num} of {name}" for name, num in zip(self._names, over_long, strict=True) if num]

        what = describe_over_long(sum(drawn), total, self._max_seq_len, cropped=self._cropped)

        log.warning("So far, {}: {}.", what, ", ".join(parts))


def describe_over_long(num_drawn: int, num_over_long: int, max_seq_len: int, *, cropped: bool) -> str:
    fate = "cropped, or left out where a task has several segments" if cropped else "left out"

    return (
        f"{num_over_long} of {num_drawn} examples ({num_over_long / num_drawn:.2%}) are longer than "
        f"`data.max_seq_len`, {max_seq_len} steps, and {fate}"
    )
