from __future__ import annotations

from typing import Any

import pytest

from codec_s2st.data.slots import InterleavedSlot, Role, VoiceSlot, WholeSlot
from codec_s2st.data.task_entries import parse_tasks
from codec_s2st.data.templates import find_template
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.sequence import Modality

PROMPT = {"modality": "speech", "side": "source", "role": "prompt"}

TARGET = {"modality": "text", "side": "target", "role": "target"}

VOICE = {"modality": "speech", "side": "target", "role": "voice"}

MIXED = {"modality": "interleaved", "side": "source", "role": "target"}


def entry(*segments: object, **fields: object) -> dict[str, object]:
    return {"name": "mine", "segments": list(segments or (PROMPT, TARGET)), **fields}


def test_an_entry_becomes_a_template() -> None:
    step = {"modality": "text", "side": "source", "role": "step"}

    voice = {**VOICE, "seconds": 2, "utterance": "other"}

    tasks = parse_tasks([entry(voice, PROMPT, step, TARGET, languages=["target"])], where="data.tasks")

    template = tasks["mine"]

    assert template.slots == (
        VoiceSlot(side="target", seconds=2.0, utterance="other"),
        WholeSlot(modality=Modality.SPEECH, side="source", role=Role.PROMPT),
        WholeSlot(modality=Modality.TEXT, side="source", role=Role.STEP),
        WholeSlot(modality=Modality.TEXT, side="target", role=Role.TARGET),
    )

    assert template.language_sides == ("target",) and template.tag == "<own:mine>"

    assert find_template("mine", tasks) is template


def test_what_is_left_out_is_as_in_the_tasks_that_everybody_has() -> None:
    tasks = parse_tasks([entry(), entry(MIXED, name="mixed", languages=[])], where="data.tasks")

    assert tasks["mine"].slots == find_template("s2tt").slots
    assert tasks["mine"].language_sides == ("source", "target")

    assert tasks["mixed"].slots == (InterleavedSlot(side="source", role=Role.TARGET, spans=(1, 6)),)
    assert tasks["mixed"].language_sides == ()


def test_no_entries_are_no_tasks() -> None:
    assert parse_tasks([], where="data.tasks") == {}


def changed(**fields: Any) -> list[object]:
    return [{**entry(), **fields}]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "`data.tasks` must be a list, but is {}"),
        (["s2st"], "`data.tasks[0]` must be a mapping, but is 's2st'"),
        ([{"segments": []}], "`data.tasks[0]` has no key 'name'"),
        ([{"name": "mine"}], "`data.tasks[0]` has no key 'segments'"),
        (changed(langauges=[]), "unknown key of `data.tasks[0]` 'langauges': did you mean 'languages'?"),
        (changed(name="My-Task"), "`data.tasks[0].name` is 'My-Task', but must be a letter"),
        (changed(name=7), "`data.tasks[0].name` is 7, but must be a letter"),
        (changed(name="a" * 41), "but must be a letter"),
        (changed(name="s2st"), "`data.tasks[0].name` is 's2st', which is a task already"),
        ([entry(), entry()], "`data.tasks[1].name` is 'mine', as that of another entry"),
        ([entry(name=f"t{i}") for i in range(65)], "`data.tasks` holds 65 tasks, but there is room for 64"),
        (changed(segments="speech"), "`data.tasks[0].segments` must be a list, but is 'speech'"),
        (changed(segments=[]), "`data.tasks[0].segments` must have one target, which is its last segment"),
        (changed(segments=[PROMPT]), "`data.tasks[0].segments` must have one target"),
        (changed(segments=[TARGET, PROMPT]), "`data.tasks[0].segments` must have one target, which is its last"),
        (changed(languages="spa"), "`data.tasks[0].languages` must be a list, but is 'spa'"),
        (changed(languages=["spa"]), "`data.tasks[0].languages[0]` is 'spa', but must be source or target"),
        ([entry("speech")], "`data.tasks[0].segments[0]` must be a mapping, but is 'speech'"),
        (
            [entry({**PROMPT, "modality": "sound"})],
            "`data.tasks[0].segments[0].modality` is 'sound', but must be text or",
        ),
        (
            [entry({**PROMPT, "side": "left"})],
            "`data.tasks[0].segments[0].side` is 'left', but must be source or target",
        ),
        ([entry({**PROMPT, "side": ["source"]})], "`data.tasks[0].segments[0].side` is ['source'], but must be"),
        (
            [entry({**PROMPT, "role": "goal"})],
            "`data.tasks[0].segments[0].role` is 'goal', but must be voice or prompt",
        ),
        ([entry({"modality": "text", "role": "target"})], "`data.tasks[0].segments[0]` has no key 'side'"),
        ([entry({**PROMPT, "sied": 1})], "unknown key of `data.tasks[0].segments[0]` 'sied': did you mean 'side'?"),
        (
            [entry({**PROMPT, "seconds": 1})],
            "`data.tasks[0].segments[0].seconds` is not read of a segment that is no voice",
        ),
        (
            [entry({**PROMPT, "spans": [1, 2]})],
            "`data.tasks[0].segments[0].spans` is not read of a segment that is not",
        ),
        ([entry({**VOICE, "spans": [1, 2]})], "`data.tasks[0].segments[0].spans` is not read of a voice"),
        (
            [entry({**VOICE, "modality": "text"})],
            "`data.tasks[0].segments[0].modality` of a voice is 'text', but must be",
        ),
        ([entry({**VOICE, "seconds": 0})], "`data.tasks[0].segments[0].seconds` is 0, but must be a positive number"),
        (
            [entry({**VOICE, "seconds": "3"})],
            "`data.tasks[0].segments[0].seconds` is '3', but must be a positive number",
        ),
        (
            [entry({**VOICE, "utterance": "mine"})],
            "`data.tasks[0].segments[0].utterance` is 'mine', but must be other or",
        ),
        ([entry({**MIXED, "spans": [3, 2]})], "`data.tasks[0].segments[0].spans` is [3, 2], but must be the least and"),
        ([entry({**MIXED, "spans": 2})], "`data.tasks[0].segments[0].spans` is 2, but must be"),
        ([entry(VOICE, VOICE, TARGET)], "`data.tasks[0].segments` must not have more than one voice"),
        (
            [entry({**VOICE, "utterance": "same"}, {**TARGET, "modality": "speech"})],
            "`data.tasks[0].segments` must not take its voice from the target utterance that is to be predicted",
        ),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(entries: object, message: str) -> None:
    with pytest.raises(UserInputError) as exc_info:
        parse_tasks(entries, where="data.tasks")

    assert message in str(exc_info.value) and "\n" not in str(exc_info.value)
