"""Reads an experiment's file; whatever it should not hold is one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.experiment.experiment import (
    INITS,
    RETENTION,
    Arm,
    Check,
    Config,
    Corpus,
    Experiment,
    Finding,
    Retention,
    Task,
    Training,
)
from codec_s2st.experiment.training_configs import check_budgets, cpt_config
from codec_s2st.launch.fields import Fields, read_yaml
from codec_s2st.share import experiments_dir

_KEYS: Final = (
    "title",
    "text_llm",
    "scratch",
    "config",
    "arms",
    "reference",
    "tasks",
    "corpora",
    "seeds",
    "held_out",
    "retention",
    "findings",
)


def experiment_names() -> list[str]:
    """Returns the sorted names of the experiments that are shipped."""
    return sorted(
        file.relative_to(experiments_dir()).with_suffix("").as_posix() for file in experiments_dir().rglob("*.yaml")
    )


def find_experiment(name: str, preset: str | None) -> Path:
    """Returns the file of an experiment.

    :param name: one that is shipped, such as ``four-way`` or ``ablations/text-share``, or a file that ends in
        ``.yaml`` or ``.yml``.
    :param preset: its size, where it has several.
    :raises UserInputError: there is none.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserInputError(f"experiment file '{name}' does not exist", hint=f"shipped: {_shipped()}")

        if preset is not None:
            raise UserInputError(f"--preset '{preset}' goes with the name of an experiment, not with a file")

        return Path(name)

    names = experiment_names()

    presets = [other.removeprefix(f"{name}/") for other in names if other.startswith(f"{name}/")]

    # A folder of one experiment has a file for each size.
    if presets and "small" in presets:
        preset = preset or "small"

        if preset not in presets:
            raise unknown_name(f"preset of {name}", preset, presets)

        name = f"{name}/{preset}"
    elif preset is not None and name in names:
        raise UserInputError(f"experiment {name} has no presets", hint=f"leave out --preset {preset}")

    if name not in names:
        raise unknown_name("experiment", name, names, hint="or name a file that ends in .yaml")

    return experiments_dir() / f"{name}.yaml"


def read_experiment(file: Path) -> Experiment:
    """Reads a file.

    :raises UserInputError: it cannot be read, a key or value is not allowed, or the arms are not treated alike.
    """
    where = f"experiment '{file}'"

    content = read_yaml(file, "experiment")

    values = Fields(where, content, _KEYS)

    corpora = {
        name: _read_corpus(where, f"corpora.{name}", name, entry) for name, entry in _named(values, "corpora").items()
    }

    arms = tuple(_read_arm(where, name, entry) for name, entry in _named(values, "arms").items())

    tasks = tuple(_read_task(where, name, entry, corpora) for name, entry in _named(values, "tasks").items())

    retention = None

    if "retention" in values:
        retention = _read_retention(where, values.value("retention"))

    arm_names = [arm.name for arm in arms]

    experiment = Experiment(
        file=file,
        title=values.text("title") or file.stem,
        text_llm=_read_text_llm(where, values),
        scratch=_config(values, "scratch"),
        config=_config(values, "config"),
        arms=arms,
        reference=values.choice("reference", arm_names, arm_names[-1]),
        tasks=tasks,
        corpora=corpora,
        seeds=_read_seeds(values),
        held_out=values.texts("held_out"),
        retention=retention,
        findings=_read_findings(where, values, arms, tasks, retention),
    )

    check_budgets(experiment)

    for arm in arms:
        if arm.cpt is not None:
            cpt_config(experiment, arm, experiment.seeds[0])

    return experiment


def with_seeds(experiment: Experiment, num: int | None) -> Experiment:
    """Returns the experiment with so many seeds: its own, and then the next numbers.

    :raises UserInputError: there is no such number of seeds.
    """
    if num is None:
        return experiment

    if not 1 <= num <= 100:
        raise UserInputError(f"--seeds is {num}, but must be 1 to 100")

    seeds = list(experiment.seeds[:num])

    while len(seeds) < num:
        seeds.append(max(seeds) + 1)

    return replace(experiment, seeds=tuple(seeds))


def _read_arm(where: str, name: str, content: object) -> Arm:
    values = Fields(where, content, ("label", "init", "cpt", "config", "other_budget"), path=f"arms.{name}")

    return Arm(
        name=name,
        label=values.text("label") or name,
        init=values.choice("init", INITS, INITS[-1]),
        cpt=_read_training(where, f"arms.{name}.cpt", values.value("cpt")) if "cpt" in values else None,
        config=_config(values, "config"),
        other_budget=values.text("other_budget"),
    )


def _read_task(where: str, name: str, content: object, corpora: Mapping[str, Corpus]) -> Task:
    path = f"tasks.{name}"

    keys = ("label", "preset", "config", "evaluate", "metric", "listener")

    values = Fields(where, content, keys, path=path)

    if name == RETENTION:
        raise UserInputError(f"{where}: no task can be called {RETENTION}", hint="it is what checks call text's part")

    if name == "cpt":
        raise UserInputError(f"{where}: no task can be called cpt", hint="it is what steps of pre-training are called")

    evaluate = Fields(where, values.value("evaluate"), ("task", "corpus", "config"), path=f"{path}.evaluate")

    return Task(
        name=name,
        label=values.text("label") or name,
        training=Training(preset=_required(values, "preset", "a preset of s2st"), config=_config(values, "config")),
        corpus=_known(evaluate, "corpus", corpora),
        evaluated_as=_read_evaluated_as(evaluate) or name,
        evaluation=_config(evaluate, "config"),
        metric=_required(values, "metric", "the name of a metric, such as bleu or asr-bleu"),
        listener=_read_listener(values),
    )


