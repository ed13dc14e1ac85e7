from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.task_entries import parse_tasks
from codec_s2st.data.templates import find_template
from codec_s2st.errors import UserInputError
from codec_s2st.recipes.evaluate.rows import kind_of, select_rows
from codec_s2st.recipes.evaluate.scoring import METRICS

PROMPT = {"modality": "speech", "side": "source", "role": "prompt"}

OWN = parse_tasks(
    [
        {"name": "notes", "segments": [PROMPT, {"modality": "text", "side": "source", "role": "target"}]},
        {"name": "echo", "segments": [PROMPT, {"modality": "speech", "side": "source", "role": "target"}]},
    ],
    where="data.tasks",
)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("s2st", "s2st"),
        ("s2st_chain", "s2st"),
        ("s2st_via_text", "s2st"),
        ("s2st_voice", "s2st"),
        ("s2tt", "s2tt"),
        ("asr", "asr"),
        ("tts", "tts"),
        ("t2st", "s2st"),
        ("mt", "s2tt"),
        ("notes", "asr"),
    ],
)
def test_the_outcome_decides_how_a_task_is_scored(task: str, kind: str) -> None:
    assert kind_of(find_template(task, OWN)) == kind and kind in METRICS


@pytest.mark.parametrize("task", ["text_lm", "speech_lm", "interleaved_lm", "echo"])
def test_what_cannot_be_scored_is_refused(task: str) -> None:
    with pytest.raises(UserInputError, match=f"unknown task to evaluate '{task}'"):
        kind_of(find_template(task, OWN))


def test_rows_without_a_reference_are_left_out(tmp_path: Path) -> None:
    rows = [
        ManifestRow(
            id="both",
            split="test",
            source_audio="a.wav",
            source_text="uno",
            source_lang="spa",
            target_text="one",
            target_lang="eng",
        ),
        ManifestRow(
            id="spoken", split="test", source_audio="a.wav", source_lang="spa", target_text="one", target_lang="eng"
        ),
    ]

    manifest = write_manifest(manifest_frame(rows), tmp_path)

    for task, ids, reference in (("notes", ["both"], "uno"), ("s2st_chain", ["both", "spoken"], "one")):
        selection = select_rows(manifest, template=find_template(task, OWN), split=None, max_items=None)

        assert [row.id for row in selection.rows] == ids

        assert selection.reference(selection.rows[0]) == reference


def test_rows_of_tasks_from_text_need_the_source_written(tmp_path: Path) -> None:
    fields = {"split": "test", "source_lang": "spa", "target_lang": "eng"}

    rows = [
        ManifestRow(
            id="all", source_audio="a.wav", source_text="uno", target_audio="b.wav", target_text="one", **fields
        ),
        ManifestRow(id="heard", source_audio="a.wav", target_text="one", **fields),
        ManifestRow(id="mute", source_text="?", target_text="one", **fields),
    ]

    manifest = write_manifest(manifest_frame(rows), tmp_path)

    for task, reference, audio, language in (("tts", "uno", "a.wav", "spa"), ("t2st", "one", "b.wav", "eng")):
        selection = select_rows(manifest, template=find_template(task), split=None, max_items=None)

        [row] = selection.rows

        assert selection.is_spoken and selection.starts_from_text

        assert (selection.reference(row), selection.reference_audio(row)) == (reference, audio)

        assert selection.language(row) == language

        assert {item.id: item.reason for item in selection.left_out} == {
            "heard": "source_text is null",
            "mute": "source_text has no words",
        }
