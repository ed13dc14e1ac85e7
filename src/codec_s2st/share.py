"""Finds the user-facing folders (cards, presets, experiments, launch presets) of a wheel and of a checkout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from codec_s2st.errors import CodecS2STError, UserInputError, unknown_name

CARD_PREFIX: Final = "codec_s2st_"


def share_dir() -> Path:
    """Returns the folder that holds them: ``codec_s2st/_share`` of a wheel, else the root of the checkout.

    :raises CodecS2STError: if neither exists, i.e. the installation is broken.
    """
    package_dir = Path(__file__).resolve().parent

    for candidate in (package_dir / "_share", package_dir.parents[1]):
        if candidate.joinpath("assets").is_dir() and candidate.joinpath("recipes").is_dir():
            return candidate

    raise CodecS2STError(
        f"the folders assets/ and recipes/ are missing beside {package_dir}",
        hint="reinstall: pip install --force-reinstall --no-deps codec_s2st",
    )


def assets_dir() -> Path:
    """Returns the folder of the asset cards and of the checkpoints that they name."""
    return share_dir() / "assets"


def recipes_dir() -> Path:
    """Returns the folder of the run presets: a folder a recipe, a file a run."""
    return share_dir() / "recipes"


def experiments_dir() -> Path:
    """Returns the folder of the experiments: a file each, or a folder with a file for each size."""
    return share_dir() / "experiments"


def slurm_dir() -> Path:
    """Returns the folder of the launch presets."""
    return share_dir() / "slurm"


def card_name(name: str) -> str:
    """Returns the full name of our card ``name``: ``demo_codec`` and ``codec_s2st_demo_codec`` are the same card."""
    return name if name.startswith(CARD_PREFIX) else CARD_PREFIX + name


def preset_names(recipe: str) -> list[str]:
    """Returns the sorted names of the presets of ``recipe``, e.g. ``["demo/joint", "demo/text"]``.

    :raises UserInputError: if there is no recipe of that name.
    """
    folder = recipes_dir() / recipe

    if not recipe.isidentifier() or not folder.is_dir():
        known = [path.name for path in recipes_dir().iterdir() if path.is_dir()]

        raise unknown_name("recipe", recipe, known)

    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def preset_path(recipe: str, preset: str) -> Path:
    """Returns the file of a preset.

    :param preset: ``demo`` is ``recipes/<recipe>/demo.yaml``, ``demo/joint`` is ``recipes/<recipe>/demo/joint.yaml``.
        So is ``<recipe>/demo/joint``, its name among those of all recipes; whatever ends in ``.yaml`` or ``.yml`` is
        a file of the user's own.
    :raises UserInputError: if there is no such preset (the nearest name is suggested) or no such file.
    """
    if preset.endswith((".yaml", ".yml")):
        path = Path(preset)

        if not path.is_file():
            raise UserInputError(f"preset file '{preset}' does not exist")

        return path

    names = preset_names(recipe)

    preset = preset.removeprefix(f"{recipe}/")

    if preset not in names:
        raise unknown_name(f"preset of {recipe}", preset, names, hint="see: codec-s2st ls --kind presets")

    return recipes_dir() / recipe / f"{preset}.yaml"


def cache_dir() -> Path:
    """Returns the folder for what can be made again, such as the demo's shards; it need not exist.

    ``$CODEC_S2ST_CACHE``, else ``$XDG_CACHE_HOME/codec_s2st``, else ``~/.cache/codec_s2st``.
    """
    if value := os.environ.get("CODEC_S2ST_CACHE"):
        return Path(value).expanduser()

    if value := os.environ.get("XDG_CACHE_HOME"):
        return Path(value).expanduser() / "codec_s2st"

    return Path("~/.cache/codec_s2st").expanduser()
