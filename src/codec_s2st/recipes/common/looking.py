"""Commands that read a recipe's configuration as the recipe does, and run something else than the recipe."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from codec_s2st.errors import UserInputError

if TYPE_CHECKING:
    from fairseq2.recipe.base import Recipe

TRAINING_RECIPES: Final = ("cpt", "s2st")


def recipe_of_preset(preset: str, recipe: str | None) -> str:
    """Returns the training recipe that a preset is for.

    :param recipe: As the user has given it, if at all.

    :raises UserInputError: neither says it.
    """
    name = recipe or preset.partition("/")[0]

    if name not in TRAINING_RECIPES:
        known = "--recipe cpt or s2st" if preset.endswith((".yaml", ".yml")) else "cpt/demo/joint or s2st/demo"

        raise UserInputError(f"'{preset}' does not say which recipe it is for", hint=f"give {known}")

    return name


def look_with(recipe: Recipe, name: str, preset: str, options: Sequence[str]) -> None:
    """Runs ``recipe`` with the arguments of the recipe called ``name``, in a folder that is removed again."""
    from codec_s2st.recipes.common.command import build_arguments
    from codec_s2st.recipes.common.entry import run_recipe

    logger = logging.getLogger("fairseq2")

    # The folder of a run, which this is not, and its log would hide what is shown.
    def is_warning(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger.addFilter(is_warning)

    try:
        with tempfile.TemporaryDirectory(prefix="codec_s2st-") as folder:
            run_recipe(recipe, build_arguments(name, [folder, "--preset", preset, *options]))
    finally:
        logger.removeFilter(is_warning)

        sys.stdout.flush()
