"""What an experiment is: arms, tasks, seeds, and the statements that it is to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Config = Mapping[str, Any]
"""Keys of a training's configuration, nested as in a preset."""

NO_INIT: Final = "none"

TEXT_LLM: Final = "text_llm"

INITS: Final = (NO_INIT, TEXT_LLM)

RETENTION: Final = "retention"
"""The task of a check that is about text: the perplexity before fine-tuning."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A preset of a training, and what differs from it."""

    preset: str
    config: Config


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to come to the model that each task is fine-tuned from."""

    name: str
    label: str
    """What the tables call it."""

    init: str
    """One of :data:`INITS`: random weights, or the text LLM."""

    cpt: Training | None
    """The continued pre-training, if any."""

    config: Config
    """Holds for its pre-training and all of its fine-tunings."""

    other_budget: str | None
    """Why its fine-tunings have another budget than those of the other arms."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every arm is fine-tuned on, and how that is scored."""

    name: str
    label: str
    training: Training

    corpus: str
    evaluated_as: str
    """The task of ``codec-s2st evaluate``."""

    evaluation: Config
    """Keys of its configuration."""

    metric: str
    listener: str | None
    """Who writes down what the model says; ``None`` for tasks that end in text."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What is scored on: a manifest, or sentences of the demo world that are made for it."""

    name: str
    manifest: Path | None
    options: tuple[str, ...]
    """Of ``codec-s2st demo-corpus``, where there is no manifest."""

    reverse: bool
    """Whether source and target are exchanged."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What is measured of text, before and after pre-training."""

    language: str
    text: Path | None
    """Texts, one a line."""

    options: tuple[str, ...]
    """Of ``codec-s2st experiment texts``, where there is no file."""

    choices: Path | None


@dataclass(frozen=True, kw_only=True)
class Check:
    """That one arm is better than another one at a task."""

    better: str
    worse: str
    task: str
    """A task's name, or :data:`RETENTION`."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A statement that holds if all of its checks do."""

    name: str
    statement: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What an experiment's file says."""

    file: Path
    title: str

    text_llm: Training | str
    """How the text LLM is trained, once for all; or what ``--init`` of a training takes."""

    scratch: Config
    """What a training without initial weights needs, such as ``model.arch``."""

    config: Config
    """Holds for all trainings."""

    arms: tuple[Arm, ...]

    reference: str
    """The arm that the others are tested against."""

    tasks: tuple[Task, ...]
    corpora: Mapping[str, Corpus]
    seeds: tuple[int, ...]

    held_out: tuple[str, ...]
    """Tasks of no pre-training."""

    retention: Retention | None
    findings: tuple[Finding, ...]

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def task(self, name: str) -> Task:
        return next(task for task in self.tasks if task.name == name)
