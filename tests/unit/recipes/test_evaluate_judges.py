"""From the section `judges` to scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.judges.judge import Recording
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.signal import Measurement
from codec_s2st.recipes.evaluate.config import JudgeSection
from codec_s2st.recipes.evaluate.items import EvaluatedItem
from codec_s2st.recipes.evaluate.judges import make_bench
from codec_s2st.recipes.evaluate.judging import SOURCE, JudgedFolder, judge_items
from codec_s2st.recipes.evaluate.measured import item_warnings, score_measures
from codec_s2st.recipes.evaluate.scoring import unmeasured

CPU = torch.device("cpu")

PEAKS = f"""{sys.executable} -c "
import sys, soundfile
for line in open(sys.argv[1]):
    print(abs(soundfile.read(line.strip())[0]).max())
" {{list}}"""


class TestBench:
    def test_absent_weights_measure_nothing_and_say_what_helps(self) -> None:
        sections = [
            JudgeSection(name="xvector", model="nobody/wavlm-nothing"),
            JudgeSection(name="squim", model="/nowhere/squim.pth"),
            JudgeSection(name="peak", command=PEAKS),
        ]

        bench = make_bench(sections, device=CPU)

        assert [judge.name for judge in bench.judges] == ["peak (command)"]

        records = score_measures([], bench.gauges, subjects={}, seed=0)

        reasons = {record.metric: record.not_measured or "" for record in records if record.system == MODEL}

        assert list(reasons) == [
            *("peak", "speaker-similarity-source", "speaker-similarity-reference"),
            *("squim-stoi", "squim-pesq", "squim-si-sdr"),
        ]

        assert "huggingface-cli download nobody/wavlm-nothing" in reasons["speaker-similarity-source"]
        assert "curl -LO https://" in reasons["squim-pesq"]

        # The quality of speech is judged by the command, likeness by nobody.
        assert list(unmeasured("s2st", bench.qualities)) == ["speaker similarity", "text retention"]
        assert list(unmeasured("s2st", set())) == ["speech quality", "speaker similarity", "text retention"]
        assert list(unmeasured("asr", set())) == ["text retention"]

    @pytest.mark.parametrize(
        ("section", "words"),
        [
            (JudgeSection(name="squmi", model="x"), "did you mean 'squim'?"),
            (JudgeSection(name="utmos"), "any other needs a `command`"),
            (JudgeSection(name="squim"), "takes a `model`, and no command"),
            (JudgeSection(name="xvector", command="x {list}"), "takes a `model`, and no command"),
            (JudgeSection(name="mine", command="x {list}", model="y"), "has both a `model` and a `command`"),
            (JudgeSection(name="a b", command="x {list}"), "'a b' is no name of a judge"),
            (JudgeSection(name="mine", command="x {list}", timeout=0.0), "`timeout` of judge 'mine' must be greater"),
        ],
    )
    def test_refused(self, section: JudgeSection, words: str) -> None:
        with pytest.raises(UserInputError) as info:
            make_bench([section], device=CPU)

        assert words in str(info.value)

    def test_two_of_a_name_are_refused(self) -> None:
        with pytest.raises(UserInputError, match="has the name 'peak' twice"):
            make_bench([JudgeSection(name="peak", command=PEAKS)] * 2, device=CPU)


class Crashing:
    name = "crash (1)"
    quality = "speech quality"
    instrument = None
    signature = "s"
    metrics: ClassVar = {"crash": (MODEL,), "other": (REFERENCE_AUDIO,)}

    def judge(self, recordings: list[Recording]) -> list[dict[str, Measurement]]:
        raise RuntimeError("out of memory")


def test_items_get_what_judges_say_and_why_they_do_not(tmp_path: Path) -> None:
    [peak] = make_bench([JudgeSection(name="peak", command=PEAKS)], device=CPU).judges

    items = [EvaluatedItem(id=id_, reference="x") for id_ in ("a", "b")]

    with JudgedFolder.make(tmp_path, 0, [peak]) as folder:
        assert folder is not None

        for what, level in ((MODEL, 0.25), (REFERENCE_AUDIO, 0.5), (CODEC_TOPLINE, 0.75), (SOURCE, 1.0)):
            folder.write("a", what, torch.full((800,), level), 8_000)

        found = list(folder.recordings("a"))

        assert [recording.system for recording in found] == [MODEL, CODEC_TOPLINE, REFERENCE_AUDIO]

        assert all(recording.source == found[0].source is not None for recording in found)

        assert found[2].reference is None and found[0].reference == found[2].audio

        # Of 'b' nothing came out.
        a, b = judge_items(items, [peak, Crashing()], folder)

    # Nothing is left behind.
    assert list(tmp_path.iterdir()) == []

    values = {(measure.metric, measure.system): measure.value for measure in a.measures}

    assert values == {
        ("peak", MODEL): pytest.approx(0.25, abs=1e-3),
        ("peak", CODEC_TOPLINE): pytest.approx(0.75, abs=1e-3),
        ("peak", REFERENCE_AUDIO): pytest.approx(0.5, abs=1e-3),
        ("crash", MODEL): None,
        ("other", REFERENCE_AUDIO): None,
    }

    assert {m.not_measured for m in a.measures if m.value is None} == {"RuntimeError: out of memory"}

    assert ("peak", "the output is empty") in [(m.metric, m.not_measured) for m in b.measures]

    # The item is named, and the other is scored.
    gauges = make_bench([JudgeSection(name="peak", command=PEAKS)], device=CPU).gauges

    record = score_measures([a, b], gauges, subjects={}, seed=0)[0]

    assert (record.num_items, record.failed) == (1, ("b",)) and record.judge == "peak (command)"

    assert ("b", "peak of model: the output is empty") in [
        (warning.id, warning.reason) for warning in item_warnings([a, b], gauges)
    ]


def test_nobody_judges_and_nothing_is_written(tmp_path: Path) -> None:
    with JudgedFolder.make(tmp_path, 0, []) as folder:
        assert folder is None and list(tmp_path.iterdir()) == []


class Dividing(Crashing):
    def judge(self, recordings: list[Recording]) -> list[dict[str, Measurement]]:
        return [{"crash": Measurement(value)} for value, _ in zip((1.0, float("nan")), recordings, strict=True)]


def test_number_that_is_none_does_not_spoil_the_mean(tmp_path: Path) -> None:
    judge = Dividing()

    with JudgedFolder.make(tmp_path, 0, [judge]) as folder:
        assert folder is not None

        for id_ in ("a", "b"):
            folder.write(id_, MODEL, torch.full((800,), 0.5), 8_000)

        items = judge_items([EvaluatedItem(id=id_, reference="x") for id_ in ("a", "b")], [judge], folder)

    [one], [two] = (item.measures for item in items)

    assert (one.value, two.value, two.not_measured) == (1.0, None, "the judge says nan")
