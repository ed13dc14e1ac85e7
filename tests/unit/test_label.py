"""The labelling of manifests, with a model that says what it was given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from codec_s2st.codecs.audio import read_audio
from codec_s2st.data.files import folder_lock
from codec_s2st.data.manifest import ManifestRow, iter_rows, manifest_frame, read_manifest, write_manifest
from codec_s2st.data.templates import TaskTemplate, find_template
from codec_s2st.errors import UserInputError
from codec_s2st.label import Label, Labelling, LabelSummary
from codec_s2st.translator import SpeechInput, Translation
from tests.corpora import write_speech

RATE = 16000


class EchoTranslator:
    """Says how many samples a recording has, and knows Spanish to English."""

    name = "echo"
    codec = SimpleNamespace(spec=SimpleNamespace(sample_rate=RATE))

    def __init__(self, *, dies_after: int | None = None) -> None:
        self.batches: list[int] = []
        self.dies_after = dies_after

    def check(self, task: str | None, source: str | None, target: str | None) -> tuple[TaskTemplate, str, str]:
        for value, known in ((source, "spa"), (target, "eng")):
            if value not in (None, known):
                raise UserInputError(f"unknown language '{value}'")

        return find_template(task or "asr"), "spa", "eng"

    def check_speech(self, speech: SpeechInput, *, name: str = "the recording") -> None:
        if speech.wave.size(-1) > RATE:
            raise UserInputError(f"{name} is too long")

    def translate_all(
        self, inputs: Sequence[SpeechInput], *, task: str, source_lang: str, target_lang: str
    ) -> list[Translation]:
        if self.dies_after is not None and len(self.batches) >= self.dies_after:
            raise KeyboardInterrupt

        self.batches.append(len(inputs))

        return [self._translate(speech, task) for speech in inputs]

    def _translate(self, speech: SpeechInput, task: str) -> Translation:
        size = speech.wave.size(-1)

        values: dict[str, Any] = {"waveform": None, "codes": None, "text": f"{task}  {size} ", "sample_rate": RATE}

        if task == "s2st":
            values |= {"waveform": torch.full((size // 2,), 0.25), "text": None}

        # One that rambles on, and one that is silent.
        if size == 1600:
            values["text"] = " "

        return Translation(finished=size != 3200, **values)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"

    rows = []

    for idx, seconds in enumerate((0.5, 0.25, 0.2, 0.1, 1.5, 0.3)):
        write_speech(folder / f"{idx}.wav", seconds)

        rows.append(ManifestRow(id=f"r{idx}", split="train", source_audio=f"{idx}.wav", source_lang="spa"))

    rows += [
        ManifestRow(id="gone", split="train", source_audio="gone.wav", source_lang="spa"),
        ManifestRow(id="french", split="train", source_audio="0.wav", source_lang="fra"),
        ManifestRow(id="text", split="train", source_text="hola", source_lang="spa"),
        ManifestRow(
            id="done",
            split="valid",
            source_audio=str(folder / "1.wav"),
            source_text="hecho",
            source_lang="spa",
            target_text="done",
            target_lang="eng",
        ),
        ManifestRow(id="stretch", split="valid", source_audio="4.wav#t=0.5,1", source_lang="spa"),
    ]

    return write_manifest(manifest_frame(rows), folder)


def label(
    manifest: Path, out: Path, translator: EchoTranslator | None = None, **options: Any
) -> tuple[dict[str, ManifestRow], LabelSummary]:
    options = {"task": "asr", "batch_size": 2} | options

    labelling = Labelling(manifest, out, translator or EchoTranslator(), **options)  # type: ignore[arg-type]

    summary = labelling.run()

    return {row.id: row for row in iter_rows(read_manifest(out))}, summary


def journal(out: Path) -> dict[str, Label]:
    lines = (out / "labels.jsonl").read_text().splitlines()[1:]

    return {entry["id"]: Label(**entry) for entry in map(json.loads, lines)}


class TestLabels:
    def test_transcripts(self, manifest: Path, tmp_path: Path) -> None:
        rows, summary = label(manifest, tmp_path / "out")

        assert {id_: row.source_text for id_, row in rows.items()} == {
            "r0": "asr 8000",
            "r1": "asr 4000",
            "r2": None,
            "r3": None,
            "r4": None,
            "r5": "asr 4800",
            "gone": None,
            "french": None,
            "text": "hola",
            "done": "hecho",
            "stretch": "asr 8000",
        }

        # The audio is found from where the new manifest is.
        assert rows["r0"].source_audio == str(manifest.parent / "0.wav")

        assert (summary.num_rows, summary.num_labels, summary.num_failed) == (11, 4, 5)

        failures = {id_: item.reason for id_, item in journal(tmp_path / "out").items() if item.reason}

        assert failures["r2"] == "the model did not come to an end"
        assert failures["r3"] == "the model said nothing"
        assert failures["r4"] == "the recording is too long"
        assert failures["french"] == "unknown language 'fra'"
        assert "gone.wav' does not exist" in str(failures["gone"])

    def test_written_translations(self, manifest: Path, tmp_path: Path) -> None:
        rows, _ = label(manifest, tmp_path / "out", task="s2tt", target_lang="eng", splits=("valid",))

        assert {id_: (row.target_text, row.target_lang) for id_, row in rows.items() if row.target_text} == {
            "done": ("done", "eng"),
            "stretch": ("s2tt 8000", "eng"),
        }

        rows, _ = label(manifest, tmp_path / "more", task="s2tt", splits=("valid",), replace_labels=True)

        assert (rows["done"].target_text, rows["done"].source_text) == ("s2tt 4000", "hecho")

    def test_spoken_translations(self, manifest: Path, tmp_path: Path) -> None:
        rows, _ = label(manifest, tmp_path / "out", task="s2st")

        row = rows["r0"]

        assert (row.target_audio, row.target_lang, row.target_speaker) == ("audio/r0.wav", "eng", "echo")

        assert row.target_seconds == 0.25

        wave = read_audio(tmp_path / "out" / "audio" / "r0.wav", sample_rate=RATE)

        torch.testing.assert_close(wave, torch.full((1, 4000), 0.25), atol=1e-4, rtol=0)


class TestResuming:
    def test_goes_on_where_it_was(self, manifest: Path, tmp_path: Path) -> None:
        label(manifest, tmp_path / "clean", task="s2st")

        with pytest.raises(KeyboardInterrupt):
            label(manifest, tmp_path / "out", EchoTranslator(dies_after=1), task="s2st")

        assert not (tmp_path / "out" / "manifest.parquet").exists()

        # The process died within a line.
        with (tmp_path / "out" / "labels.jsonl").open("a") as fp:
            fp.write('{"id": "r5", "val')

        num_known = len(journal_lines(tmp_path / "out")) - 2

        translator = EchoTranslator()

        label(manifest, tmp_path / "out", translator, task="s2st")

        assert num_known >= 2 and sum(translator.batches) < 6

        for name in ("manifest.parquet", "audio/r0.wav", "audio/stretch.wav"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "clean" / name).read_bytes()

        assert journal(tmp_path / "out") == journal(tmp_path / "clean")

    def test_nothing_left_to_do(self, manifest: Path, tmp_path: Path) -> None:
        label(manifest, tmp_path / "out")

        translator = EchoTranslator()

        content = (tmp_path / "out" / "manifest.parquet").read_bytes()

        label(manifest, tmp_path / "out", translator)

        assert translator.batches == []

        assert (tmp_path / "out" / "manifest.parquet").read_bytes() == content

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"task": "s2tt"}, "holds labels of another run: its task is 'asr', not 's2tt'"),
            ({"checkpoint": "b" * 64}, "its checkpoint_sha256 is 'None', not 'bbbb"),
            ({"splits": ("train",)}, r"its splits is '\[\]', not '\['train'\]'"),
        ],
    )
    def test_labels_of_another_run(self, manifest: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
        label(manifest, tmp_path / "out")

        with pytest.raises(UserInputError, match=message):
            label(manifest, tmp_path / "out", **options)

    def test_damaged_journal(self, manifest: Path, tmp_path: Path) -> None:
        label(manifest, tmp_path / "out")

        path = tmp_path / "out" / "labels.jsonl"

        path.write_text(path.read_text().replace('"id"', '"ID"', 1))

        with pytest.raises(UserInputError, match=r"labels\.jsonl is damaged"):
            label(manifest, tmp_path / "out")


class TestRefused:
    def test_arguments(self, manifest: Path, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=r"unknown task 'tts': .*labels are made by asr, s2tt, s2st"):
            label(manifest, tmp_path / "out", task="tts")

        with pytest.raises(UserInputError, match="the batch size is 0"):
            label(manifest, tmp_path / "out", batch_size=0)

        with pytest.raises(UserInputError, match="holds the manifest that is labelled"):
            label(manifest, manifest.parent)

        with pytest.raises(UserInputError, match="has no recordings of the split test without 'source_text'"):
            label(manifest, tmp_path / "out", splits=("test",))

        assert not (tmp_path / "out").exists()

    def test_busy_folder(self, manifest: Path, tmp_path: Path) -> None:
        with folder_lock(tmp_path / "out"), pytest.raises(UserInputError, match="another run is writing"):
            label(manifest, tmp_path / "out")


def journal_lines(out: Path) -> list[str]:
    return (out / "labels.jsonl").read_text().splitlines()
