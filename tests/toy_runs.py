"""Training runs of a tiny model on made-up codes, read with the shipped codec and tokenizer."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.common.initial import read_run
from codec_s2st.recipes.cpt.recipe import CptRecipe
from codec_s2st.recipes.s2st.recipe import S2STRecipe

NUM_STEPS = 60

# What differs between runs of the same training.
TIMES = ("Time", "Wall", "Elements per Second", "seconds", "throughput/", "Memory", "Device")


@dataclass(frozen=True)
class Toy:
    folder: Path

    @property
    def overrides(self) -> list[str]:
        """Configuration overrides, ``K=V``, of a run that all tests but those of errors share."""
        return [
            "model.arch=tiny",
            f"dataset.config_overrides={{shards: [{self.folder / 'shards'}]}}",
            "data.mixture=[{task: s2st, weight: 2}, {task: asr, reverse: true}, {task: s2tt}]",
            "data.max_batch_steps=300",
            "data.max_seq_len=100",
            "data.block_size=64",
            "trainer.mixed_precision.mode=off",
            "optimizer.config.lr=0.01",
            # Of runs of any length alike, so that a longer one goes on where a shorter one stopped.
            "lr_scheduler.config.cycle_len=100",
            f"regime.num_steps={NUM_STEPS}",
            "regime.publish_metrics_every_n_steps=2",
            "regime.validate_every_n_steps=20",
            "regime.checkpoint_every_n_steps=10",
        ]

    def arguments(self, out: Path, overrides: Sequence[str] = ()) -> list[str]:
        return [str(out), "--no-rich", "--config", *self.overrides, *overrides]

    def cpt(self, out: Path, *overrides: str) -> int:
        return recipe_main(CptRecipe(), self.arguments(out, overrides))

    def s2st(self, out: Path, *overrides: str) -> int:
        return recipe_main(S2STRecipe(), self.arguments(out, overrides))


def read_metrics(run: Path, name: str = "train") -> dict[int, dict[str, float]]:
    """Returns by step what does not depend on the clock; where a step was repeated, the last time counts."""
    output = {}

    for line in (run / "metrics" / f"{name}.jsonl").read_text().splitlines():
        values = json.loads(line)

        output[values["Step"]] = {
            key: value for key, value in values.items() if not any(word in key for word in TIMES) and key != "Step"
        }

    return output


def read_losses(run: Path, name: str = "train") -> list[float]:
    losses = [values["Loss"] for values in read_metrics(run, name).values()]

    assert losses and all(math.isfinite(loss) for loss in losses)

    return losses


def load_run(run: Path) -> CodecLM:
    """Loads the last checkpoint of a run."""
    config, path = read_run(run)

    return get_codec_lm_hub().load_custom_model(path, config).eval()


def read_weights(run: Path) -> dict[str, Tensor]:
    return dict(load_run(run).state_dict())


def assert_same_run(one: Path, two: Path) -> None:
    """Two runs have the same weights, and every loss that they have recorded is the same."""
    names = [file.relative_to(two / "metrics").with_suffix("") for file in sorted(two.glob("metrics/**/*.jsonl"))]

    assert len(names) > 1

    for name in names:
        assert read_metrics(one, str(name)) == read_metrics(two, str(name))

    assert_equal_weights(read_weights(one), read_weights(two))


def steps_of(run: Path) -> set[str]:
    """Returns the names of all that looks like a checkpoint."""
    return {path.name for path in run.glob("checkpoints/step_*")}


def assert_equal_weights(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()

    assert [key for key in one if not torch.equal(one[key], two[key])] == []


def last_step(run: Path) -> int:
    return max((int(path.name[5:]) for path in run.glob("checkpoints/step_*") if path.name[5:].isdigit()), default=0)


def error_line(capfd: pytest.CaptureFixture[str]) -> str:
    """Returns the one line that says what was wrong."""
    err = capfd.readouterr().err

    assert "Traceback" not in err

    (line,) = [line for line in err.splitlines() if ": error: " in line]

    return line
