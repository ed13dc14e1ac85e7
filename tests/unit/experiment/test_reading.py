from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.experiment.experiment import Training
from codec_s2st.experiment.reading import experiment_names, find_experiment, read_experiment, with_seeds
from codec_s2st.experiment.training_configs import cpt_config, merge, task_config
from codec_s2st.share import experiments_dir
from tests.experiments import EXPERIMENT, write_yaml


def changed(path: str, value: Any) -> dict[str, Any]:
    """The experiment with one key set; ``...`` removes it."""
    content = deepcopy(EXPERIMENT)

    *parents, key = path.split(".")

    place = content

    for parent in parents:
        place = place[parent]

    if value is ...:
        del place[key]
    else:
        place[key] = value

    return content


class TestReadExperiment:
    def test_says_what_the_file_says(self, tmp_path: Path) -> None:
        found = read_experiment(write_yaml(tmp_path))

        assert found.text_llm == Training(preset="demo/text-lm", config={}) and found.seeds == (1, 2)

        scratch, joint = found.arms

        assert (scratch.label, scratch.init, scratch.cpt) == ("scratch", "none", None)
        assert (joint.label, joint.init) == ("joint CPT", "text_llm") and joint.cpt is not None

        assert found.tasks[0].evaluated_as == "asr" and found.tasks[0].listener is None

        assert found.corpora["test"].options == ("--world", "small", "--split", "test", "--num", "3", "--seed", "5")

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            ("armz", {}, "unknown key 'armz': did you mean 'arms'?"),
            ("arms.joint.inti", "none", "unknown key 'arms.joint.inti': did you mean 'arms.joint.init'?"),
            ("arms.joint.init", "llm", "arms.joint.init must be none or text_llm, but is 'llm'"),
            ("arms.joint.cpt.preset", ..., "arms.joint.cpt.preset must be a preset of cpt, but is None"),
            ("arms.joint.cpt.preset", "demo/jiont", "unknown preset of cpt 'demo/jiont': did you mean 'demo/joint'?"),
            ("arms.joint.config", 3, "arms.joint.config must be a mapping"),
            ("arms", {"A b": {}}, "'A b' is no name: arms"),
            ("tasks.asr.evaluate.corpus", "tset", "unknown corpus 'tset': did you mean 'test'?"),
            ("tasks.asr.metric", ..., "tasks.asr.metric must be the name of a metric"),
            ("tasks.asr.preset", "demo/ars", "unknown preset of s2st 'demo/ars': did you mean 'demo/asr'?"),
            ("corpora.test.manifest", "m", "corpora.test.manifest must be without world, split, num and seed"),
            ("corpora.test.num", 0, "corpora.test.num must be a whole number from 1, but is 0"),
            ("reference", "jont", "reference must be scratch or joint, but is 'jont'"),
            ("seeds", [1, 1], "seeds must be a list of different whole numbers from 1"),
            ("seeds", [True], "seeds must be a list of different whole numbers from 1"),
            ("retention.language", ..., "retention.language must be a language's ISO 639-3 code"),
            ("findings.cpt_helps.checks", [], "findings.cpt_helps.checks must be a list of {better, worse, task}"),
            ("findings.cpt_helps.checks", [{"better": "joint", "worse": "x", "task": "asr"}], "unknown worse 'x'"),
            ("tasks.retention", EXPERIMENT["tasks"]["asr"], "no task can be called retention"),
            ("held_out", ["asr"], "task asr is held out, but in the mixture of arm joint"),
            ("tasks.cpt", EXPERIMENT["tasks"]["asr"], "no task can be called cpt"),
            ("tasks.asr.listener", "opne", "unknown transcriber 'opne': did you mean 'open'?"),
            ("tasks.asr.listener", "open,self", "tasks.asr.listener must be one listener, but is 'open,self'"),
            ("corpora.test.world", "lagre", "corpora.test.world must be small or demo or large, but is 'lagre'"),
            ("corpora.test.split", "tset", "corpora.test.split must be train or"),
            ("retention.language", "xx", "unknown language 'xx'"),
            ("tasks.asr.evaluate.task", "ars", "unknown task 'ars': did you mean 'asr'? (tasks.asr.evaluate.task in"),
            ("retention.world", "x", "retention.world must be small or demo or large"),
            ("config", {"data": {"mixture": [3]}}, "data.mixture of arm joint must be a list of {task, ...}"),
        ],
    )
    def test_what_it_should_not_hold_is_one_line(self, path: str, value: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises(UserInputError) as info:
            read_experiment(write_yaml(tmp_path, changed(path, value)))

        assert message in str(info.value) and "\n" not in str(info.value)

    def test_another_budget_of_an_arm_needs_a_reason(self, tmp_path: Path) -> None:
        content = changed("arms.joint.config", {"regime": {"num_steps": 5}})

        with pytest.raises(UserInputError, match=r"regime.num_steps of asr is 5 for arm joint, but 4 for arm scratch"):
            read_experiment(write_yaml(tmp_path, content))

        content["arms"]["joint"]["other_budget"] = "it is what the ablation is about"

        assert read_experiment(write_yaml(tmp_path, content)).arm("joint").other_budget is not None

    def test_budget_of_pre_training_is_each_arms_own(self, tmp_path: Path) -> None:
        found = read_experiment(write_yaml(tmp_path))

        assert cpt_config(found, found.arm("joint"), 1)["regime"]["num_steps"] == 6
        assert task_config(found, found.arm("joint"), found.task("asr"), 1)["regime"]["num_steps"] == 4


class TestConfigs:
    def test_later_ones_are_over_earlier_ones(self) -> None:
        base = {"a": {"b": 1, "c": 2}, "l": [1, 2]}

        assert merge(base, {"a": {"b": 3}}, {"l": [4], "n": None}) == {"a": {"b": 3, "c": 2}, "l": [4], "n": None}

        assert base == {"a": {"b": 1, "c": 2}, "l": [1, 2]}

    def test_random_weights_have_no_init_but_a_shape(self, tmp_path: Path) -> None:
        found = read_experiment(write_yaml(tmp_path))

        config = task_config(found, found.arm("scratch"), found.task("asr"), 2)

        assert config["init"] is None and config["model"] == {"family": "codec_s2st_lm", "arch": "tiny"}

        assert config["common"] == {"no_sweep_dir": True, "seed": 2} and config["data"]["seed"] == 2


class TestShipped:
    @pytest.mark.parametrize("name", experiment_names())
    def test_can_be_read_and_holds_s2st_out(self, name: str) -> None:
        found = read_experiment(experiments_dir() / f"{name}.yaml")

        for arm in found.arms:
            if arm.cpt is not None:
                tasks = {entry["task"] for entry in cpt_config(found, arm, 1)["data"]["mixture"]}

                assert tasks and not any(task.startswith("s2st") for task in tasks), arm.name

    @pytest.mark.parametrize("preset", ["small", "demo"])
    def test_four_way_has_the_papers_arms_and_findings(self, preset: str) -> None:
        found = read_experiment(find_experiment("four-way", preset))

        assert [(arm.init, None if arm.cpt is None else arm.cpt.preset) for arm in found.arms] == [
            ("none", None),
            ("text_llm", None),
            ("text_llm", "demo/speech-only"),
            ("text_llm", "demo/joint"),
        ]

        assert all(arm.other_budget is None and not arm.config for arm in found.arms)

        assert (len(found.seeds), len(found.tasks)) == {"small": (3, 2), "demo": (1, 4)}[preset]

        if preset == "demo":
            assert len(found.findings) == 4


class TestFindExperiment:
    def test_small_is_the_default_size(self) -> None:
        assert find_experiment("four-way", None) == find_experiment("four-way", "small")

        assert find_experiment("ablations/text-share", None).is_file()

    @pytest.mark.parametrize(
        ("name", "preset", "message"),
        [
            ("four-wya", None, "unknown experiment 'four-wya'"),
            ("four-way", "smal", "unknown preset of four-way 'smal': did you mean 'small'?"),
            ("ablations/text-share", "demo", "has no presets"),
            ("nowhere.yaml", None, "does not exist"),
        ],
    )
    def test_says_what_there_is(self, name: str, preset: str | None, message: str) -> None:
        with pytest.raises(UserInputError, match=message):
            find_experiment(name, preset)


def test_more_seeds_are_the_next_numbers(tmp_path: Path) -> None:
    found = read_experiment(write_yaml(tmp_path, seeds=[7, 3]))

    assert with_seeds(found, 1).seeds == (7,) and with_seeds(found, 4).seeds == (7, 3, 8, 9)

    with pytest.raises(UserInputError, match="--seeds is 0"):
        with_seeds(found, 0)
