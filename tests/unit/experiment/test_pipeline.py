from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from codec_s2st.errors import UserInputError
from codec_s2st.experiment.files import open_experiment, write_experiment
from codec_s2st.experiment.pipeline import compile_experiment
from codec_s2st.experiment.reading import read_experiment
from codec_s2st.launch.pipeline import load_pipeline
from tests.experiments import EXPERIMENT, write_yaml

# What the experiment of these tests with one seed is compiled to.
STEPS_TEXT = """
text-llm:
  run: cpt ${out}/runs/text-llm --config-file ${out}/configs/text-llm.yaml
asr-scratch-1:
  run: s2st ${out}/runs/asr-scratch-1 --config-file ${out}/configs/asr-scratch-1.yaml
publish-asr-scratch-1:
  needs: [asr-scratch-1]
  run: publish ${out}/runs/asr-scratch-1 ${out}/published/asr-scratch-1 --name asr_scratch_1 --overwrite
  creates: ['${out}/published/asr-scratch-1/card.yaml']
corpus-test:
  run: demo-corpus ${out}/corpora/test --world small --split test --num 3 --seed 5
  creates: ['${out}/corpora/test/manifest.parquet']
evaluate-asr-scratch-1:
  needs: [publish-asr-scratch-1, corpus-test]
  run: >-
    evaluate ${out}/evaluations/asr-scratch-1 --config-file ${out}/configs/evaluate-asr-scratch-1.yaml
    --manifest ${out}/corpora/test --model ${out}/published/asr-scratch-1
cpt-joint-1:
  needs: [text-llm]
  run: cpt ${out}/runs/cpt-joint-1 --config-file ${out}/configs/cpt-joint-1.yaml --init ${out}/runs/text-llm
asr-joint-1:
  needs: [cpt-joint-1]
  run: s2st ${out}/runs/asr-joint-1 --config-file ${out}/configs/asr-joint-1.yaml --init ${out}/runs/cpt-joint-1
publish-asr-joint-1:
  needs: [asr-joint-1]
  run: publish ${out}/runs/asr-joint-1 ${out}/published/asr-joint-1 --name asr_joint_1 --overwrite
  creates: ['${out}/published/asr-joint-1/card.yaml']
evaluate-asr-joint-1:
  needs: [publish-asr-joint-1, corpus-test]
  run: >-
    evaluate ${out}/evaluations/asr-joint-1 --config-file ${out}/configs/evaluate-asr-joint-1.yaml
    --manifest ${out}/corpora/test --model ${out}/published/asr-joint-1
texts:
  run: experiment texts ${out}/retention/texts.txt --world small --split test --num 9 --seed 1
  creates: ['${out}/retention/texts.txt']
retention-1:
  needs: [texts, text-llm, cpt-joint-1]
  run: >-
    text-report ${out}/runs/text-llm ${out}/runs/cpt-joint-1 --text ${out}/retention/texts.txt
    --language eng --out ${out}/retention/1
  creates: ['${out}/retention/1/text_report.json']
table:
  needs: [evaluate-asr-scratch-1, evaluate-asr-joint-1, retention-1]
  run: experiment table ${out}
  creates: ['${out}/results.json', '${out}/results.md', '${out}/results.html']
"""

STEPS = YAML(typ="safe").load(STEPS_TEXT)


