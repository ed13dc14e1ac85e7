"""Several reports of the same items, and whether their systems differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.measures import mean_counts
from codec_s2st.evaluation.metrics import item_counts
from codec_s2st.evaluation.normalise import find_normaliser
from codec_s2st.evaluation.report import MODEL, REPORT_FORMAT, format_value
from codec_s2st.evaluation.resampling import ItemCounts, PairedTests, paired_tests
from codec_s2st.recipes.evaluate.items import EvaluatedItem, rank_file, read_items

_MUST_AGREE: Final = ("signature", "normaliser", "transcriber", "judge", "instrument")

_AGAIN: Final = "evaluate both again with the same settings and versions"


class ScoreKey(NamedTuple):
    """Which score of a report."""

    metric: str

    transcriber: str | None
    """The listener, without its version."""

    language: str | None

    judge: str | None = None
    """The judge, without its version."""


@dataclass(frozen=True)
class Scored:
    """A report that was read, with its items."""

    file: Path
    label: str
    """What the tables call it."""

    report: Mapping[str, Any]
    items: Mapping[str, EvaluatedItem]
    """Those that were translated, by id."""

    def scores(self) -> dict[ScoreKey, Mapping[str, Any]]:
        """Returns the model's own scores."""
        return {
            ScoreKey(record["metric"], _name(record["transcriber"]), record["language"], _name(record["judge"])): record
            for record in self.report["scores"]
            if record["system"] == MODEL
        }


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One metric of one report beside the first one's."""

    metric: str
    transcriber: str | None
    language: str | None
    judge: str | None
    signature: str
    normaliser: str | None
    num_items: int

    first: str
    first_value: float

    second: str
    second_value: float

    tests: PairedTests


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The reports, and how each differs from the first."""

    reports: tuple[str, ...]
    seed: int
    differences: tuple[Difference, ...]

    remarks: tuple[str, ...] = ()
    """What a reader has to know."""

    def to_json(self) -> str:
        return json.dumps({"format": 1, **asdict(self)}, indent=2, ensure_ascii=False)

    def table(self) -> list[list[str]]:
        """Returns the cells, the head first: a row a metric, a listener and a report."""
        rows = [
            [
                "metric",
                "listener or judge",
                "language",
                "first",
                "other",
                "difference [95 %]",
                "p bootstrap",
                "p random.",
                "items",
            ]
        ]

        for found in self.differences:

            def show(value: float, metric: str = found.metric) -> str:
                return format_value(metric, value)

            low, high = (f"{'+' if bound >= 0 else ''}{show(bound)}" for bound in found.tests.interval)

            sign = "+" if found.tests.difference >= 0 else ""

            rows.append(
                [
                    found.metric,
                    found.transcriber or found.judge or "-",
                    found.language or "-",
                    f"{show(found.first_value)} {found.first}",
                    f"{show(found.second_value)} {found.second}",
                    f"{sign}{show(found.tests.difference)} [{low}, {high}]",
                    f"{found.tests.bootstrap_p:.4f}",
                    f"{found.tests.randomisation_p:.4f}",
                    str(found.num_items),
                ]
            )

        return rows


def read_report(file: Path) -> Scored:
    """Reads ``report.json`` and the items beside it.

    :param file: It, or the folder that it lies in.

    :raises UserInputError: it is not a report, or its items are not there.
    """
    file = file / "report.json" if file.is_dir() else file

    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserInputError(f"'{file}' does not exist", hint="name the folder of an evaluation") from None
    except (OSError, ValueError) as ex:
        raise UserInputError(f"'{file}' is not a report: {ex}") from None

    if not isinstance(report, dict) or "scores" not in report or "speed" not in report:
        raise UserInputError(f"'{file}' is not a report of `codec-s2st evaluate`")

    if report.get("format") != REPORT_FORMAT:
        raise UserInputError(
            f"'{file}' has the format {report.get('format')}, but this is {REPORT_FORMAT}", hint="evaluate again"
        )

    items: dict[str, EvaluatedItem] = {}

    for rank in range(report["speed"]["num_ranks"]):
        try:
            items.update((item.id, item) for item in read_items(rank_file(file.parent, rank)) if item.translated)
        except FileNotFoundError as ex:
            raise UserInputError(
                f"'{ex.filename}' does not exist: a report is compared item by item",
                hint="keep rank_*.jsonl beside report.json",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as ex:
            raise UserInputError(f"'{rank_file(file.parent, rank)}' cannot be read: {ex}") from None

    return Scored(file, f"{report['model']['name']} ({report['model']['weights_hash'][:8]})", report, items)


def compare(
    reports: Sequence[Scored], *, seed: int = 0, on_step: Callable[[], None] = lambda: None, **options: int
) -> Comparison:
    """Compares each report with the first one, on the items that both have.

    :param on_step: Called after every difference.
    :param options: Those of :func:`paired_tests`.

    :raises UserInputError: they cannot be compared, with what differs.
    """
    first, *others = reports

    labels = [report.label for report in reports]

    # Two checkpoints of a name, or two ways to generate with the same weights.
    if len(set(labels)) < len(labels):
        labels = [f"{chr(ord('A') + idx)}" for idx in range(len(labels))]

    differences, remarks = [], []

    if labels[0] == "A":
        remarks += [f"{label}: {report.file}" for label, report in zip(labels, reports, strict=True)]

    for label, other in zip(labels[1:], others, strict=True):
        keys = check_comparable(first, other)

        ids = [id_ for id_ in first.items if id_ in other.items]

        if (missing := len(first.items) + len(other.items) - 2 * len(ids)) > 0:
            remarks.append(f"{labels[0]} / {label}: {missing} items that only one of the two has are left out")

        for key in keys:
            found = _compare(first, other, key, ids, (labels[0], label), seed=seed, **options)

            if found is None:
                remarks.append(f"{labels[0]} / {label}: {key.metric} is of fewer than two items in common")
            else:
                differences.append(found)

            on_step()

    if len(others) > 1:
        remarks.append("p-values are of one comparison each; with several, some are small by chance")

    return Comparison(
        reports=tuple(str(report.file) for report in reports),
        seed=seed,
        differences=tuple(differences),
        remarks=tuple(remarks),
    )


def check_comparable(first: Scored, other: Scored) -> list[ScoreKey]:
    """Returns the scores that both reports have.

    :raises UserInputError: they cannot be compared.
    """
    one, two = first.scores(), other.scores()

    where = f"{first.file} and {other.file} cannot be compared"

    keys = [key for key in one if key in two and None not in (one[key]["value"], two[key]["value"])]

    if not keys:
        mine, theirs = (", ".join(sorted({key.metric for key in scores})) or "none" for scores in (one, two))

        raise UserInputError(f"{where}: they have no score in common ({mine} | {theirs})", hint=_AGAIN)

    for key in keys:
        for name in _MUST_AGREE:
            if one[key][name] != two[key][name]:
                raise UserInputError(
                    f"{where}: the {name} of {key.metric} differs ({one[key][name]} | {two[key][name]})", hint=_AGAIN
                )

    ids = [id_ for id_ in first.items if id_ in other.items]

    if len(ids) < 2:
        raise UserInputError(f"{where}: they have {len(ids)} items in common", hint="evaluate both on one manifest")

    for id_ in ids:
        if first.items[id_].reference != other.items[id_].reference:
            raise UserInputError(
                f"{where}: the reference of item '{id_}' differs ({first.items[id_].reference!r} |"
                f" {other.items[id_].reference!r})",
                hint="evaluate both on one manifest",
            )

    return keys


def _compare(
    first: Scored,
    other: Scored,
    key: ScoreKey,
    ids: Sequence[str],
    labels: tuple[str, str],
    *,
    seed: int,
    **options: int,
) -> Difference | None:
    """Returns ``None`` where both have fewer than two items."""
    record = first.scores()[key]

    counts = _measured(first, other, key, ids) if record["normaliser"] is None else _said(first, other, key, ids)

    counts_one, counts_two = counts

    if counts_one.num_items < 2:
        return None

    return Difference(
        metric=key.metric,
        transcriber=key.transcriber,
        language=key.language,
        judge=key.judge,
        signature=record["signature"],
        normaliser=record["normaliser"],
        num_items=counts_one.num_items,
        first=labels[0],
        first_value=counts_one.score(),
        second=labels[1],
        second_value=counts_two.score(),
        tests=paired_tests(counts_one, counts_two, seed=seed, **options),
    )


def _said(first: Scored, other: Scored, key: ScoreKey, ids: Sequence[str]) -> tuple[ItemCounts, ItemCounts]:
    """Returns what two scores of texts are made of."""
    normalise = find_normaliser(first.scores()[key]["normaliser"])

    def heard(item: EvaluatedItem) -> str | None:
        texts = (
            hypothesis.text
            for hypothesis in item.hypotheses
            if hypothesis.system == MODEL and _name(hypothesis.transcriber) == key.transcriber
        )

        return next(texts, None)

    references, one, two = [], [], []

    for id_ in ids:
        if first.items[id_].language != key.language:
            continue

        reference = normalise(first.items[id_].reference)

        texts = (heard(first.items[id_]), heard(other.items[id_]))

        # As when they were scored.
        if reference and texts[0] is not None and texts[1] is not None:
            references.append(reference)

            one.append(normalise(texts[0]))
            two.append(normalise(texts[1]))

    name = key.metric.removeprefix("asr-")

    return item_counts(name, references, one, key.language), item_counts(name, references, two, key.language)


def _measured(first: Scored, other: Scored, key: ScoreKey, ids: Sequence[str]) -> tuple[ItemCounts, ItemCounts]:
    """Returns what two means over items are made of."""

    def value(item: EvaluatedItem) -> float | None:
        values = (
            measure.value
            for measure in item.measures
            if (measure.system, measure.metric, _name(measure.judge)) == (MODEL, key.metric, key.judge)
        )

        return next(values, None)

    pairs = [(value(first.items[id_]), value(other.items[id_])) for id_ in ids]

    both = [(one, two) for one, two in pairs if one is not None and two is not None]

    return mean_counts([one for one, _ in both]), mean_counts([two for _, two in both])


def _name(transcriber: str | None) -> str | None:
    return None if transcriber is None else transcriber.partition(" ")[0]
