"""Launch presets: on which machines something runs, and for how long. They say nothing of what runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.launch.fields import Fields, read_yaml
from codec_s2st.redaction import Secrets
from codec_s2st.share import slurm_dir

LOCAL: Final = "local"
SLURM: Final = "slurm"

DEFAULT_PRESET: Final = "local"

_CONTAINER_KEYS: Final = ("runtime", "image", "mounts")

# SLURM's own HH:MM would be minutes and seconds.
_TIME: Final = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")

_TIME_FORM: Final = "minutes, or a text [D-]HH:MM:SS"


@dataclass(frozen=True, kw_only=True)
class Container:
    """An image in which the tasks run."""

    runtime: str
    """``pyxis`` (options of srun) or ``apptainer`` (a program before Python)."""

    image: str

    mounts: tuple[str, ...] = ()
    """Folders that are seen in it: ``/data`` or ``/data:/inside``."""


@dataclass(frozen=True, kw_only=True)
class LaunchPreset:
    """Where and how long a job runs. ``cluster: local`` takes only tasks, environment, setup and python from it."""

    name: str

    cluster: str = LOCAL
    """``local``: processes of this machine, in the foreground; ``slurm``: a job in the queue."""

    nodes: int = 1

    gpus_per_node: int = 0

    tasks_per_node: int = 1
    """Processes of a node, each of them a rank; where a preset leaves it out, one a GPU, at least one."""

    cpus_per_task: int | None = None

    memory_gb: int | None = None
    """Memory of a node; 0 is all of it, and by default it is what the cluster gives."""

    time_minutes: int | None = None
    """The time limit; a job of SLURM must have one. ``time`` in the file: minutes, or ``[D-]HH:MM:SS``."""

    save_seconds: int = 120
    """How long before the time limit the processes are told to save and stop; then the job goes back to the queue."""

    max_requeues: int = 100
    """How many times a job goes back to the queue before it stays stopped."""

    partition: str | None = None

    account: str | None = None

    qos: str | None = None

    constraint: str | None = None

    container: Container | None = None

    python: str | None = None
    """The interpreter on the nodes, a shell command; by default the one that launches, ``python3`` in a container."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the processes. Secrets do not belong here: SLURM hands on those of the shell that submits."""

    setup: tuple[str, ...] = ()
    """Lines of shell before the processes start, such as ``module load cuda``."""

    sbatch: Mapping[str, str | int | bool] = field(default_factory=dict)
    """Further options of sbatch, without dashes in front: ``{reservation: night, exclusive: true}``."""

    @property
    def num_tasks(self) -> int:
        return self.nodes * self.tasks_per_node


KEYS: Final = tuple("time" if item.name == "time_minutes" else item.name for item in fields(LaunchPreset))[1:]


def preset_names() -> list[str]:
    """Returns the sorted names of the presets that are shipped."""
    return sorted(file.stem for file in slurm_dir().glob("*.yaml"))


def load_preset(name: str) -> LaunchPreset:
    """Returns a preset.

    :param name: one that is shipped, such as ``1x8``, or a file of the user's own that ends in ``.yaml`` or ``.yml``.
    :raises UserInputError: there is none; or its key or value is not allowed.
    """
    if name.endswith((".yaml", ".yml")):
        file = Path(name)

        if not file.is_file():
            raise UserInputError(
                f"launch preset file '{name}' does not exist", hint="see: codec-s2st ls --kind presets"
            )
    else:
        name = name.removeprefix("slurm/")

        if name not in (names := preset_names()):
            raise unknown_name("launch preset", name, names, hint="see: codec-s2st ls --kind presets")

        file = slurm_dir() / f"{name}.yaml"

    return read_preset(file.stem, f"launch preset '{file}'", read_yaml(file, "launch preset"))


def read_preset(
    name: str, where: str, content: object, *, base: LaunchPreset | None = None, path: str = ""
) -> LaunchPreset:
    """Returns the preset that a file says.

    :param where: the file, for messages.
    :param base: what holds for keys that are absent; by default the defaults of :class:`LaunchPreset`.
    :param path: the key of the mapping in the file, if it is not the file's own.
    :raises UserInputError: a key or a value is not allowed.
    """
    values = Fields(where, content, KEYS, path=path)

    base = base or LaunchPreset(name=name)

    gpus = values.count("gpus_per_node", base.gpus_per_node, minimum=0)

    tasks = max(1, gpus) if "gpus_per_node" in values else base.tasks_per_node

    memory = values.number("memory_gb", minimum=0)

    preset = replace(
        base,
        name=name,
        cluster=values.choice("cluster", (LOCAL, SLURM), base.cluster),
        nodes=values.count("nodes", base.nodes, minimum=1),
        gpus_per_node=gpus,
        tasks_per_node=values.count("tasks_per_node", tasks, minimum=1),
        cpus_per_task=values.number("cpus_per_task", minimum=1) or base.cpus_per_task,
        memory_gb=base.memory_gb if memory is None else memory,
        time_minutes=_minutes(values) if "time" in values else base.time_minutes,
        save_seconds=values.count("save_seconds", base.save_seconds, minimum=1),
        max_requeues=values.count("max_requeues", base.max_requeues, minimum=0),
        partition=values.text("partition") or base.partition,
        account=values.text("account") or base.account,
        qos=values.text("qos") or base.qos,
        constraint=values.text("constraint") or base.constraint,
        container=_container(values, where) if "container" in values else base.container,
        python=values.text("python") or base.python,
        environment={**base.environment, **_environment(values)},
        setup=values.texts("setup") or base.setup,
        sbatch={**base.sbatch, **values.mapping("sbatch")},
    )

    if preset.cluster == SLURM:
        _check_slurm(preset, values)
    elif preset.nodes > 1:
        raise values.error("nodes", "1 with cluster: local")

    return preset


def _check_slurm(preset: LaunchPreset, values: Fields) -> None:
    if preset.time_minutes is None:
        raise values.error("time", f"{_TIME_FORM}, with cluster: slurm")

    if preset.save_seconds >= 60 * preset.time_minutes:
        raise values.error("save_seconds", f"less than the time limit, {60 * preset.time_minutes} s")


def _minutes(values: Fields) -> int:
    value = values.value("time")

    if isinstance(value, str) and (match := _TIME.fullmatch(value)):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())

        # Rounded up, as SLURM does.
        total = (days * 24 + hours) * 60 + minutes + (seconds > 0)
    elif isinstance(value, int) and not isinstance(value, bool):
        total = value
    else:
        total = 0

    if total < 1:
        raise values.error("time", f"{_TIME_FORM}, of at least one minute")

    return total


def _environment(values: Fields) -> dict[str, str]:
    variables = values.mapping("environment")

    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise values.error("environment", f"variables, of which '{name}' is no name")

        # YAML's true is not a word that programs expect.
        if isinstance(value, bool):
            raise values.error("environment", f"texts or numbers (quote the value of {name})")

    environment = {name: str(value) for name, value in variables.items()}

    for name in Secrets.of(environment).values:
        raise UserInputError(
            f"environment.{name} of a launch preset is a secret by its name, and would be written into the run folder",
            hint="leave it out and export it in the shell that launches, which hands it on",
        )

    return environment


def _container(values: Fields, where: str) -> Container:
    parts = Fields(where, values.value("container"), _CONTAINER_KEYS, path="container")

    image = parts.text("image")

    if image is None:
        raise parts.error("image", "the name or the path of an image")

    runtime = parts.choice("runtime", ("pyxis", "apptainer"), "pyxis")

    return Container(runtime=runtime, image=image, mounts=parts.texts("mounts"))
