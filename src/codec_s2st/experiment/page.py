"""The results as one page with plots, which needs no other file and no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any, Final

from codec_s2st.data.files import atomic_path
from codec_s2st.experiment.results import Cell, Results
from codec_s2st.experiment.results_files import remarks, tables

_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")


def write_page(results: Results, folder: Path) -> Path:
    """Writes ``results.html``.

    :raises CodecS2STError: the folder cannot be written.
    """
    parts = [f"<h2>{escape(title)}</h2>{_table(cells)}" for title, cells in tables(results)]

    plots = [("Scores and their intervals", _draw_scores(results)), ("Loss on validation data", _draw_curves(results))]

    parts += [
        f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{b64encode(png).decode()}">'
        for title, png in plots
        if png is not None
    ]

    text = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(results.title),
        parts="".join(parts),
        remarks="".join(f"<li>{escape(line)}</li>" for line in remarks(results)),
    )

    file = folder / "results.html"

    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")

    return file


def _table(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = (
        "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
        for row, tag in zip(cells, ["th", *["td"] * (len(cells) - 1)], strict=True)
    )

    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>"


def _draw_scores(results: Results) -> bytes | None:
    """Draws a picture a task: each arm's score with its interval, and a point a seed."""
    groups: dict[str, list[Cell]] = {}

    for cell in results.cells:
        if cell.value is not None:
            groups.setdefault(cell.task, []).append(cell)

    if not groups:
        return None

    figure, all_axes = _figure(len(groups), height=0.8 + 0.35 * len(results.arms))

    for axes, (task, cells) in zip(all_axes, groups.items(), strict=True):
        for row, cell in enumerate(cells):
            colour = _colour(results, cell.arm)

            if cell.interval is not None:
                axes.plot(cell.interval, (row, row), color=colour, linewidth=2)

            axes.plot([cell.value], [row], "o", color=colour)

            axes.plot([score.value for score in cell.seeds], [row] * len(cell.seeds), "|", color=colour, markersize=12)

        axes.set_yticks(range(len(cells)), [results.arms[cell.arm] for cell in cells], fontsize=8)
        axes.set_ylim(len(cells) - 0.5, -0.5)
        axes.set_title(f"{results.tasks[task]}: {cells[0].metric}", loc="left", fontsize=9)

    return _png(figure)


def _draw_curves(results: Results) -> bytes | None:
    """Draws a picture a task: the loss of each seed, the arms in colours."""
    tasks = [task for task in results.tasks if any(curve.task == task for curve in results.curves)]

    if not tasks:
        return None

    figure, all_axes = _figure(len(tasks), height=3.0)

    for axes, task in zip(all_axes, tasks, strict=True):
        labelled: set[str] = set()

        for curve in results.curves:
            if curve.task == task:
                label = None if curve.arm in labelled else results.arms[curve.arm]

                labelled.add(curve.arm)

                steps, losses = zip(*curve.points, strict=True)

                axes.plot(steps, losses, ".-", color=_colour(results, curve.arm), label=label, linewidth=1)

        axes.set_title(results.tasks[task], loc="left", fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.set_ylabel("loss", fontsize=8)
        axes.legend(fontsize=8)

    return _png(figure)


def _figure(num: int, *, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    rows = (num + 1) // 2

    figure = Figure(figsize=(10, rows * height), layout="constrained")

    all_axes = figure.subplots(rows, 2, squeeze=False).ravel()

    for axes in all_axes[num:]:
        axes.set_visible(False)

    return figure, all_axes[:num]


def _colour(results: Results, arm: str) -> str:
    return _COLOURS[list(results.arms).index(arm) % len(_COLOURS)]


def _png(figure: Any) -> bytes:
    content = BytesIO()

    figure.savefig(content, dpi=120, format="png")

    return content.getvalue()
