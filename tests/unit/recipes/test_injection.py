"""Configurations that would have something run, or take all memory, are refused, and the key is named."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import codec_s2st
from codec_s2st.cards import read_cards
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.explain import explain
from codec_s2st.recipes.common.entry import run_recipe
from codec_s2st.recipes.cpt.recipe import CptRecipe

BOMB = "a0: &a0 {x: 1, y: 1, z: 1}\n" + "".join(
    f"a{idx}: &a{idx} {{x: *a{idx - 1}, y: *a{idx - 1}, z: *a{idx - 1}}}\n" for idx in range(1, 40)
)


def refused(*arguments: str) -> str:
    with pytest.raises(Exception) as info:
        run_recipe(CptRecipe(), ["--dump-config", *arguments])

    error = explain(info.value)

    assert isinstance(error, CodecS2STError) and error.exit_code == 2

    return str(error)


@pytest.mark.parametrize("tag", ["object/apply:os.system", "object/new:os.system", "module:os", "name:os.system"])
def test_python_tags_are_refused_and_not_run(tag: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    value = f"!!python/{tag} [touch {marker}]"

    assert "--config 'common.seed=!!python/" in refused("--config", f"common.seed={value}")

    file = tmp_path / "config.yaml"

    file.write_text(f"common:\n  seed: {value}\n")

    assert f"configuration file '{file}' is not valid YAML at line 2" in refused("--config-file", str(file))

    assert not marker.exists()


def test_aliases_that_stand_for_too_much_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"

    file.write_text(f"model:\n  config_overrides:\n{''.join(f'    {line}' for line in BOMB.splitlines(keepends=True))}")

    assert "stands for more than 100,000 values" in refused("--config-file", str(file))

    flow = "{" + ", ".join(BOMB.splitlines()) + "}"

    assert "--config 'model.config_overrides' stands for more than" in refused(
        "--config", f"model.config_overrides={flow}"
    )


def test_cards_are_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "card.yaml"

    file.write_text(f"name: bomb\nmodel_family: codec_s2st_codec_lm\n{BOMB}")

    with pytest.raises(UserInputError, match=r"asset card file .*card\.yaml stands for more than"):
        read_cards(file)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("data.mixtures=[]", "data.mixtures"),
        ("data.mixture=[{task: s2st, weigth: 2}]", "weigth"),
        ("data.mixture=3", "data.mixture"),
        ("data.mixture=[3]", "data.mixture"),
        ("data.packing=maybe", "data.packing"),
        ("data.max_seq_len=[1]", "data.max_seq_len"),
        ("regime.num_steps={a: 1}", "regime.num_steps"),
        ("trainer.mixed_precision.dtype=os", "trainer.mixed_precision.dtype"),
        ("trainer.mixed_precision.mode=sometimes", "trainer.mixed_precision.mode"),
        ("guards.max_skipped_steps=few", "guards.max_skipped_steps"),
        ("guards.max_skiped_steps=1", "guards.max_skiped_steps"),
        ("checkpoints.strict=perhaps", "checkpoints.strict"),
        ("model.__class__=1", "model.__class__"),
        ("__class__.__init__=1", "__class__"),
        ("optimizer.config.betas=[a, b]", "optimizer.config.betas"),
        ("common={}", "common"),
    ],
)
def test_what_does_not_fit_is_named(override: str, key: str) -> None:
    if override == "common={}":
        # Nothing in it is wrong.
        run_recipe(CptRecipe(), ["--dump-config", "--config", override])

        return

    assert key in refused("--config", override)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("guards.max_skipped_steps=-1", "`max_skipped_steps` must be at least 0"),
        ("guards.spike_deviations=0", "`spike_deviations` must be positive"),
        ("guards.spike_deviations=.nan", "`spike_deviations` must be positive"),
        ("guards.hang_timeout=.nan", "`hang_timeout` must be positive"),
        ("guards.max_idle_starts=0", "`max_idle_starts` must be at least 1"),
        ("guards.hang_timeout=-3", "`hang_timeout` must be positive"),
    ],
)
def test_values_out_of_range_are_named(override: str, words: str) -> None:
    assert words in refused("--config", override)


def test_nothing_of_ours_runs_texts_or_unpickles() -> None:
    """Nor does it use the parquet builder of fairseq2, which evaluates filters that a configuration holds."""
    forbidden = {
        *("eval", "exec", "__import__", "os.system", "pickle.load", "pickle.loads", "pickle.Unpickler"),
        *("torch.load", "yaml.load", "marshal.loads", "shelve.open", "joblib.load"),
    }

    root = Path(codec_s2st.__file__).parent

    # What its own child processes send it.
    workers = root / "data" / "workers.py"

    for file in set(root.rglob("*.py")) - {workers}:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            # Tensors alone are read so: what else a pickle would make is refused.
            if isinstance(node, ast.Call) and "weights_only=True" not in map(ast.unparse, node.keywords):
                assert ast.unparse(node.func) not in forbidden, f"{file}:{node.lineno}"

            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]

                assert not any("fairseq2.data.parquet" in name or name == "pickle" for name in names), file
