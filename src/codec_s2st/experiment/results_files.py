"""The results as tables, for people, and as ``results.json`` and ``results.md``."""

from __future__ import annotations

from pathlib import Path

from codec_s2st.data.files import atomic_path
from codec_s2st.evaluation.report import format_value
from codec_s2st.evaluation.resampling import Interval, PairedTests
from codec_s2st.evaluation.table import markdown, plain
from codec_s2st.experiment.findings import LEVEL, MISSING, CheckResult
from codec_s2st.experiment.results import Cell, Results

Table = list[list[str]]

_PERPLEXITY = "perplexity"


def tables(results: Results) -> list[tuple[str, Table]]:
    """Returns the titles and the cells of all tables, the head first."""
    found = [
        ("Scores", _scores(results)),
        (f"Beside {results.arms[results.reference]}", _beside(results)),
        ("What is known of text before fine-tuning", _retention(results)),
        ("Findings", _findings(results)),
    ]

    return [(title, table) for title, table in found if len(table) > 1]


def remarks(results: Results) -> list[str]:
    """Returns what has to be known of the tables, a line each."""
    seeds = ", ".join(map(str, results.seeds))

    lines = [
        f"seeds {seeds}; in brackets the 95 % interval, by a bootstrap over items, of which each is drawn for all seeds"
        " at once",
        f"p-values are the paired bootstrap's, of one comparison each; below {LEVEL}, and if the interval does"
        " not hold zero, they decide a check",
        "a statement is confirmed if all of its checks are, and refuted if one is",
    ]

    if len(results.seeds) > 1:
        lines.append("behind the interval, the mean over seeds and their range")
    else:
        lines.append("one seed: how much the scores depend on it is not known")

    return [*lines, *(f"missing: {line}" for line in results.missing)]


def to_text(results: Results) -> str:
    """Returns what is printed."""
    parts = [f"{title}\n\n{plain(table)}" for title, table in tables(results)]

    return "\n\n".join([results.title, *parts, "\n".join(remarks(results))])


def to_markdown(results: Results) -> str:
    parts = [f"## {title}\n\n{markdown(table)}" for title, table in tables(results)]

    return "\n\n".join([f"# {results.title}", *parts, "\n".join(f"- {line}" for line in remarks(results))]) + "\n"


def write_results(results: Results, folder: Path) -> None:
    """Writes ``results.json`` and ``results.md``.

    :raises CodecS2STError: the folder cannot be written.
    """
    for name, text in (("results.md", to_markdown(results)), ("results.json", results.to_json() + "\n")):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _scores(results: Results) -> Table:
    table = [["task", "metric", *results.arms.values(), "chance", "codec topline", "items"]]

    for task, label in results.tasks.items():
        cells = [cell for cell in results.cells if cell.task == task]

        metric = cells[0].metric if cells[0].listener is None else f"{cells[0].metric}, {cells[0].listener}"

        others = [
            next((_show(cells[0].metric, value) for value in values if value is not None), "-")
            for values in ([cell.chance for cell in cells], [cell.topline for cell in cells])
        ]

        num_items = max((score.num_items for cell in cells for score in cell.seeds), default=0)

        table.append([label, metric, *(_cell(cell) for cell in cells), *others, str(num_items)])

    return table


def _cell(cell: Cell) -> str:
    if cell.value is None:
        return "missing"

    text = _with_interval(cell.metric, cell.value, cell.interval)

    if len(cell.seeds) > 1:
        low, high = (_show(cell.metric, value) for value in cell.range)

        text += f" {_show(cell.metric, cell.mean)} ({low} to {high})"

    return text


def _beside(results: Results) -> Table:
    table = [["task", "arm", "difference [95 %]", "p"]]

    for cell in results.cells:
        if cell.beside_reference is not None:
            difference, p = _tests(cell.metric, cell.beside_reference)

            table.append([results.tasks[cell.task], results.arms[cell.arm], difference, p])

    return table


def _retention(results: Results) -> Table:
    has_choices = any(cell.choices is not None for cell in results.retention)

    head = ["arm", "texts stand", "perplexity", "beside the text LLM [95 %]", "p"]

    table = [head + (["choices"] if has_choices else [])]

    for cell in results.retention:
        difference, p = ("-", "-") if cell.beside_base is None else _tests(_PERPLEXITY, cell.beside_base)

        if cell.beside_base is not None:
            change = cell.beside_base.difference / (cell.value - cell.beside_base.difference)

            difference += f" {100 * change:+.1f} %"

        row = [
            results.arms[cell.arm],
            "behind tags" if cell.tags else "alone",
            _with_interval(_PERPLEXITY, cell.value, cell.interval),
            difference,
            p,
        ]

        if has_choices:
            row.append("-" if cell.choices is None else f"{cell.choices:.3f}")

        table.append(row)

    return table


def _findings(results: Results) -> Table:
    table = [["statement", "verdict", "check", "difference [95 %]", "p"]]

    for finding in results.findings:
        for idx, check in enumerate(finding.checks):
            better, worse = results.arms[check.better], results.arms[check.worse]

            task = results.tasks.get(check.task, "text")

            difference, p = ("-", "-") if check.tests is None else _tests(check.metric or "", check.tests)

            first = [finding.statement, finding.verdict] if idx == 0 else ["", ""]

            table.append([*first, f"{task}: {better} better than {worse}: {_said(check)}", difference, p])

    return table


def _said(check: CheckResult) -> str:
    return "not measured" if check.verdict == MISSING else check.verdict


def _tests(metric: str, tests: PairedTests) -> tuple[str, str]:
    low, high = (f"{'+' if bound >= 0 else ''}{_show(metric, bound)}" for bound in tests.interval)

    sign = "+" if tests.difference >= 0 else ""

    return f"{sign}{_show(metric, tests.difference)} [{low}, {high}]", f"{tests.bootstrap_p:.4f}"


def _with_interval(metric: str, value: float, interval: Interval | None) -> str:
    if interval is None:
        return _show(metric, value)

    low, high = (_show(metric, bound) for bound in interval)

    return f"{_show(metric, value)} [{low}, {high}]"


def _show(metric: str, value: float) -> str:
    return format_value(metric, value)
