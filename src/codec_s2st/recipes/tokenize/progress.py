"""How far the recipe ``tokenize`` is, over all ranks of a run."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, final

from fairseq2.logging import log
from tqdm import tqdm
from typing_extensions import Self

_SECONDS_BETWEEN_LINES: Final = 60.0

_SECONDS_BETWEEN_NOTES: Final = 5.0


@dataclass
class Count:
    """What was done."""

    num_rows: int = 0
    """The rows that are done, or were there."""

    num_encoded: int = 0
    """The rows whose audio was encoded."""

    seconds: float = 0.0
    """The duration of that audio."""


@final
class CountBoard:
    """Where the ranks of a run note what they have done, and rank 0 reads it.

    A small file a rank in the folder of the run: the ranks never wait for each other, as they would in a collective. A
    note that cannot be written, or read, is left out; the next one may succeed.
    """

    def __init__(self, folder: Path, name: str, rank: int) -> None:
        """
        :param name: tells the runs that share ``folder`` apart.
        """
        self._prefix = f".progress-{name}-"

        self._folder = folder

        self._rank = rank

    def write(self, count: Count) -> None:
        path = self._path(self._rank)

        temporary = path.with_name(f"{path.name}.tmp")

        with suppress(OSError):
            temporary.write_text(json.dumps(asdict(count)))

            temporary.replace(path)

    def read(self, world_size: int) -> Count:
        """Returns the sum over the ranks."""
        total = Count()

        for rank in range(world_size):
            with suppress(OSError, ValueError):
                count = Count(**json.loads(self._path(rank).read_text()))

                total.num_rows += count.num_rows
                total.num_encoded += count.num_encoded
                total.seconds += count.seconds

        return total

    def clear(self) -> None:
        """Removes the notes of all ranks."""
        for path in self._folder.glob(f"{self._prefix}*"):
            path.unlink(missing_ok=True)

    def _path(self, rank: int) -> Path:
        return self._folder / f"{self._prefix}{rank}"


@final
class TokenizeProgress:
    """Shows the rows that are done, the hours of audio encoded an hour, and the time left.

    Where nobody watches (no terminal, or progress bars are switched off), a line is logged every minute instead.
    """

    def __init__(self, num_rows: int, board: CountBoard, *, rank: int, world_size: int) -> None:
        """
        :param num_rows: the rows that all ranks have to do.
        """
        self._board = board
        self._rank = rank
        self._world_size = world_size
        self._num_rows = num_rows

        has_bar = rank == 0 and sys.stderr.isatty() and "FAIRSEQ2_NO_PROGRESS" not in os.environ

        self._bar = tqdm(
            total=num_rows,
            desc="tokenize",
            dynamic_ncols=True,
            disable=not has_bar,
            # The time left that tqdm knows takes rows that were there for rows that were encoded.
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} rows [{elapsed}{postfix}]",
        )

        self._shows_after = 1.0 if has_bar else _SECONDS_BETWEEN_LINES

        self._has_bar = has_bar

        self._own = Count()

        self._begin = self._last_note = self._last_shown = time.monotonic()

    def __call__(self, num_rows: int, seconds: float) -> None:
        """Takes note that ``num_rows`` rows are done, for which ``seconds`` of audio were encoded."""
        self._own.num_rows += num_rows
        self._own.num_encoded += num_rows if seconds else 0
        self._own.seconds += seconds

        now = time.monotonic()

        if self._world_size > 1 and now - self._last_note >= _SECONDS_BETWEEN_NOTES:
            self._last_note = now

            self._board.write(self._own)

        if self._rank == 0 and now - self._last_shown >= self._shows_after:
            self._last_shown = now

            self._show(self._total(), now - self._begin)

    def _total(self) -> Count:
        return self._board.read(self._world_size) if self._world_size > 1 else self._own

    def _show(self, total: Count, elapsed: float) -> None:
        words = f"{total.seconds / elapsed:.1f} audio-hours an hour"

        if total.num_encoded:
            # Rows that were there cost nothing.
            words += f", {_format(elapsed * (self._num_rows - total.num_rows) / total.num_encoded)} left"

        if self._has_bar:
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(total.num_rows - self._bar.n)
        else:
            log.info("{:,} of {:,} rows, {}", total.num_rows, self._num_rows, words)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ex: object) -> None:
        if self._world_size > 1:
            self._board.write(self._own)

        self._bar.close()


def _format(seconds: float) -> str:
    minutes = round(seconds / 60)

    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
