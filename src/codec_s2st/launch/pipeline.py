"""Pipelines: commands that need each other's results, as a YAML file says."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Final

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.launch.calls import RECIPES, Call, recipe_call, refuse_array
from codec_s2st.launch.fields import Fields, read_yaml
from codec_s2st.launch.preset import KEYS, SLURM, LaunchPreset, load_preset, read_preset
from codec_s2st.share import slurm_dir

_STEP_KEYS: Final = ("run", "needs", "array", "override", "creates")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command of a pipeline."""

    name: str

    call: Call

    needs: tuple[str, ...]
    """The steps that must have ended well before."""

    array: int | None

    preset: LaunchPreset

    creates: tuple[Path, ...]
    """What must be there for the step to count as done."""

    fingerprint: str
    """A hash of what runs, here and in the steps that it needs."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Steps, each after those that it needs."""

    file: Path

    out: Path
    """The folder of its steps, absolute; ``${out}`` in the file."""

    steps: tuple[Step, ...]

    def launches_dir(self, step: Step) -> Path:
        return self.out / "steps" / step.name / "launch"


def pipeline_names() -> list[str]:
    """Returns the sorted names of the pipelines that are shipped."""
    return sorted(file.stem for file in slurm_dir().glob("pipelines/*.yaml"))


def load_pipeline(name: str, *, out: Path | None = None, preset: str | None = None) -> Pipeline:
    """Returns a pipeline.

    :param name: one that is shipped, such as ``demo``, or a file that ends in ``.yaml`` or ``.yml``.
    :param out: its folder, instead of the one that the file names.
    :param preset: the launch preset, instead of the one that the file names.
    :raises UserInputError: there is none; or a key, a value or a step's command is not allowed.
    """
    if name.endswith((".yaml", ".yml")):
        file = Path(name)

        if not file.is_file():
            raise UserInputError(f"pipeline file '{name}' does not exist", hint="see: codec-s2st ls --kind presets")
    else:
        name = name.removeprefix("slurm/pipelines/")

        if name not in (names := pipeline_names()):
            raise unknown_name("pipeline", name, names, hint="or name a file that ends in .yaml")

        file = slurm_dir() / "pipelines" / f"{name}.yaml"

    where = f"pipeline '{file}'"

    values = Fields(where, read_yaml(file, "pipeline"), ("out", "preset", "steps"))

    if out is None:
        text = values.text("out")

        if text is None:
            raise values.error("out", "the folder of the pipeline")

        out = Path(text)

    base = load_preset(preset or values.text("preset") or "local")

    contents = values.value("steps")

    if not isinstance(contents, Mapping) or not contents:
        raise values.error("steps", "a mapping of names to steps")

    steps: dict[str, Step] = {}

    for step_name in _in_order(where, contents):
        steps[step_name] = _read_step(where, step_name, contents[step_name], out.absolute(), base, steps)

    return Pipeline(file=file, out=out.absolute(), steps=tuple(steps.values()))


def _read_step(
    where: str, name: str, content: object, out: Path, base: LaunchPreset, before: Mapping[str, Step]
) -> Step:
    values = Fields(where, content, _STEP_KEYS, path=f"steps.{name}")

    call = _read_call(values, out)

    array = values.number("array", minimum=1)

    if array == 1:
        array = None

    refuse_array(call, array)

    needs = values.texts("needs")

    parts = [call.fingerprint(), array, [before[need].fingerprint for need in needs]]

    return Step(
        name=name,
        call=call,
        needs=needs,
        array=array,
        preset=_read_override(where, name, values, call, base),
        creates=tuple(Path(_substitute(values, "creates", path, out)) for path in values.texts("creates")),
        fingerprint=hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
    )


def _read_call(values: Fields, out: Path) -> Call:
    from codec_s2st.cli import COMMANDS

    run = values.value("run")

    try:
        # A folder with blanks stays one word.
        words = list(values.texts("run")) if isinstance(run, list) else shlex.split(values.text("run") or "")
    except ValueError as ex:
        raise values.error("run", f"a command, but {str(ex).lower()}") from None

    words = [_substitute(values, "run", word, out) for word in words]

    if words[:1] == ["codec-s2st"]:
        del words[0]

    if not words or words[0] == "launch":
        raise values.error("run", "a command of codec-s2st other than launch")

    if words[0] in RECIPES and words[0] in COMMANDS and words[0] != "translate":
        return recipe_call(words)

    if words[0] not in COMMANDS:
        raise unknown_name("command", words[0], COMMANDS, hint=values.place("run"))

    return Call(name=words[0], arguments=tuple(words[1:]), out=None)


def _read_override(where: str, name: str, values: Fields, call: Call, base: LaunchPreset) -> LaunchPreset:
    preset = base if base.cluster == SLURM else LaunchPreset(name=base.name, cluster=SLURM, time_minutes=10**6)

    if "override" in values:
        path = f"steps.{name}.override"

        content = values.value("override")

        Fields(where, content, [key for key in KEYS if key != "cluster"], path=path)

        preset = read_preset(base.name, where, content, base=preset, path=path)

    # It says what differs on a cluster. Here, it was checked.
    if base.cluster != SLURM:
        preset = base

    # Other commands know nothing of ranks.
    return preset if call.out is not None else replace(preset, nodes=1, tasks_per_node=1)


def _substitute(values: Fields, key: str, text: str, out: Path) -> str:
    try:
        return Template(text).substitute(out=str(out))
    except (KeyError, ValueError):
        raise values.error(key, "without any $ but ${out}") from None


def _in_order(where: str, contents: Mapping[str, object]) -> list[str]:
    """Returns the names of the steps, each after those that it needs, and else as they stand."""
    needs: dict[str, Sequence[str]] = {}

    for name, content in contents.items():
        # YAML has keys of other types.
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", str(name)):
            raise UserInputError(f"{where}: '{name}' is no name of a step", hint="letters, digits, '_', '-' and '.'")

        needs[name] = Fields(where, content, _STEP_KEYS, path=f"steps.{name}").texts("needs")

        for need in needs[name]:
            if need not in contents:
                raise unknown_name("step", need, map(str, contents), hint=f"steps.{name}.needs in {where}")

    output: list[str] = []

    while len(output) < len(needs):
        ready = [name for name in needs if name not in output and set(needs[name]) <= set(output)]

        if not ready:
            cycle = sorted(needs.keys() - set(output))

            raise UserInputError(f"{where}: steps {', '.join(cycle)} need each other", hint="change their needs")

        output.append(ready[0])

    return output
