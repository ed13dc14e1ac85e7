"""An experiment as a pipeline for ``codec-s2st launch pipeline``: what is shared is one step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.experiment.experiment import RETENTION, TEXT_LLM, Arm, Experiment, Task, Training
from codec_s2st.experiment.training_configs import cpt_config, task_config, text_llm_config

TABLE: Final = "table"

_TEXT_LLM_STEP: Final = "text-llm"


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What is written for an experiment."""

    steps: dict[str, dict[str, Any]]
    """The ``steps`` of the pipeline's file."""

    configs: dict[str, dict[str, Any]]
    """The configuration of each training and evaluation, by step; ``configs/STEP.yaml``."""


@dataclass(frozen=True)
class _Builder:
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, *words: str, needs: Iterable[str] = (), creates: Iterable[str] = ()) -> str:
        step: dict[str, Any] = {}

        if needs := list(needs):
            step["needs"] = needs

        step["run"] = list(words)

        if creates := list(creates):
            step["creates"] = creates

        self.steps.setdefault(name, step)

        return name

    def train(self, recipe: str, name: str, config: dict[str, Any], init: str | None, needs: Iterable[str]) -> str:
        self.configs[name] = config

        words = [recipe, run_dir("${out}", name), "--config-file", f"${{out}}/configs/{name}.yaml"]

        return self.add(name, *words, *([] if init is None else ["--init", init]), needs=needs)


def run_dir(out: str, step: str) -> str:
    """Returns the folder of a training."""
    return f"{out}/runs/{step}"


def cpt_step(arm: Arm, seed: int) -> str:
    return f"cpt-{arm.name}-{seed}"


def task_step(arm: Arm, task: Task, seed: int) -> str:
    return f"{task.name}-{arm.name}-{seed}"


def evaluation_dir(out: Path, arm: Arm, task: Task, seed: int) -> Path:
    return out / "evaluations" / task_step(arm, task, seed)


def retention_dir(out: Path, seed: int) -> Path:
    return out / RETENTION / str(seed)


def text_model(experiment: Experiment, arm: Arm, seed: int) -> str | None:
    """Returns what the report of text calls the model that an arm starts from; ``None`` if that is random."""
    if arm.cpt is not None:
        return cpt_step(arm, seed)

    if arm.init != TEXT_LLM:
        return None

    return _TEXT_LLM_STEP if isinstance(experiment.text_llm, Training) else experiment.text_llm


def why_not_scored(task: Task) -> str | None:
    """Returns why ``codec-s2st evaluate`` does not score a task; ``None`` if it does. It is trained all the same."""
    from codec_s2st.data.templates import find_template
    from codec_s2st.recipes.evaluate.rows import kind_of

    try:
        kind_of(find_template(task.evaluated_as))
    except UserInputError as ex:
        return str(ex)

    return None


def compile_experiment(experiment: Experiment, *, only: str | None = None) -> Compiled:
    """Returns the steps of an experiment, in the order in which they run on one machine.

    :param only: ``ARM/TASK``: leave out what this cell of the table does not need. ``retention`` is a task, too.
    :raises UserInputError: there is no such arm or task.
    """
    arms, tasks = _choose(experiment, only)

    has_retention = experiment.retention is not None and (only is None or RETENTION in tasks)

    builder = _Builder()

    ends: list[str] = []

    for seed in experiment.seeds:
        models = [_base_model(builder, experiment)] if has_retention else []

        needs: list[str] = []

        for arm in (arm for arm in experiment.arms if arm.name in arms):
            init, start = _start(builder, experiment, arm, seed)

            if has_retention and arm.cpt is not None:
                models.append(str(init))

                needs += start

            for task in (task for task in experiment.tasks if task.name in tasks):
                ends.append(_add_task(builder, experiment, arm, task, seed, init, start))

        if has_retention:
            ends.append(_add_retention(builder, experiment, seed, models, needs))

    builder.add(
        TABLE,
        "experiment",
        TABLE,
        "${out}",
        needs=ends,
        creates=[f"${{out}}/results.{kind}" for kind in ("json", "md", "html")],
    )

    return Compiled(steps=builder.steps, configs=builder.configs)


