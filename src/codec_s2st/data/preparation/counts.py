"""What was taken of a corpus, and what was left out and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from codec_s2st.data.corpora.corpus import Skipped
from codec_s2st.data.manifest_row import SIDES, ManifestRow

_NUM_EXAMPLES: Final = 5

ProgressHook = Callable[[bool], None]
"""Called for each utterance, with whether it was taken."""


@dataclass(frozen=True)
class LeftOut:
    """Utterances that were left out for one reason."""

    reason: str
    num: int
    expected: bool
    examples: tuple[str, ...]


class Tally:
    """Counts rows and their hours, and what was left out, by reason, with the first examples."""

    def __init__(self, progress: ProgressHook) -> None:
        self._progress = progress
        self._left_out: Counter[tuple[str, bool]] = Counter()
        self._examples: dict[tuple[str, bool], list[str]] = {}

        self._rows: Counter[str] = Counter()
        """By split."""

        self._seconds: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        """By split, side and language."""

    @property
    def num_rows(self) -> int:
        """The number of rows that were added."""
        return self._rows.total()

    def count(self, row: ManifestRow | Skipped) -> None:
        """Tells of an utterance that it was taken, or counts why it was left out."""
        self._progress(isinstance(row, ManifestRow))

        if isinstance(row, Skipped):
            key = (row.reason, row.expected)

            self._left_out[key] += 1

            examples = self._examples.setdefault(key, [])

            if len(examples) < _NUM_EXAMPLES:
                examples.append(row.where)

    def add(self, frame: pl.DataFrame) -> None:
        """Adds the rows of a piece of the manifest."""
        self._rows.update(dict(frame.group_by("split").len().iter_rows()))

        for side in SIDES:
            lang, seconds = f"{side}_lang", f"{side}_seconds"

            spoken = frame.filter(pl.col(seconds).is_not_null())

            for split, name, total in spoken.group_by("split", lang).agg(pl.col(seconds).sum()).iter_rows():
                self._seconds[split, side, name] += total

    def hours(self, of_split: str | None = None) -> dict[str, float]:
        """Returns the hours of audio, by side and language (``source spa``)."""
        hours: defaultdict[str, float] = defaultdict(float)

        for (split, side, lang), seconds in self._seconds.items():
            if of_split in (None, split):
                hours[f"{side} {lang}"] += seconds / 3600

        return dict(sorted(hours.items()))

    def splits(self) -> dict[str, Any]:
        """Returns the number of rows and the hours of each split."""
        splits: dict[str, Any] = {}

        for split, num_rows in sorted(self._rows.items()):
            # Sums of floats depend on their order, and so on the machine, in the last digits.
            hours = {name: round(value, 6) for name, value in self.hours(split).items()}

            splits[split] = {"num_rows": num_rows, "hours": hours}

        return splits

    def left_out(self) -> tuple[LeftOut, ...]:
        """Returns what was left out, flaws first, the most frequent first."""
        keys = sorted(self._left_out, key=lambda key: (key[1], -self._left_out[key], key[0]))

        return tuple(LeftOut(key[0], self._left_out[key], key[1], tuple(self._examples[key])) for key in keys)
