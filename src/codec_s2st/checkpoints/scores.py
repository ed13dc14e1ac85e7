"""The validation scores of checkpoints, and which checkpoints are not kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec_s2st.errors import CodecS2STError


@dataclass(frozen=True)
class Scores:
    """A file a step, as fairseq2 has them."""

    folder: Path

    def write(self, step: int, score: float) -> None:
        """
        :raises OSError: it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)

        file = self._file_of(step)

        temporary = file.with_suffix(".tmp")

        temporary.write_text(f"{score}\n")

        temporary.rename(file)

    def read(self, steps: Sequence[int]) -> list[tuple[float, int]]:
        """Returns the scores that there are of ``steps``, the best first, with their steps.

        :raises CodecS2STError: a file holds no number.
        """
        output = []

        for step in steps:
            file = self._file_of(step)

            if file.is_file():
                try:
                    output.append((float(file.read_text().split("\n")[0]), step))
                except ValueError:
                    raise CodecS2STError(f"{file} holds no score", hint="remove it") from None

        return sorted(output, reverse=True)

    def remove(self, step: int) -> None:
        self._file_of(step).unlink(missing_ok=True)

    def _file_of(self, step: int) -> Path:
        return self.folder / f"step_{step}.txt"


def find_stale(
    steps: Sequence[int],
    scores: Sequence[tuple[float, int]],
    keep_last_n: int | None,
    keep_best_n: int | None,
    keep_every_n_steps: int | None,
) -> list[int]:
    """Returns the steps that no rule keeps; without a rule all are kept, and the last one always is.

    :param steps: In order.
    :param scores: With their steps, the best first.
    """
    if not steps or (keep_last_n is None and keep_best_n is None and keep_every_n_steps is None):
        return []

    kept = {*steps[-(keep_last_n or 1) :], *(step for _, step in scores[: keep_best_n or 0])}

    if keep_every_n_steps is not None:
        kept.update(step for step in steps if step % keep_every_n_steps == 0)

    return [step for step in steps if step not in kept]
