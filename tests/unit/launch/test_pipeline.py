from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from codec_s2st.errors import UserInputError
from codec_s2st.launch.pipeline import Pipeline, load_pipeline, pipeline_names

Load = Callable[..., Pipeline]

STEPS: dict[str, dict[str, Any]] = {
    "corpus": {"run": "demo-corpus ${out}/corpus --num 2", "creates": ["${out}/corpus/manifest.parquet"]},
    "cpt": {"needs": ["tokenize"], "run": ["cpt", "${out}/my run", "--shards", "${out}/shards"]},
    "tokenize": {"needs": ["corpus"], "array": 4, "run": "tokenize ${out}/shards --manifest ${out}/corpus"},
}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    tmp_path.joinpath("big.yaml").write_text("cluster: slurm\nnodes: 4\ngpus_per_node: 8\ntime: 600\npartition: gpu\n")

    def load(
        content: dict[str, object] | None = None, *, preset: str | None = None, out: Path | None = None
    ) -> Pipeline:
        file = tmp_path / "p.yaml"

        with file.open("w") as fp:
            YAML(typ="safe").dump({"out": "here", "steps": STEPS, **(content or {})}, fp)

        return load_pipeline(str(file), preset=preset, out=out)

    return load


class TestLoadPipeline:
    def test_steps_come_after_those_that_they_need(self, load: Load, tmp_path: Path) -> None:
        pipeline = load()

        assert pipeline.out == tmp_path / "here"

        assert [step.name for step in pipeline.steps] == ["corpus", "tokenize", "cpt"]

        corpus, tokenize, cpt = pipeline.steps

        assert corpus.call.arguments == (str(tmp_path / "here" / "corpus"), "--num", "2") and corpus.call.out is None
        assert corpus.creates == (tmp_path / "here" / "corpus" / "manifest.parquet",)

        assert (tokenize.array, tokenize.needs) == (4, ("corpus",))

        # A list keeps blanks.
        assert cpt.call.out == tmp_path / "here" / "my run"

        assert pipeline.launches_dir(cpt) == tmp_path / "here" / "steps" / "cpt" / "launch"

    def test_the_folder_and_the_preset_of_the_command_have_the_last_word(self, load: Load, tmp_path: Path) -> None:
        assert load().steps[2].preset.cluster == "local"
        assert load(preset="big.yaml").steps[2].preset.num_tasks == 32

        pipeline = load({"preset": "big.yaml"}, out=tmp_path / "x y")

        assert pipeline.out == tmp_path / "x y" and pipeline.steps[0].call.arguments[0] == str(tmp_path / "x y/corpus")

    def test_only_recipes_have_ranks(self, load: Load) -> None:
        corpus, tokenize, _ = load(preset="big.yaml").steps

        assert (corpus.preset.num_tasks, corpus.preset.gpus_per_node) == (1, 8)
        assert tokenize.preset.num_tasks == 32

    def test_an_override_holds_on_the_cluster_alone(self, load: Load) -> None:
        steps = {**STEPS, "tokenize": {**STEPS["tokenize"], "override": {"nodes": 2, "gpus_per_node": 1, "time": 5}}}

        preset = load({"steps": steps}, preset="big.yaml").steps[1].preset

        assert (preset.num_tasks, preset.time_minutes, preset.partition) == (2, 5, "gpu")

        preset = load({"steps": steps}).steps[1].preset

        assert (preset.cluster, preset.num_tasks) == ("local", 1)

    @pytest.mark.parametrize("preset", ["local", "big.yaml"])
    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ({"nods": 2}, "unknown key 'steps.tokenize.override.nods': did you mean 'steps.tokenize.override.nodes'"),
            ({"cluster": "local"}, "unknown key 'steps.tokenize.override.cluster'"),
            ({"nodes": "two"}, "steps.tokenize.override.nodes must be a whole number from 1, but is 'two'"),
        ],
    )
    def test_a_faulty_override_is_refused_here_too(
        self, load: Load, preset: str, override: object, message: str
    ) -> None:
        with pytest.raises(UserInputError) as info:
            load({"steps": {**STEPS, "tokenize": {**STEPS["tokenize"], "override": override}}}, preset=preset)

        assert message in str(info.value)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"out": None}, "out must be the folder of the pipeline"),
            ({"steps": {}}, "steps must be a mapping of names to steps"),
            ({"stepz": {}}, "unknown key 'stepz': did you mean 'steps'?"),
            ({"steps": {"a/b": {"run": "ls"}}}, "'a/b' is no name of a step"),
            ({"steps": {"a": "ls"}}, "steps.a must be a mapping of keys to values, but is 'ls'"),
            (
                {"steps": {"a": {"run": "ls", "need": ["b"]}}},
                "unknown key 'steps.a.need': did you mean 'steps.a.needs'",
            ),
            ({"steps": {"a": {"run": "ls", "needs": ["b"]}}}, "unknown step 'b'"),
            ({"steps": {"a": {"run": "cpt out", "array": 3}}}, "cpt cannot be an array of 3 jobs"),
            ({"steps": {"a": {"run": "ls", "array": 0}}}, "steps.a.array must be a whole number from 1, but is 0"),
            ({"steps": {"a": {}}}, "steps.a.run must be a command of codec-s2st other than launch"),
            ({"steps": {"a": {"run": "launch x"}}}, "steps.a.run must be a command of codec-s2st other than launch"),
            ({"steps": {"a": {"run": "sh -c x"}}}, "unknown command 'sh'"),
            ({"steps": {"a": {"run": "ls 'x"}}}, "steps.a.run must be a command, but no closing quotation"),
            ({"steps": {"a": {"run": "ls $HOME"}}}, "steps.a.run must be without any $ but ${out}"),
            ({"steps": {"a": {"run": "cpt x --preset demo/jont"}}}, "unknown preset of cpt 'demo/jont'"),
        ],
    )
    def test_a_mistake_is_one_line_with_its_place(self, load: Load, content: dict[str, object], message: str) -> None:
        with pytest.raises(UserInputError) as info:
            load(content)

        assert message in str(info.value)

    def test_steps_that_need_each_other_are_refused(self, load: Load) -> None:
        steps = {"a": {"run": "ls", "needs": ["c"]}, "b": {"run": "ls"}, "c": {"run": "ls", "needs": ["a", "b"]}}

        with pytest.raises(UserInputError, match="steps a, c need each other"):
            load({"steps": steps})

    def test_takes_the_name_of_a_shipped_one(self, tmp_path: Path) -> None:
        assert pipeline_names() == ["demo"]

        assert load_pipeline("slurm/pipelines/demo", out=tmp_path) == load_pipeline("demo", out=tmp_path)

        with pytest.raises(UserInputError, match=r"unknown pipeline 'demoo': did you mean 'demo'"):
            load_pipeline("demoo")

        with pytest.raises(UserInputError, match=r"pipeline file 'gone\.yaml' does not exist"):
            load_pipeline("gone.yaml")


class TestFingerprint:
    def test_a_change_reaches_the_steps_that_need_it(self, load: Load) -> None:
        before = load().steps

        changed = {**STEPS["tokenize"], "run": STEPS["tokenize"]["run"] + " --strict"}

        after = load({"steps": {**STEPS, "tokenize": changed}}).steps

        assert [one.fingerprint == two.fingerprint for one, two in zip(before, after, strict=True)] == [
            True,
            False,
            False,
        ]

    def test_where_it_runs_makes_no_difference(self, load: Load) -> None:
        here, there = load().steps, load(preset="big.yaml").steps

        assert [step.fingerprint for step in here] == [step.fingerprint for step in there]
