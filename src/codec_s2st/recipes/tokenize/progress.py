"""The progress bar of the recipe ``tokenize``."""

from __future__ import annotations

import os
import sys
import time
from typing import final

from fairseq2.logging import log
from tqdm import tqdm
from typing_extensions import Self

_SECONDS_BETWEEN_LOGS = 60.0


@final
class TokenizeProgress:
    """Shows the rows that are done, the audio-seconds encoded a second and the time left.

    Where nobody watches (no terminal, or progress bars are switched off), a line is logged every minute instead.
    """

    def __init__(self, num_rows: int, *, enabled: bool) -> None:
        """
        :param num_rows: the rows that this process has to do.
        :param enabled: whether anything is shown.
        """
        has_bar = enabled and sys.stderr.isatty() and "FAIRSEQ2_NO_PROGRESS" not in os.environ

        self._bar = tqdm(total=num_rows, unit="row", desc="tokenize", dynamic_ncols=True, disable=not has_bar)

        self._logs = enabled and not has_bar

        self._num_rows = num_rows
        self._num_done = 0
        self._num_encoded = 0
        self._seconds = 0.0

        self._begin = self._last_log = time.monotonic()

    def __call__(self, num_rows: int, seconds: float) -> None:
        """Takes note that ``num_rows`` rows are done, for which ``seconds`` of audio were encoded."""
        self._num_done += num_rows
        self._num_encoded += num_rows if seconds else 0
        self._seconds += seconds

        now = time.monotonic()

        rate = self._seconds / max(now - self._begin, 1e-9)

        self._bar.set_postfix_str(f"{rate:.1f} audio-s/s", refresh=False)
        self._bar.update(num_rows)

        if self._logs and now - self._last_log >= _SECONDS_BETWEEN_LOGS:
            self._last_log = now

            left = (self._num_rows - self._num_done) * (now - self._begin) / max(self._num_encoded, 1)

            log.info("{:,} of {:,} rows, {:.1f} audio-s/s, {:.0f} min left", self._num_done, self._num_rows, rate, left / 60)  # fmt: skip  # noqa: E501

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ex: object) -> None:
        self._bar.close()
