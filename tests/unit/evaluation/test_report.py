from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.report import Identity, ItemWarning, LeftOut, Report, ScoreRecord, Speed, write_report
from codec_s2st.evaluation.resampling import Interval

MODEL = Identity("codec_s2st_x", "ab" * 32)


def record(
    system: str, metric: str, value: float | None, transcriber: str | None = "open (ears 1.0)", **more: object
) -> ScoreRecord:
    return ScoreRecord(
        system=system,
        subject=MODEL if system == "model" else None,
        metric=metric,
        value=value,
        signature="tok:13a" if metric == "asr-bleu" else "jiwer:4",
        normaliser="basic-1",
        num_items=2,
        transcriber=transcriber,
        **more,  # type: ignore[arg-type]
    )


REPORT = Report(
    tool="codec_s2st 0.1.0",
    task="s2st",
    model=MODEL,
    codec=Identity("codec_s2st_c", "cd" * 32),
    manifest="/data/manifest.parquet",
    manifest_hash="ef" * 32,
    split="test",
    seed=3,
    generation={"batch_size": 8},
    num_selected=3,
    num_translated=2,
    scores=(
        record("model", "asr-bleu", 45.678, share_of_reference=0.5, interval=Interval(40.04, 51.26)),
        record("model", "asr-wer", 0.4321, empty_hypotheses=("b",)),
        record("reference audio", "asr-bleu", None, not_measured="no target_audio"),
        record("reference audio", "asr-wer", None, not_measured="no target_audio"),
        record("chance", "asr-bleu", 2.0, None),
        record("chance", "asr-wer", 0.9, None),
    ),
    speed=Speed(
        seconds_in=4.0, seconds_out=3.0, work_seconds=1.0, device="cpu", batch_size=8, num_ranks=2, peak_memory=2**30
    ),
    left_out=(LeftOut("c", "source_audio: audio file 'c.wav' does not exist"),),
    unfinished=("b",),
    not_measured={"speech quality": "there is no predictor"},
)

TEXT = """\
s2st of codec_s2st_x (abababababab) on /data/manifest.parquet, split test

system           listener           asr-bleu       asr-wer  asr-bleu share  items
---------------  --------  -----------------  ------------  --------------  -----
model            open      45.7 [40.0, 51.3]         0.432            50 %      2
reference audio  open           not measured  not measured               -      2
chance           -                       2.0         0.900               -      2

2 of 3 items translated, 1 of them cut at the largest length; normaliser basic-1; seed 3
real-time factor 0.25 (cpu, 2 rank(s), batches of 8); peak memory 1,024 MiB; time to first audio not measured
not measured: no target_audio
1 left out, the first: 'c': source_audio: audio file 'c.wav' does not exist"""

MARKDOWN = """\
# s2st of codec_s2st_x (abababababab) on /data/manifest.parquet, split test

| system | listener | asr-bleu | asr-wer | asr-bleu share | items |
| --- | --- | ---: | ---: | ---: | ---: |
| model | open | 45.7 [40.0, 51.3] | 0.432 | 50 % | 2 |
| reference audio | open | not measured | not measured | - | 2 |
| chance | - | 2.0 | 0.900 | - | 2 |

- 2 of 3 items translated, 1 of them cut at the largest length; normaliser basic-1; seed 3
- real-time factor 0.25 (cpu, 2 rank(s), batches of 8); peak memory 1,024 MiB; time to first audio not measured
- not measured: no target_audio
- 1 left out, the first: 'c': source_audio: audio file 'c.wav' does not exist
- listener: open (ears 1.0)
- asr-bleu: tok:13a
- asr-wer: jiwer:4
- speech quality: not measured: there is no predictor
- left out: c: source_audio: audio file 'c.wav' does not exist
"""


def test_printed_table() -> None:
    assert REPORT.to_text() == TEXT


def test_markdown() -> None:
    assert REPORT.to_markdown() == MARKDOWN


def test_json_holds_all_that_a_score_needs() -> None:
    data = json.loads(REPORT.to_json())

    assert data["format"] == 3

    assert data["speed"]["real_time_factor"] == 0.25

    assert data["scores"][0] == {
        "system": "model",
        "subject": {"name": "codec_s2st_x", "weights_hash": "ab" * 32},
        "language": None,
        "metric": "asr-bleu",
        "value": 45.678,
        "interval": [40.04, 51.26],
        "not_measured": None,
        "signature": "tok:13a",
        "normaliser": "basic-1",
        "num_items": 2,
        "transcriber": "open (ears 1.0)",
        "judge": None,
        "instrument": None,
        "share_of_reference": 0.5,
        "empty_hypotheses": [],
        "failed": [],
    }


def test_speech_itself_has_a_table_of_its_own() -> None:
    def measured(system: str, value: float | None, **more: object) -> ScoreRecord:
        return replace(
            record(system, "likeness", value, None),
            normaliser=None,
            judge="xvector:x (transformers 1)",
            instrument=Identity("x", "12" * 32),
            **more,  # type: ignore[arg-type]
        )

    scores = (
        measured("model", 0.7126, interval=Interval(0.7, 0.72), num_items=1, failed=("b",)),
        measured("reference audio", None, not_measured="likeness: too short"),
    )

    warnings = (ItemWarning("b", "likeness of model: too short"), ItemWarning("b", "the output is silent"))

    report = replace(REPORT, scores=(*REPORT.scores, *scores), warnings=warnings)

    # The first one is as it was.
    assert TEXT.partition("\n2 of 3")[0] in report.to_text()

    lines = report.to_markdown().splitlines()

    assert "| metric | judge | model | reference audio | items |" in lines
    assert "| likeness | xvector:x | 0.713 [0.700, 0.720] | not measured | 2 |" in lines

    for line in (
        "judge: xvector:x (transformers 1)",
        f"weights of x: {'12' * 32}",
        "2 warning(s) of 1 item(s), the first: 'b': likeness of model: too short",
        "warning: b: the output is silent",
        "not measured: likeness: too short",
    ):
        assert f"- {line}" in lines


def test_memory_and_first_audio_are_said_where_they_are_known() -> None:
    speed = replace(
        REPORT.speed, peak_memory=None, peak_device_memory=3 * 2**20, first_audio_seconds=0.256, first_audio_items=4
    )

    assert (
        speed.remarks()
        == "peak memory not measured, 3 MiB of the GPU; time to first audio 0.26 s (median of 4 item(s))"
    )


def test_report_without_speech_has_no_factor() -> None:
    report = replace(REPORT, speed=replace(REPORT.speed, seconds_in=0.0, seconds_out=0.0))

    assert "real-time factor not measured" in report.to_text()


def test_files_are_written(tmp_path: Path) -> None:
    write_report(REPORT, tmp_path / "out")

    assert (tmp_path / "out" / "report.md").read_text() == MARKDOWN

    assert json.loads((tmp_path / "out" / "report.json").read_text())["task"] == "s2st"

    assert len(list((tmp_path / "out").iterdir())) == 2


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("out").write_text("a file")

    with pytest.raises(UserInputError, match="cannot be written"):
        write_report(REPORT, tmp_path / "out")
