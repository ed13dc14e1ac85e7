"""The configurations of an experiment's trainings: a preset, and over it what the experiment and the arm change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from codec_s2st.errors import UserInputError
from codec_s2st.experiment.experiment import NO_INIT, Arm, Config, Experiment, Task, Training
from codec_s2st.launch.fields import read_yaml
from codec_s2st.share import preset_path

BUDGET: Final = (
    "regime.num_steps",
    "data.max_batch_steps",
    "trainer.grad_accumulation.num_batches",
    "optimizer.config.lr",
)
"""What must be the same for all arms of a fine-tuning."""


def merge(base: Config, *others: Config) -> dict[str, Any]:
    """Returns ``base`` with the keys of the others over it, mappings key by key and all else as a whole."""
    merged = dict(base)

    for other in others:
        for key, value in other.items():
            old = merged.get(key)

            is_deeper = isinstance(old, Mapping) and isinstance(value, Mapping)

            merged[key] = merge(old, value) if is_deeper else value  # type: ignore[arg-type]

    return merged


def text_llm_config(experiment: Experiment) -> dict[str, Any]:
    """Returns the configuration that the text LLM is trained with.

    :raises UserInputError: there is no such preset.
    """
    assert isinstance(experiment.text_llm, Training)

    return merge(_preset("cpt", experiment.text_llm), experiment.config, experiment.text_llm.config)


def cpt_config(experiment: Experiment, arm: Arm, seed: int) -> dict[str, Any]:
    """Returns the configuration of an arm's pre-training.

    :raises UserInputError: there is no such preset, or its mixture has a task that is held out.
    """
    assert arm.cpt is not None

    config = merge(
        _preset("cpt", arm.cpt), experiment.config, arm.cpt.config, arm.config, _start(experiment, arm, seed)
    )

    data = config["data"]

    mixture = data.get("mixture", []) if isinstance(data, Mapping) else None

    if not isinstance(mixture, list) or not all(isinstance(entry, Mapping) and "task" in entry for entry in mixture):
        raise UserInputError(
            f"experiment '{experiment.file}': data.mixture of arm {arm.name} must be a list of {{task, ...}}"
        )

    for entry in mixture:
        if (task := entry["task"]) in experiment.held_out:
            raise UserInputError(
                f"experiment '{experiment.file}': task {task} is held out, but in the mixture of arm {arm.name}",
                hint=f"take it out of preset {arm.cpt.preset}, or of held_out",
            )

    return config


def task_config(experiment: Experiment, arm: Arm, task: Task, seed: int) -> dict[str, Any]:
    """Returns the configuration of an arm's fine-tuning.

    :raises UserInputError: there is no such preset.
    """
    start = _start(experiment, arm, seed) if arm.cpt is None else _seeded(seed)

    return merge(_preset("s2st", task.training), experiment.config, task.training.config, arm.config, start)


def check_budgets(experiment: Experiment) -> None:
    """
    :raises UserInputError: the fine-tunings of a task differ in what they may spend, and the arm does not say why.
    """
    for task in experiment.tasks:
        budgets = {arm.name: _budget(task_config(experiment, arm, task, 1)) for arm in experiment.arms}

        fair = [arm.name for arm in experiment.arms if arm.other_budget is None]

        for name in fair[1:]:
            for key, first, other in zip(BUDGET, budgets[fair[0]], budgets[name], strict=True):
                if first != other:
                    raise UserInputError(
                        f"experiment '{experiment.file}': {key} of {task.name} is {other} for arm {name}, but {first}"
                        f" for arm {fair[0]}",
                        hint=f"give all arms the same, or say why in arms.{name}.other_budget",
                    )


def _budget(config: Config) -> list[object]:
    return [_find(config, key.split(".")) for key in BUDGET]


def _find(config: Any, keys: list[str]) -> object:
    for key in keys:
        if not isinstance(config, Mapping) or key not in config:
            return None

        config = config[key]

    return config


def _start(experiment: Experiment, arm: Arm, seed: int) -> dict[str, Any]:
    """Returns where the first training of an arm starts; what comes before in the pipeline is given there."""
    seeded = _seeded(seed)

    return merge({"init": None}, experiment.scratch, seeded) if arm.init == NO_INIT else seeded


def _seeded(seed: int) -> dict[str, Any]:
    return {"common": {"seed": seed}, "data": {"seed": seed}}


def _preset(recipe: str, training: Training) -> Config:
    content = read_yaml(preset_path(recipe, training.preset), "preset")

    if not isinstance(content, Mapping):
        raise UserInputError(f"preset '{training.preset}' of {recipe} must be a mapping of keys to values")

    return content
