"""What a run has trained its model for: tasks and languages, from its configuration and its shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fairseq2.assets import AssetStore
from fairseq2.runtime.dependency import get_dependency_resolver

from codec_s2st.data.shards import find_shards
from codec_s2st.data.task_entries import parse_tasks
from codec_s2st.data.templates import TaskTemplate, find_template
from codec_s2st.errors import UserInputError

_FIRST: Final = ("s2st", "s2tt", "asr")
"""What a model does if nothing is said, if it can."""


def tasks_of(settings: Mapping[str, Any]) -> list[str]:
    """Returns the tasks of a run's mixture; those that start from speech come first.

    :raises UserInputError: the configuration does not say.
    """
    templates = {template.name: template for template, _ in _mixture(settings)}

    def rank(task: str) -> int:
        return _FIRST.index(task) if task in _FIRST else len(_FIRST) + (not templates[task].starts_from_speech)

    return sorted(templates, key=rank)


def languages_of(settings: Mapping[str, Any]) -> list[str]:
    """Returns the directions, such as ``spa-eng``, in order of the mixture.

    They are those of the tasks that have two sides; where there are none, of those that start from speech.

    :raises UserInputError: neither the dataset's card nor the shards say, or the shards are not there any more.
    """
    mixture = _mixture(settings)

    two_sided = [entry for entry in mixture if len({slot.side for slot in entry[0].slots}) == 2]

    output: dict[str, None] = {}

    if two_sided:
        pairs = _pairs(settings)

        for _, is_reversed in two_sided:
            output.update(dict.fromkeys(f"{b}-{a}" if is_reversed else f"{a}-{b}" for a, b in pairs))
    else:
        spoken = [entry for entry in mixture if entry[0].starts_from_speech]

        pairs = _pairs(settings) if spoken else []

        for _, is_reversed in spoken:
            output.update(dict.fromkeys(f"{b}-{b}" if is_reversed else f"{a}-{a}" for a, b in pairs))

    return [direction for direction in output if "None" not in direction.split("-")]


def own_task_entries(settings: Mapping[str, Any]) -> list[object]:
    """Returns what the run has defined tasks of its own by, for the model's card."""
    return list((settings.get("data") or {}).get("tasks") or ())


def own_tasks(settings: Mapping[str, Any]) -> dict[str, TaskTemplate]:
    """Returns the tasks that the run has defined, by name."""
    return parse_tasks(own_task_entries(settings), where="data.tasks of the run's config.yaml")


def _mixture(settings: Mapping[str, Any]) -> list[tuple[TaskTemplate, bool]]:
    own = own_tasks(settings)

    try:
        mixture = settings["data"]["mixture"]

        return [(find_template(entry["task"], own), bool(entry.get("reverse"))) for entry in mixture]
    except (KeyError, TypeError, AttributeError):
        raise UserInputError("the run's config.yaml does not say what it was trained for", hint="--task s2st") from None


def _pairs(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns source and target languages of the rows."""
    section = settings.get("dataset") or {}

    name = section.get("name")

    if name is not None:
        card = get_dependency_resolver().resolve(AssetStore).maybe_retrieve_card(name)

        if card is not None and (field := card.maybe_get_field("languages")) is not None:
            return [(pair.partition("-")[0], pair.partition("-")[2]) for pair in field.value]  # type: ignore[attr-defined]

    shards = (section.get("config_overrides") or {}).get("shards") or []

    files = [file for path in shards if Path(path).exists() for file in find_shards(Path(path))]

    if not files:
        gone = f", because {shards[0]} is gone" if shards else ""

        raise UserInputError(f"the run's languages are not known{gone}", hint="name them: --language spa-eng")

    return _pairs_in(files)


def _pairs_in(files: list[Path]) -> list[tuple[str, str]]:
    import pyarrow.parquet

    output: dict[tuple[str, str], None] = {}

    for file in files:
        table = pyarrow.parquet.read_table(file, columns=["source_lang", "target_lang"])

        groups = table.group_by(["source_lang", "target_lang"], use_threads=False).aggregate([]).to_pylist()

        output.update(dict.fromkeys((str(group["source_lang"]), str(group["target_lang"])) for group in groups))

    return list(output)
