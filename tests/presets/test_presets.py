"""Every run preset of the repository, through the recipe's own command line.

A preset that cannot run as it is says so in a line ``# Set: key, key`` and fails with the name of the key.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from fairseq2.recipe.base import Recipe
from ruamel.yaml import YAML

from codec_s2st.explain import explain
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.plan.command import arch_of_preset
from codec_s2st.recipes.common.entry import run_recipe
from codec_s2st.share import recipes_dir

FILES = sorted(recipes_dir().rglob("*.yaml"))

# Keys that say on how many machines a run runs; they belong in slurm/.
CLUSTER_KEYS = {"cluster", "nodes", "tasks_per_node", "gpus_per_node", "cpus_per_task", "partition", "timeout_min"}


def preset_id(file: Path) -> str:
    return file.relative_to(recipes_dir()).with_suffix("").as_posix()


def load_recipe(file: Path) -> Recipe:
    name = file.relative_to(recipes_dir()).parts[0]

    module = import_module(f"codec_s2st.recipes.{name}.recipe")

    for kls in vars(module).values():
        if isinstance(kls, type) and issubclass(kls, Recipe) and kls.__name__.lower() == f"{name}recipe":
            return kls()

    raise AssertionError(f"{module.__name__} has no recipe.")


def keys_to_set(file: Path) -> list[str]:
    match = re.search(r"^# Set: (.+)$", file.read_text(), flags=re.MULTILINE)

    return [] if match is None else [key.strip(" .") for key in match.group(1).split(",")]


def all_keys(obj: object, prefix: str = "") -> set[str]:
    if not isinstance(obj, dict):
        return {prefix}

    return {key for name, value in obj.items() for key in all_keys(value, f"{prefix}.{name}".lstrip("."))}


every_preset = pytest.mark.parametrize("file", FILES, ids=preset_id)


def test_there_are_presets() -> None:
    assert FILES


@every_preset
def test_preset_is_merged_into_the_config_of_its_recipe(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load_recipe(file)

    try:
        run_recipe(recipe, ["--dump-config", "--config-file", str(file)])
    except Exception as ex:
        keys = keys_to_set(file)

        assert keys, explain(ex)

        assert any(key in str(explain(ex)) for key in keys)
    else:
        merged = YAML(typ="safe").load(capsys.readouterr().out)

        # What the preset says is in the result, and the result has the keys that are to be set.
        assert all_keys(YAML(typ="safe").load(file.read_text())) <= all_keys(merged)
        assert set(keys_to_set(file)) <= all_keys(merged)


@pytest.mark.parametrize("file", [file for file in FILES if keys_to_set(file)], ids=preset_id)
def test_preset_that_cannot_run_names_the_key_to_set(file: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception) as exc_info:
        run_recipe(load_recipe(file), [str(tmp_path), "--config-file", str(file), "--no-rich"])

    error = explain(exc_info.value)

    assert error.exit_code == 2
    assert any(key in str(error) for key in keys_to_set(file)), error


@every_preset
def test_preset_has_no_cluster_keys(file: Path) -> None:
    content = YAML(typ="safe").load(file.read_text())

    leaves = {key.rpartition(".")[2] for key in all_keys(content)}

    assert leaves & CLUSTER_KEYS == set()


@pytest.mark.parametrize("file", [file for file in FILES if "init" in keys_to_set(file)], ids=preset_id)
def test_preset_whose_model_is_to_be_set_says_its_architecture(file: Path) -> None:
    recipe, _, preset = preset_id(file).partition("/")

    assert arch_of_preset(recipe, preset) in get_codec_lm_hub().get_archs()
