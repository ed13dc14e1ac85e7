"""Reads what an experiment has left in its folder, also while parts are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.report import CHANCE, CODEC_TOPLINE
from codec_s2st.experiment.curves import read_curves
from codec_s2st.experiment.experiment import RETENTION, Arm, Experiment, Task
from codec_s2st.experiment.findings import decide
from codec_s2st.experiment.pipeline import evaluation_dir, why_not_scored
from codec_s2st.experiment.results import Cell, Results, SeedScore, TextCell
from codec_s2st.experiment.retention import RetentionReports, read_retention
from codec_s2st.experiment.samples import Sample, common_ids, compare_samples, interval_of, pool, sample_of_report
from codec_s2st.recipes.evaluate.comparison import Scored, ScoreKey, check_comparable, read_report


@dataclass(frozen=True)
class _Cells:
    """What was scored, by arm and task."""

    samples: dict[tuple[str, str], dict[int, Sample]] = field(default_factory=dict)
    others: dict[tuple[str, str], Mapping[str, float | None]] = field(default_factory=dict)
    """The values of the other systems, chance and the codec's topline."""

    missing: list[str] = field(default_factory=list)


def gather(experiment: Experiment, out: Path) -> Results:
    """Reads reports, text reports and metrics.

    :param out: The experiment's folder.
    :raises UserInputError: a report is damaged, or two cannot be compared.
    """
    cells = _Cells()

    for task in experiment.tasks:
        _read_task(experiment, task, out, cells)

    texts = read_retention(experiment, out)

    def samples_of(arm: str, task: str) -> dict[int, Sample]:
        if task == RETENTION:
            return texts.samples(experiment, arm)

        return cells.samples.get((arm, task), {})

    return Results(
        title=experiment.title,
        arms={arm.name: arm.label for arm in experiment.arms},
        tasks={task.name: task.label for task in experiment.tasks},
        reference=experiment.reference,
        seeds=experiment.seeds,
        cells=tuple(_cell(experiment, arm, task, cells) for task in experiment.tasks for arm in experiment.arms),
        retention=_text_cells(experiment, texts),
        findings=decide(experiment.findings, samples_of),
        curves=read_curves(experiment, out),
        missing=(*cells.missing, *texts.missing),
    )


def _read_task(experiment: Experiment, task: Task, out: Path, cells: _Cells) -> None:
    reason = why_not_scored(task)

    if reason is not None:
        cells.missing.append(f"{task.label}: not scored: {reason}")

        return

    first: Scored | None = None

    for arm in experiment.arms:
        for seed in experiment.seeds:
            folder = evaluation_dir(out, arm, task, seed)

            if not folder.joinpath("report.json").is_file():
                cells.missing.append(f"{task.label}, {arm.label}, seed {seed}: not evaluated yet")

                continue

            scored = read_report(folder)

            if first is not None:
                check_comparable(first, scored)

            first = first or scored

            key = _key(scored, task)

            if key is None:
                cells.missing.append(f"{task.label}, {arm.label}, seed {seed}: no {task.metric} in {folder}")

                continue

            cells.samples.setdefault((arm.name, task.name), {})[seed] = sample_of_report(scored, key)

            cells.others[arm.name, task.name] = _other_systems(scored, key)


def _key(scored: Scored, task: Task) -> ScoreKey | None:
    keys = [
        key
        for key, record in scored.scores().items()
        if key.metric == task.metric and key.transcriber == task.listener and record["value"] is not None
    ]

    if len(keys) > 1:
        raise UserInputError(
            f"{scored.file} has {task.metric} in {len(keys)} languages, but a cell of the table is of one",
            hint="evaluate on a manifest of one language",
        )

    return keys[0] if keys else None


def _other_systems(scored: Scored, key: ScoreKey) -> dict[str, float | None]:
    values: dict[str, float | None] = {}

    for record in scored.report["scores"]:
        listener = None if record["transcriber"] is None else record["transcriber"].partition(" ")[0]

        if record["metric"] == key.metric and record["language"] == key.language:
            # Chance needs no listener.
            if listener == key.transcriber or record["system"] == CHANCE:
                values[record["system"]] = record["value"]

    return values


def _cell(experiment: Experiment, arm: Arm, task: Task, cells: _Cells) -> Cell:
    samples = cells.samples.get((arm.name, task.name), {})

    reference = cells.samples.get((experiment.reference, task.name), {})

    both = [seed for seed in samples if seed in reference]

    tests = None

    if arm.name != experiment.reference and both:
        tests = compare_samples([reference[seed] for seed in both], [samples[seed] for seed in both])

    others = cells.others.get((arm.name, task.name), {})

    found = list(samples.values())

    return Cell(
        arm=arm.name,
        task=task.name,
        metric=task.metric,
        listener=task.listener,
        seeds=_seed_scores(samples),
        value=_pooled(found),
        interval=interval_of(found) if found else None,
        chance=others.get(CHANCE),
        topline=others.get(CODEC_TOPLINE),
        beside_reference=tests,
    )


def _text_cells(experiment: Experiment, texts: RetentionReports) -> tuple[TextCell, ...]:
    cells = []

    for arm in experiment.arms:
        for tags in (False, True):
            samples = texts.of_arm(experiment, arm, tags=tags)

            base = texts.of_base(experiment, tags=tags)

            if not samples:
                continue

            both = [seed for seed in samples if seed in base]

            tests = None

            if arm.cpt is not None and both:
                tests = compare_samples([base[seed] for seed in both], [samples[seed] for seed in both])

            value = _pooled(list(samples.values()))

            assert value is not None

            cells.append(
                TextCell(
                    arm=arm.name,
                    tags=tags,
                    seeds=_seed_scores(samples),
                    value=value,
                    interval=interval_of(list(samples.values())),
                    choices=texts.choices(experiment, arm, tags=tags),
                    beside_base=tests,
                )
            )

    return tuple(cells)


def _pooled(samples: list[Sample]) -> float | None:
    return pool(samples, ids).score() if samples and (ids := common_ids(samples)) else None


def _seed_scores(samples: Mapping[int, Sample]) -> tuple[SeedScore, ...]:
    return tuple(
        SeedScore(seed=seed, value=sample.value, num_items=len(sample.rows)) for seed, sample in samples.items()
    )
