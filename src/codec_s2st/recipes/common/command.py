"""``codec-s2st RECIPE OUT ...``: friendly options, turned into the arguments of fairseq2's recipe command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from codec_s2st.arguments import CommandParser, path_argument
from codec_s2st.errors import UserInputError
from codec_s2st.recipes.common.arguments import check_override
from codec_s2st.recipes.common.stopping import stop_signals

if TYPE_CHECKING:
    from fairseq2.recipe.base import Recipe


class Option(NamedTuple):
    """A command-line option that sets a key of the recipe's configuration."""

    flag: str
    key: str
    help: str
    kind: str = "value"
    """``value``, ``paths`` (one or more), or ``switch``."""


_SHARDS: Final = Option(
    "--shards",
    "dataset={family: codec_s2st_shards, config_overrides: {shards: %s}}",
    "folders of token shards",
    "paths",
)

_INIT: Final = Option("--init", "init=%s", "what to start from: a model card, a run, or a Hugging Face folder")

_MANIFEST: Final = Option("--manifest", "manifest=%s", "a manifest, or its folder", "path")

OPTIONS: Final[dict[str, tuple[Option, ...]]] = {
    "codec": (Option("--manifest", "data.manifest=%s", "a manifest; by default demo speech is synthesised", "path"),),
    "tokenize": (
        _MANIFEST,
        Option("--codec", "codec=%s", "the card of the codec"),
        Option("--strict", "strict=true", "fail if an utterance cannot be read", "switch"),
    ),
    "cpt": (_SHARDS, _INIT),
    "s2st": (_SHARDS, _INIT),
    "evaluate": (
        _MANIFEST,
        Option("--model", "model_card=%s", "a model card, a card file, or a published folder"),
        Option("--task", "task=%s", "the task to score"),
        Option("--split", "split=%s", "the split of the manifest to score; all rows by default"),
    ),
}

_CLASSES: Final = {
    "codec": "CodecRecipe",
    "tokenize": "TokenizeRecipe",
    "cpt": "CptRecipe",
    "s2st": "S2STRecipe",
    "evaluate": "EvaluateRecipe",
}

STOPPABLE: Final = frozenset({"codec", "cpt", "s2st", "tokenize"})
"""The recipes that save what they have done when they are asked to stop; a signal ends the others at once."""


def build_arguments(recipe: str, argv: Sequence[str]) -> list[str]:
    """Returns the arguments of ``python -m codec_s2st.recipes.<recipe>`` that do the same.

    :raises UserInputError: the preset does not exist.
    """
    from codec_s2st.share import preset_path

    args = _make_parser(recipe).parse_args(list(argv))

    arguments = []

    if args.out is not None:
        arguments.append(str(args.out))

    if args.preset is not None and args.config_file is not None:
        raise UserInputError("--preset and --config-file exclude each other", hint="codec-s2st cp PRESET FILE")

    if args.preset is not None:
        arguments += ["--config-file", str(preset_path(recipe, args.preset))]
    elif args.config_file is not None:
        arguments += ["--config-file", str(args.config_file)]

    chosen = [_override(option, args) for option in OPTIONS[recipe]]

    groups = [[override for override in chosen if override is not None], *(args.config or [])]

    # A group each: within one, a key below another that is set is lost.
    for group in groups:
        for override in group:
            check_override(override)

        if group:
            arguments += ["--config", *group]

    if args.dump_config:
        arguments.append("--dump-config")
    elif args.out is None:
        raise UserInputError("the output folder OUT is missing", hint=f"codec-s2st {recipe} --help")

    return arguments


def _make_parser(recipe: str) -> ArgumentParser:
    parser = CommandParser(prog=f"codec-s2st {recipe}", description=f"Runs the recipe {recipe}.")

    parser.add_argument(
        "out", metavar="OUT", type=path_argument, nargs="?", help="the folder of the run; a run in it is resumed"
    )
    parser.add_argument("--preset", metavar="P", help="a preset (see codec-s2st ls), or a .yaml file")
    parser.add_argument("--config-file", metavar="F", type=path_argument, help="a file instead of a preset")
    parser.add_argument("--config", metavar="K=V", nargs="+", action="append", help="keys to override, such as a.b=1")
    parser.add_argument("--dump-config", action="store_true", help="print the configuration and stop")

    for option in OPTIONS[recipe]:
        if option.kind == "switch":
            parser.add_argument(option.flag, action="store_true", help=option.help)
        elif option.kind == "paths":
            parser.add_argument(option.flag, metavar="DIR", nargs="+", type=path_argument, help=option.help)
        elif option.kind == "path":
            parser.add_argument(option.flag, metavar="PATH", type=path_argument, help=option.help)
        else:
            parser.add_argument(option.flag, metavar="X", help=option.help)

    return parser


def _override(option: Option, args: Namespace) -> str | None:
    value = _value(option, args)

    if value is None or value is False:
        return None

    if value is True:
        return option.key

    # JSON is YAML, and quotes what YAML would read as something else.
    if isinstance(value, list):
        return option.key % json.dumps([str(path.absolute()) for path in value])

    return option.key % json.dumps(str(value.absolute()) if isinstance(value, Path) else value)


def _value(option: Option, args: Namespace) -> object:
    return getattr(args, option.flag.removeprefix("--").replace("-", "_"))


def run_recipe_command(recipe: str, argv: Sequence[str]) -> int:
    """Runs ``codec-s2st RECIPE`` and returns 0; every error is raised."""
    arguments = build_arguments(recipe, argv)

    _check_paths(recipe, argv)

    from codec_s2st.recipes.common.entry import run_recipe

    # From here on: what is imported next takes seconds.
    with stop_signals() if recipe in STOPPABLE else nullcontext():
        run_recipe(make_recipe(recipe), arguments)

    return 0


def _check_paths(recipe: str, argv: Sequence[str]) -> None:
    # The recipe would say it too, after some seconds, and after making the folder of the run. What is launched, or is a
    # step of a pipeline, may read what is not there yet.
    args = _make_parser(recipe).parse_args(list(argv))

    for option in OPTIONS[recipe]:
        value = _value(option, args)

        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path) and not path.exists():
                raise UserInputError(f"{option.flag} '{path}' does not exist")


def make_recipe(recipe: str) -> Recipe:
    """Returns the recipe of that name."""
    module = import_module(f"codec_s2st.recipes.{recipe}.recipe")

    made: Recipe = getattr(module, _CLASSES[recipe])()

    return made


def _command(recipe: str) -> Callable[[Sequence[str]], int]:
    return lambda argv: run_recipe_command(recipe, argv)


main_codec = _command("codec")
main_tokenize = _command("tokenize")
main_cpt = _command("cpt")
main_s2st = _command("s2st")
main_evaluate = _command("evaluate")
