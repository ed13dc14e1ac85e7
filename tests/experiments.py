"""A small experiment's file, and evaluations as it would have left them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codec_s2st.evaluation.report import MODEL, write_report
from codec_s2st.recipes.evaluate.items import EvaluatedItem, Hypothesis, rank_file, write_items
from tests.reports import make_report

EXPERIMENT: dict[str, Any] = {
    "title": "Two ways",
    "text_llm": {"preset": "demo/text-lm"},
    "scratch": {"model": {"arch": "tiny"}},
    "config": {"regime": {"num_steps": 4}},
    "arms": {
        "scratch": {"init": "none"},
        "joint": {"label": "joint CPT", "cpt": {"preset": "demo/joint", "config": {"regime": {"num_steps": 6}}}},
    },
    "reference": "joint",
    "held_out": ["s2st"],
    "corpora": {"test": {"world": "small", "num": 3, "seed": 5}},
    "tasks": {"asr": {"preset": "demo/asr", "evaluate": {"corpus": "test"}, "metric": "wer"}},
    "seeds": [1, 2],
    "retention": {"language": "eng", "world": "small", "num": 9},
    "findings": {
        "cpt_helps": {
            "statement": "CPT helps",
            "checks": [{"better": "joint", "worse": "scratch", "task": "asr"}],
        }
    },
}


def write_yaml(folder: Path, content: Mapping[str, Any] = EXPERIMENT, **changes: Any) -> Path:
    """Writes an experiment's file; ``changes`` replace keys of it."""
    file = folder / "experiment.yaml"

    folder.mkdir(parents=True, exist_ok=True)

    # It is YAML, too, and keeps the order.
    file.write_text(json.dumps({**content, **changes}))

    return file


def write_evaluation(folder: Path, texts: Sequence[tuple[str, str]]) -> None:
    """Writes the report of a recognition: references and what the model has written."""
    items = [
        EvaluatedItem(
            id=str(idx),
            reference=reference,
            language="eng",
            hypotheses=(Hypothesis(MODEL, None, said),),
            seconds_in=1.0,
        )
        for idx, (reference, said) in enumerate(texts)
    ]

    folder.mkdir(parents=True)

    write_report(make_report(items), folder)

    write_items(rank_file(folder, 0), items)
