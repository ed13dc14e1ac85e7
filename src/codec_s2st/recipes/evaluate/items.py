"""What became of each row, and the file in which a rank hands it on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from codec_s2st.data.files import atomic_path
from codec_s2st.evaluation.measures import Measure


@dataclass(frozen=True)
class Hypothesis:
    """What a system said."""

    system: str
    """One of the names in :mod:`codec_s2st.evaluation.report`."""

    transcriber: str | None
    """Who heard it; ``None`` if it was text already."""

    text: str


@dataclass(frozen=True, kw_only=True)
class EvaluatedItem:
    """One row of the manifest; the fields are those of ``rank_<r>.jsonl``."""

    id: str
    reference: str
    hypotheses: tuple[Hypothesis, ...] = ()

    language: str | None = None
    """That of the reference, if the manifest says it."""

    output: str | None = None
    """The recording that came out, relative to the report's folder."""

    seconds_in: float = 0.0
    seconds_out: float = 0.0

    work_seconds: float = 0.0
    """Wall time of translating; the rows of a batch share it evenly."""

    finished: bool = True
    """``False`` if the output was cut at its largest length."""

    translated: bool = True

    problems: tuple[str, ...] = ()
    """What could not be done with the row."""

    warnings: tuple[str, ...] = ()
    """What is odd about it, such as silence, or failed for it alone."""

    measures: tuple[Measure, ...] = ()
    """What is measured of speech itself."""

    @property
    def real_time_factor(self) -> float | None:
        seconds = self.seconds_in or self.seconds_out

        return self.work_seconds / seconds if seconds else None


def rank_file(folder: Path, rank: int) -> Path:
    return folder / f"rank_{rank}.jsonl"


def write_items(path: Path, items: Iterable[EvaluatedItem]) -> None:
    """Writes one JSON object a line; the file appears when it is complete."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as fp:
        for item in items:
            fields = {**asdict(item), "real_time_factor": item.real_time_factor}

            fp.write(json.dumps(fields, ensure_ascii=False) + "\n")


def read_items(path: Path) -> list[EvaluatedItem]:
    """Reads what :func:`write_items` wrote."""
    items = []

    # Not `splitlines`, which splits at more than line feeds.
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line:
            continue

        fields = json.loads(line)

        del fields["real_time_factor"]

        fields["hypotheses"] = tuple(Hypothesis(**hypothesis) for hypothesis in fields["hypotheses"])

        fields["measures"] = tuple(Measure(**measure) for measure in fields["measures"])

        for name in ("problems", "warnings"):
            fields[name] = tuple(fields[name])

        items.append(EvaluatedItem(**fields))

    return items