class TestCompile:
    def test_steps(self, tmp_path: Path) -> None:
        compiled = compile_experiment(read_experiment(write_yaml(tmp_path, seeds=[1])))

        steps = {name: {**step, "run": " ".join(step["run"])} for name, step in compiled.steps.items()}

        assert steps == STEPS and list(steps) == list(STEPS)

        assert compiled.configs["evaluate-asr-joint-1"] == {"task": "asr"}

        assert compiled.configs["cpt-joint-1"]["regime"]["num_steps"] == 6
        assert compiled.configs["asr-joint-1"]["regime"]["num_steps"] == 4

        # Its own default; what an arm starts from is given by the step.
        assert compiled.configs["asr-scratch-1"]["init"] is None

    def test_seeds_share_the_text_llm_and_what_is_scored_on(self, tmp_path: Path) -> None:
        compiled = compile_experiment(read_experiment(write_yaml(tmp_path)))

        assert len(compiled.steps) == len(STEPS) + 8

        assert compiled.steps["cpt-joint-2"]["needs"] == ["text-llm"]
        assert compiled.configs["cpt-joint-2"]["common"]["seed"] == 2

        assert len(compiled.steps["table"]["needs"]) == 6

    def test_only_one_cell(self, tmp_path: Path) -> None:
        found = read_experiment(write_yaml(tmp_path, seeds=[1]))

        assert list(compile_experiment(found, only="scratch/asr").steps) == [
            *("asr-scratch-1", "publish-asr-scratch-1", "corpus-test", "evaluate-asr-scratch-1", "table")
        ]

        assert list(compile_experiment(found, only="joint/retention").steps) == [
            *("text-llm", "cpt-joint-1", "texts", "retention-1", "table")
        ]

    @pytest.mark.parametrize(
        ("only", "message"),
        [
            ("joint", "--only 'joint' is not of the form ARM/TASK"),
            ("jont/asr", "unknown arm 'jont': did you mean 'joint'"),
            ("joint/asrr", "unknown task 'asrr': did you mean 'asr'"),
        ],
    )
    def test_a_cell_that_is_not_there(self, only: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=message):
            compile_experiment(read_experiment(write_yaml(tmp_path)), only=only)

    def test_a_text_llm_that_is_there_is_no_step(self, tmp_path: Path) -> None:
        found = read_experiment(write_yaml(tmp_path, seeds=[1], text_llm="codec_s2st_demo_text_lm"))

        steps = compile_experiment(found).steps

        assert "text-llm" not in steps and "needs" not in steps["cpt-joint-1"]

        assert steps["cpt-joint-1"]["run"][-1] == steps["retention-1"]["run"][1] == "codec_s2st_demo_text_lm"

    def test_corpus_is_reversed_where_that_is_asked_for(self, tmp_path: Path) -> None:
        corpora = {"test": {"num": 3, "reverse": True}}

        steps = compile_experiment(read_experiment(write_yaml(tmp_path, seeds=[1], corpora=corpora))).steps

        assert steps["reverse-test"]["needs"] == ["corpus-test"]
        assert steps["reverse-test"]["run"][2:] == ["${out}/corpora/test", "${out}/corpora/test-reversed"]

        assert "${out}/corpora/test-reversed" in steps["evaluate-asr-joint-1"]["run"]
        assert steps["evaluate-asr-joint-1"]["needs"] == ["publish-asr-joint-1", "reverse-test"]

    def test_task_that_cannot_be_scored_is_trained(self, tmp_path: Path) -> None:
        # It ends in the source's speech.
        tasks = {"voice": {**EXPERIMENT["tasks"]["asr"], "evaluate": {"task": "speech_lm", "corpus": "test"}}}

        found = read_experiment(write_yaml(tmp_path, seeds=[1], tasks=tasks, findings={}))

        steps = compile_experiment(found).steps

        assert "voice-joint-1" in steps and not any(name.startswith(("publish", "evaluate")) for name in steps)


def test_pipeline_is_one_of_launch(tmp_path: Path) -> None:
    experiment = read_experiment(write_yaml(tmp_path / "source", seeds=[1]))

    out = tmp_path / "my out"

    file = write_experiment(experiment, compile_experiment(experiment), out, out=out)

    pipeline = load_pipeline(str(file))

    assert pipeline.out == out and [step.name for step in pipeline.steps] == list(STEPS)

    by_name = {step.name: step for step in pipeline.steps}

    assert by_name["cpt-joint-1"].call.out == out / "runs" / "cpt-joint-1"

    # It says what it is by itself.
    assert [arm.name for arm in open_experiment(out).arms] == ["scratch", "joint"]

    # What lies elsewhere in a dry run is the same pipeline.
    dry = write_experiment(experiment, compile_experiment(experiment), tmp_path / "dry", out=out)

    assert [step.fingerprint for step in load_pipeline(str(dry)).steps] == [step.fingerprint for step in pipeline.steps]