def _read_evaluated_as(values: Fields) -> str | None:
    from codec_s2st.data.templates import TEMPLATES

    name = values.text("task")

    # A task of one's own is trained, and not scored; but not because of a slip.
    if name is not None and name not in TEMPLATES:
        raise unknown_name("task", name, TEMPLATES, hint=values.place("task"))

    return name


def _read_listener(values: Fields) -> str | None:
    from codec_s2st.recipes.evaluate.listeners import parse_listeners

    name = values.text("listener")

    # Before hours of training, not after.
    if name is not None and len(parse_listeners(name)) != 1:
        raise values.error("listener", "one listener")

    return name


def _read_corpus(where: str, path: str, name: str, content: object) -> Corpus:
    values = Fields(where, content, ("manifest", "world", "split", "num", "seed", "reverse"), path=path)

    manifest, reverse = values.text("manifest"), values.value("reverse")

    if reverse not in (None, True, False):
        raise values.error("reverse", "true or false")

    if manifest is not None:
        if any(key in values for key in ("world", "split", "num", "seed")):
            raise values.error("manifest", "without world, split, num and seed, which are of the demo world")

        return Corpus(name=name, manifest=Path(manifest).absolute(), options=(), reverse=bool(reverse))

    return Corpus(name=name, manifest=None, options=_demo_options(values), reverse=bool(reverse))


def _read_retention(where: str, content: object) -> Retention:
    keys = ("language", "text", "world", "split", "num", "seed", "choices")

    values = Fields(where, content, keys, path="retention")

    from codec_s2st.tokens.vocabulary import LANGUAGES

    text, choices = values.text("text"), values.text("choices")

    language = _required(values, "language", "a language's ISO 639-3 code, such as eng")

    if language not in LANGUAGES:
        raise unknown_name("language", language, LANGUAGES, hint=values.place("language"))

    return Retention(
        language=language,
        text=None if text is None else Path(text).absolute(),
        options=_demo_options(values) if text is None else (),
        choices=None if choices is None else Path(choices).absolute(),
    )


def _demo_options(values: Fields) -> tuple[str, ...]:
    from codec_s2st.demo.grammar import DEMO, SPLITS, WORLDS

    world, split = values.choice("world", WORLDS, DEMO), values.choice("split", SPLITS, "test")

    numbers = (str(values.count("num", 200, minimum=1)), str(values.count("seed", 1, minimum=0)))

    return ("--world", world, "--split", split, "--num", numbers[0], "--seed", numbers[1])


def _read_text_llm(where: str, values: Fields) -> Training | str:
    content = values.value("text_llm")

    if isinstance(content, Mapping):
        return _read_training(where, "text_llm", content)

    return _required(values, "text_llm", "a preset of cpt as {preset: P}, or what --init takes")


def _read_training(where: str, path: str, content: object) -> Training:
    values = Fields(where, content, ("preset", "config"), path=path)

    return Training(preset=_required(values, "preset", "a preset of cpt"), config=_config(values, "config"))


def _read_seeds(values: Fields) -> tuple[int, ...]:
    content = values.value("seeds")

    is_list = isinstance(content, list) and content and len(set(map(str, content))) == len(content)

    if not is_list or not all(type(seed) is int and seed > 0 for seed in content):  # type: ignore[attr-defined]
        raise values.error("seeds", "a list of different whole numbers from 1")

    return tuple(content)  # type: ignore[arg-type]


def _read_findings(
    where: str, values: Fields, arms: Iterable[Arm], tasks: Iterable[Task], retention: Retention | None
) -> tuple[Finding, ...]:
    names = [arm.name for arm in arms]

    scored = [task.name for task in tasks] + ([] if retention is None else [RETENTION])

    findings = []

    for name, content in _named(values, "findings", optional=True).items():
        path = f"findings.{name}"

        fields = Fields(where, content, ("statement", "checks"), path=path)

        checks = fields.value("checks")

        if not isinstance(checks, list) or not checks:
            raise fields.error("checks", "a list of {better, worse, task}")

        read = []

        for idx, entry in enumerate(checks):
            check = Fields(where, entry, ("better", "worse", "task"), path=f"{path}.checks.{idx}")

            read.append(
                Check(
                    better=_known(check, "better", names),
                    worse=_known(check, "worse", names),
                    task=_known(check, "task", scored),
                )
            )

        findings.append(Finding(name=name, statement=fields.text("statement") or name, checks=tuple(read)))

    return tuple(findings)


def _named(values: Fields, key: str, *, optional: bool = False) -> dict[str, object]:
    """Returns a mapping of names, which become parts of files' names, to entries."""
    content = values.value(key)

    if optional and content in (None, {}):
        return {}

    if not isinstance(content, Mapping) or not content:
        raise values.error(key, "a mapping of names to entries")

    for name in content:
        if not re.fullmatch(r"[a-z0-9_]+", str(name)):
            raise UserInputError(f"'{name}' is no name: {values.place(key)}", hint="small letters, digits and '_'")

    return {str(name): entry for name, entry in content.items()}


def _known(values: Fields, key: str, known: Iterable[str]) -> str:
    name = _required(values, key, "a name that the experiment gives")

    if name not in (names := list(known)):
        raise unknown_name(key, name, names, hint=values.place(key))

    return name


def _required(values: Fields, key: str, what: str) -> str:
    text = values.text(key)

    if text is None:
        raise values.error(key, what)

    return text


def _config(values: Fields, key: str) -> Config:
    content = values.value(key)

    if content is None:
        return {}

    if not isinstance(content, Mapping):
        raise values.error(key, "a mapping of keys of the configuration to values")

    return content


def _shipped() -> str:
    return ", ".join(experiment_names())
