"""What an experiment has found, as values; ``results.json`` holds the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from codec_s2st import __version__
from codec_s2st.evaluation.resampling import Interval, PairedTests
from codec_s2st.experiment.findings import FindingResult

RESULTS_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class SeedScore:
    """The score of one run."""

    seed: int
    value: float
    num_items: int


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The scores of an arm at a task."""

    arm: str
    task: str
    metric: str
    listener: str | None

    seeds: tuple[SeedScore, ...]

    value: float | None
    """Of the items of all seeds together."""

    interval: Interval | None

    chance: float | None
    topline: float | None
    """The codec's, where the outcome is speech."""

    beside_reference: PairedTests | None
    """Whether it differs from the reference arm; the difference is that of this arm less the reference."""

    @property
    def mean(self) -> float:
        return sum(score.value for score in self.seeds) / len(self.seeds)

    @property
    def range(self) -> tuple[float, float]:
        values = [score.value for score in self.seeds]

        return min(values), max(values)


@dataclass(frozen=True, kw_only=True)
class TextCell:
    """The perplexity of what an arm's fine-tunings start from."""

    arm: str
    tags: bool
    """Whether texts stood behind the tags of pre-training."""

    seeds: tuple[SeedScore, ...]
    value: float
    interval: Interval | None
    choices: float | None
    """The share of questions answered right, a mean over seeds."""

    beside_base: PairedTests | None
    """Whether it differs from the text LLM."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The loss on validation data during a training."""

    run: str
    arm: str
    task: str | None
    """``None`` of pre-training."""

    seed: int
    name: str
    """The entry of the mixture."""

    points: tuple[tuple[int, float], ...]
    """Steps and losses, in nats."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that is there of an experiment."""

    title: str
    arms: dict[str, str]
    """Names and labels."""

    tasks: dict[str, str]
    reference: str
    seeds: tuple[int, ...]

    cells: tuple[Cell, ...]
    retention: tuple[TextCell, ...]
    findings: tuple[FindingResult, ...]
    curves: tuple[Curve, ...]

    missing: tuple[str, ...]
    """What is not there yet, or cannot be, a line each."""

    def to_json(self) -> str:
        data = {"format": RESULTS_FORMAT, "tool": f"codec_s2st {__version__}", **asdict(self)}

        for entry, cell in zip(data["cells"], self.cells, strict=True):
            entry["mean"], entry["range"] = (cell.mean, cell.range) if cell.seeds else (None, None)

        return json.dumps(data, indent=2, ensure_ascii=False)
