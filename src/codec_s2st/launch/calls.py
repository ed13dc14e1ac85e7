"""What is launched: a recipe with its arguments, whose configuration is resolved first, or another command."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codec_s2st.errors import CodecS2STError, DivergedError, UserInputError, unknown_name
from codec_s2st.launch.record import Record, write_whole
from codec_s2st.recipes.common.arguments import check_arguments
from codec_s2st.recipes.common.command import OPTIONS, build_arguments
from codec_s2st.redaction import Secrets

RECIPES: Final = (*OPTIONS, "translate")

SHARING_RECIPES: Final = ("tokenize",)
"""Those of which the elements of an array each do a part."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A command of codec-s2st with its arguments."""

    name: str

    arguments: tuple[str, ...]
    """Of a recipe, those of ``python -m codec_s2st.recipes.NAME`` without the folder; of others, all."""

    out: Path | None
    """The folder of a recipe's run, absolute; ``None`` if it is no recipe."""

    def command(self, record: Record) -> list[str]:
        """Returns the arguments of Python on the nodes; a recipe reads the configuration that was resolved."""
        if self.out is None:
            return ["-m", "codec_s2st", self.name, *self.arguments]

        return [
            "-m",
            f"codec_s2st.recipes.{self.name}",
            str(self.out),
            "--no-rich",
            "--config-file",
            str(record.config),
        ]

    def fingerprint(self) -> str:
        """Returns a hash of the command and of the configuration file that it names."""
        parts = [self.name, str(self.out), *self.arguments]

        if "--config-file" in self.arguments:
            file = Path(self.arguments[self.arguments.index("--config-file") + 1])

            # By its content: it may lie elsewhere, or be edited.
            parts[parts.index("--config-file") + 1] = hashlib.sha256(file.read_bytes()).hexdigest()

        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def recipe_call(argv: Sequence[str]) -> Call:
    """Returns the call of ``RECIPE OUT [ARGUMENTS...]``, which are those of ``codec-s2st RECIPE``.

    :raises UserInputError: there is no such recipe, or the arguments are not its.
    """
    if not argv:
        raise UserInputError(
            "what is to be launched is missing", hint="codec-s2st launch [--preset P] -- RECIPE OUT ..."
        )

    name, *rest = argv

    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES, hint="other commands can be steps of a pipeline")

    arguments = build_arguments(name, rest) if name in OPTIONS else list(rest)

    out = check_arguments(f"codec-s2st {name}", arguments)

    if "--dump-config" in arguments:
        raise UserInputError("--dump-config launches nothing", hint=f"codec-s2st launch --dry-run -- {name} OUT ...")

    if out is None:
        raise UserInputError("the output folder OUT is missing", hint=f"codec-s2st launch -- {name} OUT ...")

    # A path may be written in more ways than one.
    idx = next(idx for idx, argument in enumerate(arguments) if Path(argument) == out)

    arguments = [*arguments[:idx], *arguments[idx + 1 :]]

    return Call(name=name, arguments=tuple(arguments), out=out.absolute())


def refuse_array(call: Call, array: int | None) -> None:
    """
    :raises UserInputError: a recipe would do the same work, in the same folder, in each element of an array.
    """
    if array is not None and call.out is not None and call.name not in SHARING_RECIPES:
        raise UserInputError(
            f"{call.name} cannot be an array of {array} jobs: they would not share its work",
            hint=f"only {', '.join(SHARING_RECIPES)} can",
        )


def resolve_config(call: Call) -> str:
    """Returns the whole configuration of a recipe as YAML; it takes the seconds that fairseq2 needs to start.

    :raises CodecS2STError: the recipe refuses it, with the recipe's own message; or it holds a secret.
    """
    return resolve_configs([call])[0]


def resolve_configs(calls: Sequence[Call]) -> list[str]:
    """Returns the whole configurations of recipes as YAML; fairseq2 starts once for all of them.

    :raises CodecS2STError: a recipe refuses its own, with the recipe's own message; or it holds a secret.
    """
    result = subprocess.run(
        [sys.executable, "-m", "codec_s2st.recipes.common.resolve"],
        input=json.dumps([(call.name, call.arguments) for call in calls]),
        # It is no rank, wherever it runs.
        env={name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
        capture_output=True,
        text=True,
        check=False,
    )

    configs: list[str] = json.loads(result.stdout or "[]")

    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.strip()] or ["no message"]

        message = lines[-1].partition(": error: ")[2] or lines[-1]

        kind = {2: UserInputError, 3: DivergedError}.get(result.returncode, CodecS2STError)

        raise kind(f"{calls[len(configs)].name}: {message}")

    for config in configs:
        refuse_secret(config, "the configuration")

    return configs


def refuse_secret(text: str, what: str) -> None:
    """
    :raises UserInputError: ``text``, which is to be written into the run folder, holds the value of a secret variable.
    """
    name = Secrets.of().find(text)

    if name is not None:
        raise UserInputError(
            f"{what} holds the value of the environment variable {name}, and would be written into the run folder",
            hint="let the program read the variable itself",
        )


def write_config(record: Record, config: str) -> None:
    write_whole(record.config, config)
