"""Counts how often a run is started in vain, so that nothing starts it for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import final

from codec_s2st.errors import CodecS2STError


@final
class Starts:
    """The starts of a run after the same step, of which none has ended well; they are counted in a file."""

    def __init__(self, file: Path, limit: int) -> None:
        self._file = file
        self._limit = limit

    def add(self, step: int) -> None:
        """Counts a start.

        :param step: The step that the run goes on after.

        :raises CodecS2STError: it would be one more than the limit.
        """
        count = self._read(step) + 1

        if count > self._limit:
            raise CodecS2STError(
                f"the run was started {self._limit} times after step {step}, and no checkpoint came of it",
                hint=f"see its log; to try again, remove {self._file} or raise guards.max_idle_starts",
            )

        self._write(step, count)

    def take_back(self, step: int) -> None:
        """Forgets the last start: it has ended by somebody's will."""
        self._write(step, max(self._read(step) - 1, 0))

    def clear(self) -> None:
        """Forgets all: the run has ended well."""
        self._file.unlink(missing_ok=True)

    def _read(self, step: int) -> int:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))

            return int(content["count"]) if content["step"] == step else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _write(self, step: int, count: int) -> None:
        temporary = self._file.with_suffix(".tmp")

        temporary.write_text(json.dumps({"step": step, "count": count}), encoding="utf-8")

        temporary.rename(self._file)
