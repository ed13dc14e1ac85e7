"""What a run has forgotten of text while it was trained, as its metrics tell it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codec_s2st import __version__
from codec_s2st.data.files import atomic_path
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.table import markdown
from codec_s2st.recipes.text_report.figures import UNIT, figure_names


@dataclass(frozen=True)
class RetentionPoint:
    """The figures of one validation."""

    step: int

    values: dict[str, float]
    """By name, as in TensorBoard."""


@dataclass(frozen=True)
class ForgettingReport:
    """The figures of a run by step; the first is the model that it started from."""

    run: str

    points: tuple[RetentionPoint, ...]

    @property
    def names(self) -> list[str]:
        """The figures that were measured, in their usual order."""
        return [name for name in figure_names() if any(name in point.values for point in self.points)]

    def table(self) -> list[list[str]]:
        """Returns the cells, the head first: a row a validation; behind a figure, what is gained on the base."""
        base = self.points[0].values if self.points[0].step == 0 else {}

        rows = [["step", *self.names]]

        for point in self.points:
            row = ["base" if point.step == 0 else str(point.step)]

            for name in self.names:
                value = point.values.get(name)

                text = "-" if value is None else f"{value:.4g}"

                if value is not None and name in base and point.step != 0:
                    text += f" ({value - base[name]:+.4g})"

                row.append(text)

            rows.append(row)

        return rows

    def remarks(self) -> list[str]:
        """Returns what a reader has to know, a line each."""
        if self.points[0].step == 0:
            return ["behind a figure: how much more it is than before the first step"]

        return ["it was not measured before the first step, so that there is nothing to compare with"]

    def to_json(self) -> str:
        data = {"format": 1, "tool": f"codec_s2st {__version__}", **asdict(self)}

        for point in data["points"]:
            values = point["values"]

            point["values"] = {name: value if math.isfinite(value) else None for name, value in values.items()}

        return json.dumps(data, indent=2, ensure_ascii=False)


def read_run(run: Path) -> ForgettingReport:
    """Reads the metrics of a run; of a step that was repeated after a restart, the last time counts.

    :raises UserInputError: the folder is of no run, or of one that has measured no texts.
    """
    file = run / "metrics" / "valid" / f"{UNIT}.jsonl"

    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserInputError(
            f"'{run}' holds no {file.relative_to(run)}", hint="train with `text_retention.texts` or `.choices` set"
        ) from None
    except (OSError, UnicodeDecodeError) as ex:
        raise UserInputError(f"'{file}' cannot be read: {ex}") from None

    known = set(figure_names())

    points: dict[int, RetentionPoint] = {}

    for number, line in enumerate(lines, start=1):
        content = _parse(line)

        if content is None:
            # A process that was killed while it wrote leaves half a line behind.
            if number == len(lines):
                break

            raise UserInputError(f"{file}, line {number}: this is no line of metrics")

        values = {name: float(value) for name, value in content.items() if name in known}

        if values:
            points[content["Step"]] = RetentionPoint(content["Step"], values)

    if not points:
        raise UserInputError(f"'{file}' holds no figures", hint="validate at a step of `text_retention.every_n_steps`")

    return ForgettingReport(run.name, tuple(points[step] for step in sorted(points)))


def write_forgetting_report(report: ForgettingReport, folder: Path) -> None:
    """Writes ``forgetting.json``, ``forgetting.md`` and ``forgetting.png``.

    :raises CodecS2STError: the folder cannot be written.
    """
    lines = [
        f"# What {report.run} knows of text",
        "",
        markdown(report.table()),
        "",
        *(f"- {line}" for line in report.remarks()),
        "",
        "![](forgetting.png)",
    ]

    for name, text in (("forgetting.md", "\n".join(lines)), ("forgetting.json", report.to_json())):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")

    with atomic_path(folder / "forgetting.png") as temporary:
        draw_curves(report, temporary)


def draw_curves(report: ForgettingReport, path: Path) -> None:
    """Draws a pane a figure; a dotted line marks the base."""
    from matplotlib.figure import Figure

    num_columns = min(len(report.names), 3)

    num_rows = math.ceil(len(report.names) / num_columns)

    figure = Figure(figsize=(4.2 * num_columns, 3.0 * num_rows), layout="constrained")

    panes = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)

    for name, axes in zip(report.names, panes, strict=False):
        points = [point for point in report.points if name in point.values]

        axes.plot([point.step for point in points], [point.values[name] for point in points], "o-")

        if points[0].step == 0:
            axes.axhline(points[0].values[name], linestyle=":", color="gray")

        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.set_xlabel("step", fontsize=8)

    for axes in panes[len(report.names) :]:
        axes.set_visible(False)

    figure.savefig(path, dpi=110, format="png")


def _parse(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except json.JSONDecodeError:
        return None

    return content if isinstance(content, dict) and isinstance(content.get("Step"), int) else None
