"""Golden sequences: every task, written out step by step with the names of its ids."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest

from codec_s2st.data.alignment import AlignedSpan
from codec_s2st.data.shards import ShardRow, Side
from codec_s2st.data.slots import Example, InterleavedSlot, LossPolicy, Role, Slot, VoiceSlot, WholeSlot
from codec_s2st.data.templates import (
    TEMPLATES,
    TaskTemplate,
    condition_segment,
    count_steps,
    find_template,
    render,
    swap_sides,
)
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.delay import parse_pattern
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from codec_s2st.tokens.vocabulary import STANDARD_SPECIALS, TASKS, Vocabulary, assign_own_slots, task_tag
from tests.factories import encode_letters

ROW = ShardRow(
    "u1",
    "train",
    Side(
        np.array([[3, 1], [0, 4]], dtype=np.int16), "ab", "spa", "ana", (AlignedSpan("a", 0, 1), AlignedSpan("b", 1, 2))
    ),
    Side(np.array([[7, 2]], dtype=np.int16), "c", "eng", None, (AlignedSpan("c", 0, 1),)),
)

VOICE = np.array([[5, 3]], dtype=np.int16)

EXAMPLE = Example(ROW, VOICE, seed=1)

REVERSED = Example(swap_sides(ROW), VOICE)

# Condition / voice / prompt / what is always predicted; a step is stream 0 or "stream 0 + stream 1".
SPOKEN_VOICE = "<speech> q0:5+q1:3 </speech>"
SPOKEN_SOURCE = "<speech> q0:3+q1:1 q0:0+q1:4 </speech>"
SPOKEN_TARGET = "<speech> q0:7+q1:2 </speech>"
WRITTEN_SOURCE = "<text> text:1 text:2 </text>"
WRITTEN_TARGET = "<text> text:3 </text>"

Golden: TypeAlias = tuple[str, str, str, str]

GOLDEN: dict[str, Golden] = {
    "text_lm": ("<task:text_lm> <lang:spa>", "", "", WRITTEN_SOURCE),
    "speech_lm": ("<task:speech_lm> <lang:spa>", "", "", SPOKEN_SOURCE),
    "asr": ("<task:asr> <lang:spa>", "", SPOKEN_SOURCE, WRITTEN_SOURCE),
    "tts": ("<task:tts> <lang:spa>", "", WRITTEN_SOURCE, SPOKEN_SOURCE),
    "s2tt": ("<task:s2tt> <lang:spa> <lang:eng>", "", SPOKEN_SOURCE, WRITTEN_TARGET),
    "t2st": ("<task:t2st> <lang:spa> <lang:eng>", "", WRITTEN_SOURCE, SPOKEN_TARGET),
    "mt": ("<task:mt> <lang:spa> <lang:eng>", "", WRITTEN_SOURCE, WRITTEN_TARGET),
    "s2st": ("<task:s2st> <lang:spa> <lang:eng>", "", SPOKEN_SOURCE, SPOKEN_TARGET),
    "s2st_chain": (
        "<task:s2st_chain> <lang:spa> <lang:eng>",
        "",
        SPOKEN_SOURCE,
        f"{WRITTEN_SOURCE} {WRITTEN_TARGET} {SPOKEN_TARGET}",
    ),
    "s2st_via_text": (
        "<task:s2st_via_text> <lang:spa> <lang:eng>",
        "",
        SPOKEN_SOURCE,
        f"{WRITTEN_TARGET} {SPOKEN_TARGET}",
    ),
    "tts_voice": ("<task:tts_voice> <lang:spa>", SPOKEN_VOICE, WRITTEN_SOURCE, SPOKEN_SOURCE),
    "s2st_voice": ("<task:s2st_voice> <lang:spa> <lang:eng>", SPOKEN_VOICE, SPOKEN_SOURCE, SPOKEN_TARGET),
    "interleaved_lm": (
        "<task:interleaved_lm> <lang:spa>",
        "",
        "",
        "<text> text:1 </text> <speech> q0:0+q1:4 </speech>",
    ),
}

GOLDEN_REVERSED: dict[str, Golden] = {
    "asr": ("<task:asr> <lang:eng>", "", SPOKEN_TARGET, WRITTEN_TARGET),
    "s2st": ("<task:s2st> <lang:eng> <lang:spa>", "", SPOKEN_TARGET, SPOKEN_SOURCE),
    "s2st_chain": (
        "<task:s2st_chain> <lang:eng> <lang:spa>",
        "",
        SPOKEN_TARGET,
        f"{WRITTEN_TARGET} {WRITTEN_SOURCE} {SPOKEN_SOURCE}",
    ),
}


def make_builder(pattern: str = "parallel") -> SequenceBuilder:
    return SequenceBuilder(Vocabulary(32, (8, 5)), parse_pattern(pattern, 2))


def check(
    task: str | TaskTemplate, example: Example, loss: LossPolicy, golden: Golden, pattern: str = "parallel"
) -> None:
    template = find_template(task) if isinstance(task, str) else task

    specials = assign_own_slots(STANDARD_SPECIALS, [template.tag])

    builder = SequenceBuilder(Vocabulary(32, (8, 5), specials), parse_pattern(pattern, 2))

    sequence = render(template, example, builder, encode_letters, loss)

    steps, in_loss = [], []

    for ids, mask in zip(sequence.ids.tolist(), sequence.loss_mask.tolist(), strict=True):
        names = [builder.vocabulary.name_of(id_) for id_ in ids]

        used = [i for i, name in enumerate(names) if name != "<pad>"]

        steps.append("+".join(names[i] for i in used))

        # A step is in the loss with all that it holds, or not at all.
        assert [i for i, is_target in enumerate(mask) if is_target] in ([], used)

        in_loss.append(any(mask))

    condition, voice, prompt, predicted = (part.split() for part in golden)

    assert steps == [*condition, *voice, *prompt, *predicted]

    given = [False] * len(condition + voice) + [loss == "all"] * len(prompt)

    assert in_loss == given + [True] * len(predicted)


def test_every_task_has_a_template_and_a_golden_sequence() -> None:
    assert list(GOLDEN) == list(TEMPLATES) == list(TASKS)


@pytest.mark.parametrize("loss", ["all", "target"])
@pytest.mark.parametrize("task", GOLDEN)
def test_golden(task: str, loss: LossPolicy) -> None:
    check(task, EXAMPLE, loss, GOLDEN[task])


@pytest.mark.parametrize("loss", ["all", "target"])
@pytest.mark.parametrize("task", GOLDEN_REVERSED)
def test_golden_reversed(task: str, loss: LossPolicy) -> None:
    check(task, REVERSED, loss, GOLDEN_REVERSED[task])


def test_golden_delayed() -> None:
    prompt = "<speech> q0:3 q0:0+q1:1 <flush>+q1:4 </speech>"

    check(
        "s2st",
        EXAMPLE,
        "target",
        ("<task:s2st> <lang:spa> <lang:eng>", "", prompt, "<speech> q0:7 <flush>+q1:2 </speech>"),
        "delay",
    )


def test_golden_flattened() -> None:
    prompt = "<speech> q0:3 q1:1 q0:0 q1:4 </speech>"

    check("asr", EXAMPLE, "all", ("<task:asr> <lang:spa>", "", prompt, WRITTEN_SOURCE), "flatten")


def test_language_that_is_not_known_has_no_tag() -> None:
    row = ShardRow("u1", "train", Side(ROW.source.codes, None, None), Side(ROW.target.codes, None, "eng"))

    check("s2st", Example(row), "all", ("<task:s2st> <lang:eng>", "", SPOKEN_SOURCE, SPOKEN_TARGET))
    check("speech_lm", Example(row), "all", ("<task:speech_lm>", "", "", SPOKEN_SOURCE))


def test_language_that_both_sides_share_has_one_tag() -> None:
    row = ShardRow("u1", "train", ROW.source, Side(ROW.target.codes, None, "spa"))

    check("s2st", Example(row), "all", ("<task:s2st> <lang:spa>", "", SPOKEN_SOURCE, SPOKEN_TARGET))


@pytest.mark.parametrize("task", TEMPLATES)
def test_slots_in_loss_are_those_with_targets(task: str) -> None:
    template = find_template(task)

    assert template.slots_in_loss("target") == template.predicted

    assert template.slots_in_loss("all") == tuple(slot for slot in template.slots if slot.role is not Role.VOICE)


def test_own_tasks_have_tags_of_their_own_and_tell_the_languages_that_they_name() -> None:
    slots = find_template("s2tt").slots

    own = TaskTemplate("s2tt_blind", slots, ("target",), is_own=True)

    check(own, EXAMPLE, "all", ("<own:s2tt_blind> <lang:eng>", "", SPOKEN_SOURCE, WRITTEN_TARGET))

    none = TaskTemplate("s2tt_blind", slots, (), is_own=True)

    check(none, EXAMPLE, "target", ("<own:s2tt_blind>", "", SPOKEN_SOURCE, WRITTEN_TARGET))


@pytest.mark.parametrize(
    ("task", "source", "target", "message"),
    [
        ("asr", Side(ROW.source.codes, None, "spa"), Side(), "row 'u1' has no source text, which task 'asr' needs"),
        ("s2st", ROW.source, Side(None, "c", "eng"), "row 'u1' has no target codes, which task 's2st' needs"),
        ("mt", Side(None, "ab", "spa"), Side(), "row 'u1' has no target text, which task 'mt' needs"),
        ("s2st_chain", Side(ROW.source.codes, None, "spa"), ROW.target, "row 'u1' has no source text"),
        ("interleaved_lm", Side(ROW.source.codes, "ab", "spa"), ROW.target, "row 'u1' has no source alignment"),
        ("s2st_voice", ROW.source, ROW.target, "row 'u1' has no target speech of the same speaker"),
    ],
)
def test_missing_parts_are_named(task: str, source: Side, target: Side, message: str) -> None:
    template = find_template(task)

    example = Example(ShardRow("u1", "train", source, target))

    assert not all(slot.fits(example) for slot in template.slots)

    for count_or_render in (
        lambda: render(template, example, make_builder(), encode_letters, "all"),
        lambda: count_steps(template, example, make_builder(), encode_letters),
    ):
        with pytest.raises(UserInputError, match=message):
            count_or_render()


def test_fits_sees_what_is_there() -> None:
    assert all(slot.fits(EXAMPLE) for template in TEMPLATES.values() for slot in template.slots)


def test_unknown_task_is_refused() -> None:
    with pytest.raises(UserInputError, match=r"unknown task 's2s': did you mean 's2st'\?"):
        find_template("s2s")


@pytest.mark.parametrize(
    ("task", "language", "message"),
    [("s2st", "es", r"unknown language 'es'.*ISO 639-3"), ("sing", "spa", r"unknown task 'sing'")],
)
def test_unknown_tag_is_refused(task: str, language: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        condition_segment(make_builder().vocabulary, task_tag(task), language)


def test_condition_is_never_in_the_loss() -> None:
    segment = condition_segment(make_builder().vocabulary, task_tag("s2st"), "spa", "eng")

    assert segment.modality is Modality.TAGS and not segment.in_loss


def random_example(seed: int) -> Example:
    """Returns a row that has everything, of random lengths; some spans have no frame."""
    rng = np.random.default_rng(seed)

    def side(lang: str) -> Side:
        num_frames, num_spans = (int(number) for number in rng.integers(1, (20, 8)))

        codes = rng.integers(0, 5, (num_frames, 2)).astype(np.int16)

        times = np.sort(rng.integers(0, num_frames + 1, 2 * num_spans)).reshape(-1, 2).tolist()

        alignment = tuple(AlignedSpan("x" * int(rng.integers(1, 4)), begin, end) for begin, end in times)

        return Side(codes, "y" * int(rng.integers(0, 9)), lang, "ana", alignment)

    voice = rng.integers(0, 5, (int(rng.integers(1, 6)), 2)).astype(np.int16)

    return Example(ShardRow(f"u{seed}", "train", side("spa"), side("eng")), voice, seed)


@pytest.mark.parametrize("pattern", ["parallel", "delay", "flatten"])
@pytest.mark.parametrize("task", TEMPLATES)
def test_lengths_are_known_without_rendering(task: str, pattern: str) -> None:
    builder, template = make_builder(pattern), find_template(task)

    examples = [EXAMPLE, REVERSED, *(random_example(seed) for seed in range(20))]

    for example in examples:
        sequence = render(template, example, builder, encode_letters, "all")

        assert count_steps(template, example, builder, encode_letters) == len(sequence)


def slot(role: Role, side: str = "source", modality: Modality = Modality.TEXT) -> Slot:
    return WholeSlot(modality=modality, side=side, role=role)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ([], "one target"),
        ([slot(Role.PROMPT)], "one target"),
        ([slot(Role.TARGET), slot(Role.TARGET)], "one target"),
        ([slot(Role.TARGET), slot(Role.STEP)], "its last segment"),
        ([slot(Role.STEP), slot(Role.PROMPT), slot(Role.TARGET)], "given before those that are predicted"),
        ([VoiceSlot(side="source"), VoiceSlot(side="target"), slot(Role.TARGET)], "more than one voice"),
        ([slot(Role.VOICE), slot(Role.TARGET)], "the role `voice`"),
        ([VoiceSlot(side="source", role=Role.PROMPT), slot(Role.TARGET)], "the role `voice`"),
        (
            [VoiceSlot(side="source", utterance="same"), InterleavedSlot(side="source", role=Role.TARGET)],
            "voice from the source utterance that is to be predicted",
        ),
    ],
)
def test_templates_that_make_no_sense_are_refused(slots: list[Slot], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskTemplate("sing", tuple(slots))


@pytest.mark.parametrize(
    ("task", "starts_from_speech", "ends_in_text"),
    [
        ("s2st", True, False),
        ("s2st_chain", True, False),
        ("s2st_voice", True, False),
        ("s2tt", True, True),
        ("asr", True, True),
        ("tts", False, False),
        ("tts_voice", False, False),
        ("speech_lm", False, False),
        ("text_lm", False, True),
        ("interleaved_lm", False, False),
    ],
)
def test_what_can_be_asked_of_a_recording(task: str, starts_from_speech: bool, ends_in_text: bool) -> None:
    template = find_template(task)

    assert (template.starts_from_speech, template.ends_in_text) == (starts_from_speech, ends_in_text)
