"""What launching does with presets: the resolved configuration of every run preset, and every shipped pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.explain import explain
from codec_s2st.launch.pipeline import load_pipeline, pipeline_names
from codec_s2st.launch.preset import load_preset, preset_names
from codec_s2st.recipes.common.command import make_recipe
from codec_s2st.recipes.common.entry import run_recipe
from codec_s2st.share import recipes_dir, slurm_dir

FILES = sorted(recipes_dir().rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(recipes_dir()).with_suffix("").as_posix())
def test_a_resolved_configuration_resolves_to_itself(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = file.relative_to(recipes_dir()).parts[0]

    def resolve(path: Path) -> str:
        run_recipe(make_recipe(recipe), ["--dump-config", "--config-file", str(path)])

        return capsys.readouterr().out

    try:
        first = resolve(file)
    except Exception as ex:
        # It says which key is to be set.
        assert "# Set: " in file.read_text(), explain(ex)

        return

    again = tmp_path / "config.yaml"

    again.write_text(first)

    assert resolve(again) == first


def test_every_file_is_a_launch_preset_or_a_pipeline() -> None:
    files = {file.relative_to(slurm_dir()).with_suffix("").as_posix() for file in slurm_dir().rglob("*.yaml")}

    assert files == {*preset_names(), *(f"pipelines/{name}" for name in pipeline_names())}


@pytest.mark.parametrize("name", pipeline_names())
@pytest.mark.parametrize("preset", preset_names())
def test_every_pipeline_runs_with_every_launch_preset(name: str, preset: str, tmp_path: Path) -> None:
    pipeline = load_pipeline(name, out=tmp_path, preset=preset)

    assert pipeline.out == tmp_path

    assert {step.preset.cluster for step in pipeline.steps} == {load_preset(preset).cluster}