def _choose(experiment: Experiment, only: str | None) -> tuple[list[str], list[str]]:
    arms = [arm.name for arm in experiment.arms]

    tasks = [task.name for task in experiment.tasks] + ([] if experiment.retention is None else [RETENTION])

    if only is None:
        return arms, tasks

    arm, separator, task = only.partition("/")

    if not separator:
        raise UserInputError(f"--only '{only}' is not of the form ARM/TASK", hint=f"such as {arms[0]}/{tasks[0]}")

    for kind, name, names in (("arm", arm, arms), ("task", task, tasks)):
        if name not in names:
            raise unknown_name(kind, name, names, hint="--only ARM/TASK")

    return [arm], [task]


def _base_model(builder: _Builder, experiment: Experiment) -> str:
    if isinstance(experiment.text_llm, str):
        return experiment.text_llm

    builder.train("cpt", _TEXT_LLM_STEP, text_llm_config(experiment), None, [])

    return run_dir("${out}", _TEXT_LLM_STEP)


def _start(builder: _Builder, experiment: Experiment, arm: Arm, seed: int) -> tuple[str | None, list[str]]:
    """Adds what leads to an arm's fine-tunings; returns what these start from, and which steps make it."""
    init, needs = None, []

    if arm.init == TEXT_LLM:
        init = _base_model(builder, experiment)

        needs = [_TEXT_LLM_STEP] if isinstance(experiment.text_llm, Training) else []

    if arm.cpt is not None:
        step = builder.train("cpt", cpt_step(arm, seed), cpt_config(experiment, arm, seed), init, needs)

        init, needs = run_dir("${out}", step), [step]

    return init, needs


def _add_task(
    builder: _Builder, experiment: Experiment, arm: Arm, task: Task, seed: int, init: str | None, needs: list[str]
) -> str:
    name = task_step(arm, task, seed)

    builder.train("s2st", name, task_config(experiment, arm, task, seed), init, needs)

    if why_not_scored(task) is not None:
        return name

    published = f"${{out}}/published/{name}"

    builder.add(
        f"publish-{name}",
        "publish",
        run_dir("${out}", name),
        published,
        "--name",
        name.replace("-", "_"),
        "--overwrite",
        needs=[name],
        creates=[f"{published}/card.yaml"],
    )

    manifest, made_by = _corpus(builder, experiment, task)

    evaluation = f"evaluate-{name}"

    builder.configs[evaluation] = {"task": task.evaluated_as, **task.evaluation}

    if task.listener is not None:
        builder.configs[evaluation]["transcriber"] = task.listener

    return builder.add(
        evaluation,
        "evaluate",
        f"${{out}}/evaluations/{name}",
        "--config-file",
        f"${{out}}/configs/{evaluation}.yaml",
        "--manifest",
        manifest,
        "--model",
        published,
        needs=[f"publish-{name}", *made_by],
    )


def _corpus(builder: _Builder, experiment: Experiment, task: Task) -> tuple[str, list[str]]:
    corpus = experiment.corpora[task.corpus]

    folder = f"${{out}}/corpora/{corpus.name}"

    manifest, needs = str(corpus.manifest), []

    if corpus.manifest is None:
        step = builder.add(
            f"corpus-{corpus.name}", "demo-corpus", folder, *corpus.options, creates=[f"{folder}/manifest.parquet"]
        )

        manifest, needs = folder, [step]

    if corpus.reverse:
        folder = f"${{out}}/corpora/{corpus.name}-reversed"

        creates = [f"{folder}/manifest.parquet"]

        step = builder.add(
            f"reverse-{corpus.name}", "experiment", "reverse", manifest, folder, needs=needs, creates=creates
        )

        manifest, needs = folder, [step]

    return manifest, needs


def _add_retention(builder: _Builder, experiment: Experiment, seed: int, models: list[str], needs: list[str]) -> str:
    retention = experiment.retention

    assert retention is not None

    text = str(retention.text)

    if isinstance(experiment.text_llm, Training):
        needs = [_TEXT_LLM_STEP, *needs]

    if retention.text is None:
        text = f"${{out}}/{RETENTION}/texts.txt"

        needs = [builder.add("texts", "experiment", "texts", text, *retention.options, creates=[text]), *needs]

    folder = f"${{out}}/{RETENTION}/{seed}"

    choices = [] if retention.choices is None else ["--choices", str(retention.choices)]

    return builder.add(
        f"{RETENTION}-{seed}",
        "text-report",
        *models,
        *("--text", text, *choices, "--language", retention.language, "--out", folder),
        needs=needs,
        creates=[f"{folder}/text_report.json"],
    )
