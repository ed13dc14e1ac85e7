"""A whole experiment at toy size, by the command that users type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from codec_s2st.cli import main
from codec_s2st.share import experiments_dir

NUM_STEPS, NUM_ITEMS = 4, 3


@pytest.mark.long
def test_four_way_runs_and_is_not_run_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content: dict[str, Any] = YAML(typ="safe").load(experiments_dir().joinpath("four-way", "small.yaml").read_text())

    # The shipped one, but a thousandth of its work.
    shards = {"world": "small", "num_pairs": 20, "num_valid_pairs": 4, "num_text_pairs": 40}

    content["text_llm"]["config"] = {}
    content["config"] = {
        "dataset": {"config_overrides": shards},
        "data": {"max_batch_steps": 512, "max_valid_examples": 4},
        "lr_scheduler": {"config": {"num_warmup_steps": 2}},
        "regime": {
            "num_steps": NUM_STEPS,
            "validate_every_n_steps": 2,
            "checkpoint_every_n_steps": 2,
            "publish_metrics_every_n_steps": 2,
        },
    }
    content["corpora"]["test"]["num"] = NUM_ITEMS
    content["retention"]["num"] = 10
    content["seeds"] = [1]

    del content["tasks"]["s2tt"]

    for finding in content["findings"].values():
        finding["checks"] = [check for check in finding["checks"] if check["task"] != "s2tt"]

    file, out = tmp_path / "toy.json.yaml", tmp_path / "out"

    file.write_text(json.dumps(content))

    assert main(["experiment", str(file), str(out), "--launch", "local"]) == 0

    results = json.loads(out.joinpath("results.json").read_text())

    assert results["missing"] == []

    assert [cell["arm"] for cell in results["cells"]] == ["scratch", "text_llm", "speech_only", "joint"]

    for cell in results["cells"]:
        [score] = cell["seeds"]

        assert score["num_items"] == NUM_ITEMS and 0 <= score["value"] <= 100

        # The codec is understood.
        assert cell["topline"] > 5

    perplexities = {cell["arm"]: cell["value"] for cell in results["retention"] if cell["tags"]}

    assert set(perplexities) == {"text_llm", "speech_only", "joint"} and min(perplexities.values()) > 1

    # A model of a few steps confirms nothing about speech.
    assert {finding["name"]: finding["verdict"] for finding in results["findings"]}["s2st_needs_cpt"] != "missing"

    runs = {curve["run"] for curve in results["curves"]}

    assert {"cpt-joint-1", "s2st-joint-1", "s2st-scratch-1"} <= runs

    capfd.readouterr()

    assert main(["experiment", str(file), str(out), "--launch", "local"]) == 0

    printed = capfd.readouterr().out

    assert "starts" not in printed and printed.count(": done\n") == 19
