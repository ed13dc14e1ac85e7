from __future__ import annotations

import random
from pathlib import Path

import fairseq2.recipe.base  # noqa: F401  (first, since fairseq2's modules import each other in a circle)
import pytest
import torch
from fairseq2.checkpoint import StandardCheckpointManager
from fairseq2.file_system import LocalFileSystem
from fairseq2.gang import create_fake_gangs

from codec_s2st.checkpoints.scores import Scores, find_stale
from codec_s2st.errors import CodecS2STError


def test_scores_are_the_best_first(tmp_path: Path) -> None:
    scores = Scores(tmp_path / "scores")

    for step, score in ((10, -2.5), (20, -1.25), (30, -3.0)):
        scores.write(step, score)

    assert scores.read([10, 20, 30, 40]) == [(-1.25, 20), (-2.5, 10), (-3.0, 30)]
    assert scores.read([30]) == [(-3.0, 30)]

    scores.remove(20)
    scores.remove(20)

    assert scores.read([10, 20]) == [(-2.5, 10)]


def test_file_without_a_score_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("step_1.txt").write_text("good\n")

    with pytest.raises(CodecS2STError, match=r"step_1\.txt holds no score"):
        Scores(tmp_path).read([1])


def test_what_is_stale_is_what_fairseq2_finds_so(tmp_path: Path) -> None:
    """And the scores are files that it reads."""
    rng = random.Random(0)

    for trial in range(200):
        folder = tmp_path / str(trial)

        steps = sorted(rng.sample(range(1, 40), rng.randrange(6)))

        scores = Scores(folder / "scores")

        for step in steps:
            folder.joinpath(f"step_{step}").mkdir(parents=True)

            if rng.random() < 0.7:
                scores.write(step, rng.random())

        rules = [rng.choice([None, 1, 2, 3]) for _ in range(2)] + [rng.choice([None, 2, 5])]

        host = StandardCheckpointManager(
            folder,
            create_fake_gangs(torch.device("cpu")),
            LocalFileSystem(),
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            folder,
        )

        assert find_stale(steps, scores.read(steps), *rules) == host.get_stale_step_numbers(*rules), (steps, rules)
