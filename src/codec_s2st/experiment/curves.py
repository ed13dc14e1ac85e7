"""Reads the losses on validation data that trainings have left."""

from __future__ import annotations

import json
from pathlib import Path

from codec_s2st.experiment.experiment import Experiment
from codec_s2st.experiment.pipeline import cpt_step, run_dir, task_step
from codec_s2st.experiment.results import Curve


def read_curves(experiment: Experiment, out: Path) -> tuple[Curve, ...]:
    """Returns the curves of all trainings of an experiment that have been validated."""
    curves = []

    for arm in experiment.arms:
        for seed in experiment.seeds:
            runs: list[tuple[str, str | None]] = [(task_step(arm, task, seed), task.name) for task in experiment.tasks]

            if arm.cpt is not None:
                runs.insert(0, (cpt_step(arm, seed), None))

            for run, task in runs:
                folder = Path(run_dir(str(out), run))

                for file in sorted(folder.glob("metrics/valid/*.jsonl")):
                    if points := _read_losses(file):
                        curves.append(
                            Curve(run=run, arm=arm.name, task=task, seed=seed, name=file.stem, points=tuple(points))
                        )

    return tuple(curves)


def _read_losses(file: Path) -> list[tuple[int, float]]:
    points = {}

    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)

            points[int(entry["Step"])] = float(entry["Loss"])
        except (ValueError, KeyError, TypeError):
            # What a run that goes on was writing, or what is no loss.
            continue

    return sorted(points.items())
