"""What is written of a comparison: a table, all numbers, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codec_s2st.data.files import atomic_path
from codec_s2st.evaluation.resampling import Interval
from codec_s2st.evaluation.table import markdown
from codec_s2st.recipes.evaluate.comparison import Comparison, Difference, ScoreKey


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Writes ``comparison.json``, ``comparison.md`` and ``comparison.png``.

    :raises CodecS2STError: the folder cannot be written.
    """
    lines = ["# Comparison", "", markdown(comparison.table()), "", *(f"- {remark}" for remark in comparison.remarks)]

    for name, text in (("comparison.md", "\n".join(lines)), ("comparison.json", comparison.to_json())):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(f"{text}\n", encoding="utf-8")

    draw_comparison(comparison, folder / "comparison.png")


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Draws every difference with its interval, in units of the metric; zero is the first report."""
    from matplotlib.figure import Figure

    groups: dict[ScoreKey, list[Difference]] = {}

    for found in comparison.differences:
        groups.setdefault(ScoreKey(found.metric, found.transcriber, found.language, found.judge), []).append(found)

    heights = [0.8 + 0.3 * len(group) for group in groups.values()]

    figure = Figure(figsize=(8, 0.3 + sum(heights)), layout="constrained")

    all_axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]

    for axes, (key, group) in zip(all_axes, groups.items(), strict=True):
        for row, found in enumerate(group):
            _draw(axes, row, found.tests.interval, found.tests.difference)

        axes.axvline(0.0, color="#888888", linewidth=0.8)

        axes.set_yticks(range(len(group)), [found.second for found in group], fontsize=8)
        axes.set_ylim(len(group) - 0.5, -0.5)

        title = key.metric if key.language is None else f"{key.metric}, {key.language}"

        if key.transcriber is not None:
            title += f", listener {key.transcriber}"

        if key.judge is not None:
            title += f", judge {key.judge}"

        axes.set_title(f"{title}: less {group[0].first} ({group[0].num_items} items)", loc="left", fontsize=9)

    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _draw(axes: Any, row: int, interval: Interval, value: float) -> None:
    sure = interval.low > 0 or interval.high < 0

    axes.plot(interval, (row, row), color="#0072b2", linewidth=2)
    axes.plot([value], [row], "o", color="#0072b2" if sure else "white", markeredgecolor="#0072b2")
