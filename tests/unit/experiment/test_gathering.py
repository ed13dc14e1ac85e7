from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from codec_s2st.cli import main
from codec_s2st.errors import UserInputError
from codec_s2st.experiment.files import write_experiment
from codec_s2st.experiment.gathering import gather
from codec_s2st.experiment.pipeline import compile_experiment
from codec_s2st.experiment.reading import read_experiment
from tests.experiments import write_evaluation, write_yaml

SENTENCES = [
    f"the {animal} {verb} the {thing}"
    for animal in ("dog", "cat")
    for verb in ("eats", "sees", "has")
    for thing in ("bread", "apple", "house", "tree")
]

CHECK = {"better": "text_llm", "worse": "joint", "task": "retention"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An experiment of which the second seed of one arm has not run yet."""
    arms = {
        "scratch": {"init": "none"},
        "text_llm": {},
        "joint": {"label": "joint CPT", "cpt": {"preset": "demo/joint"}},
    }

    findings = {
        "cpt_helps": {"statement": "CPT helps", "checks": [{"better": "joint", "worse": "scratch", "task": "asr"}]},
        "text_is_lost": {"statement": "Text is lost", "checks": [CHECK]},
    }

    experiment = read_experiment(write_yaml(tmp_path / "source", arms=arms, findings=findings))

    out = tmp_path / "out"

    write_experiment(experiment, compile_experiment(experiment), out, out=out)

    for arm, seed, num_wrong in (("scratch", 1, 20), ("joint", 1, 2), ("joint", 2, 4)):
        said = ["nothing" if idx < num_wrong else text for idx, text in enumerate(SENTENCES)]

        write_evaluation(out / "evaluations" / f"asr-{arm}-{seed}", list(zip(SENTENCES, said, strict=True)))

    entries = []

    for model, nats in (("text-llm", 3.0), ("cpt-joint-1", 4.0)):
        plain = {"text_nats": [nats + idx / 10 for idx in range(9)], "text_ids": [3] * 9}

        entries.append({"model": model, "tags": True, "plain": plain, "choices": None})

    folder = out / "retention" / "1"

    folder.mkdir(parents=True)

    folder.joinpath("text_report.json").write_text(json.dumps({"models": entries}))

    metrics = out / "runs" / "asr-joint-1" / "metrics" / "valid"

    metrics.mkdir(parents=True)

    metrics.joinpath("asr.jsonl").write_text('{"Step": 2, "Loss": 3.5}\n{"Step": 4, "Loss": 2.5}\n{"Step": 6, "Lo')

    return out


def test_what_is_there_is_gathered_and_what_is_not_is_said(out: Path) -> None:
    results = gather(read_experiment(out / "experiment.yaml"), out)

    cells = {cell.arm: cell for cell in results.cells}

    # Of a wrong sentence, all words are.
    assert cells["scratch"].value == pytest.approx(20 / 24) and [s.seed for s in cells["scratch"].seeds] == [1]

    assert [score.value for score in cells["joint"].seeds] == pytest.approx([2 / 24, 4 / 24])
    assert cells["joint"].value == pytest.approx(3 / 24) == pytest.approx(cells["joint"].mean)

    interval = cells["joint"].interval

    assert interval is not None and interval.low <= 3 / 24 <= interval.high

    # Of the seed that both have.
    tests = cells["scratch"].beside_reference

    assert tests is not None and tests.difference == pytest.approx(18 / 24) and tests.bootstrap_p < 0.05

    assert cells["joint"].beside_reference is None and cells["text_llm"].value is None

    assert {finding.name: finding.verdict for finding in results.findings} == {
        "cpt_helps": "confirmed",
        "text_is_lost": "confirmed",
    }

    # The text LLM is the arm that starts from it.
    assert [(cell.arm, cell.tags) for cell in results.retention] == [("text_llm", True), ("joint", True)]

    assert [(curve.run, curve.points) for curve in results.curves] == [("asr-joint-1", ((2, 3.5), (4, 2.5)))]

    assert results.missing == (
        "asr, scratch, seed 2: not evaluated yet",
        "asr, text_llm, seed 1: not evaluated yet",
        "asr, text_llm, seed 2: not evaluated yet",
        "text, seed 2: not measured yet",
    )


def test_table_writes_three_files(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "table", str(out)]) == 0

    printed = capsys.readouterr().out

    for text in (printed, out.joinpath("results.md").read_text(), out.joinpath("results.html").read_text()):
        assert "CPT helps" in text and "confirmed" in text and "asr, scratch, seed 2: not evaluated yet" in text
        assert "0.125 [" in text and "0.125 (0.083 to 0.167)" in text

    assert json.loads(out.joinpath("results.json").read_text())["cells"][2]["mean"] == pytest.approx(0.125)

    page = out.joinpath("results.html").read_text()

    # Nothing is fetched from elsewhere.
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)

    assert len(sources) == 2 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert "://" not in page


def test_nothing_has_run_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = read_experiment(write_yaml(tmp_path / "source"))

    write_experiment(experiment, compile_experiment(experiment), tmp_path / "out", out=tmp_path / "out")

    assert main(["experiment", "table", str(tmp_path / "out")]) == 0

    assert "missing: asr, joint CPT, seed 2: not evaluated yet" in capsys.readouterr().out


def test_reports_of_other_sentences_are_refused(out: Path) -> None:
    said = [(f"{text} now", text) for text in SENTENCES]

    write_evaluation(out / "evaluations" / "asr-scratch-2", said)

    with pytest.raises(UserInputError, match="the reference of item '0' differs"):
        gather(read_experiment(out / "experiment.yaml"), out)


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "table", str(tmp_path)]) == 2

    assert "is not the folder of an experiment" in capsys.readouterr().err
