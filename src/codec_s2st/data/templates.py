"""The tasks, as data: what is given, and what is to be predicted.

Adding a task is one entry in :data:`TEMPLATES`, one name in :data:`codec_s2st.tokens.vocabulary.TASKS` and one preset;
or one entry in a configuration, which :mod:`codec_s2st.data.task_entries` reads. Legend: N text length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from codec_s2st.data.shard_format import ShardRow
from codec_s2st.data.slots import Example as Example
from codec_s2st.data.slots import InterleavedSlot, Piece, Role, SideName, Slot, VoiceSlot, WholeSlot
from codec_s2st.data.slots import LossPolicy as LossPolicy
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder, TokenSequence
from codec_s2st.tokens.vocabulary import Vocabulary, language_tag, own_task_tag, task_tag

TextEncoder: TypeAlias = Callable[[str], Tensor]
"""Maps a text to the tokenizer's ids, *Shape:* [N], without any special token."""


@dataclass(frozen=True)
class TaskTemplate:
    """``(condition)(given segments)(segments to predict)``; checked at construction.

    The condition is the task's tag and the tags of languages.
    """

    name: str

    slots: tuple[Slot, ...]

    languages: tuple[SideName, ...] | None = None
    """The sides whose languages are told; by default those of the segments but a voice, in their order."""

    is_own: bool = False
    """Whether a user has defined it."""

    def __post_init__(self) -> None:
        roles = [slot.role for slot in self.slots]

        if roles.count(Role.TARGET) != 1 or roles[-1] is not Role.TARGET:
            raise ValueError("must have one target, which is its last segment")

        given = [role.is_given for role in roles]

        if sorted(given, reverse=True) != given:
            raise ValueError("must have the segments that are given before those that are predicted")

        if roles.count(Role.VOICE) > 1:
            raise ValueError("must not have more than one voice")

        for slot in self.slots:
            if isinstance(slot, VoiceSlot) != (slot.role is Role.VOICE):
                raise ValueError("must have the role `voice` where a slot is one, and nowhere else")

            if isinstance(slot, VoiceSlot) and slot.utterance == "same" and slot.side in self._predicted_speech:
                raise ValueError(f"must not take its voice from the {slot.side} utterance that is to be predicted")

    @property
    def _predicted_speech(self) -> set[SideName]:
        return {slot.side for slot in self.predicted if Modality.SPEECH in slot.modalities}

    @property
    def tag(self) -> str:
        return own_task_tag(self.name) if self.is_own else task_tag(self.name)

    @property
    def given(self) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.role.is_given)

    @property
    def predicted(self) -> tuple[Slot, ...]:
        """The steps and, last, the target."""
        return tuple(slot for slot in self.slots if not slot.role.is_given)

    @property
    def target(self) -> Slot:
        return self.slots[-1]

    @property
    def voice(self) -> VoiceSlot | None:
        return next((slot for slot in self.slots if isinstance(slot, VoiceSlot)), None)

    @property
    def starts_from_speech(self) -> bool:
        """Whether, but for a voice, the source's utterance is all that is given."""
        return self._starts_from(Modality.SPEECH)

    @property
    def starts_from_text(self) -> bool:
        """Whether, but for a voice, the source's text is all that is given."""
        return self._starts_from(Modality.TEXT)

    def _starts_from(self, modality: Modality) -> bool:
        match [slot for slot in self.given if slot.role is Role.PROMPT]:
            case [WholeSlot(side="source") as slot]:
                return slot.modality is modality

        return False

    @property
    def ends_in_text(self) -> bool:
        return self.target.modalities == {Modality.TEXT}

    @property
    def language_sides(self) -> tuple[SideName, ...]:
        if self.languages is not None:
            return self.languages

        return tuple(dict.fromkeys(slot.side for slot in self.slots if slot.role is not Role.VOICE))

    def slots_in_loss(self, loss: LossPolicy) -> tuple[Slot, ...]:
        """The segments that are to be predicted."""
        return tuple(slot for slot in self.slots if slot.role.in_loss(loss))


def _text(side: SideName, role: Role) -> Slot:
    return WholeSlot(modality=Modality.TEXT, side=side, role=role)


def _speech(side: SideName, role: Role) -> Slot:
    return WholeSlot(modality=Modality.SPEECH, side=side, role=role)


_PROMPT, _STEP, _TARGET = Role.PROMPT, Role.STEP, Role.TARGET

TEMPLATES: Final = {
    template.name: template
    for template in (
        TaskTemplate("text_lm", (_text("source", _TARGET),)),
        TaskTemplate("speech_lm", (_speech("source", _TARGET),)),
        TaskTemplate("asr", (_speech("source", _PROMPT), _text("source", _TARGET))),
        TaskTemplate("tts", (_text("source", _PROMPT), _speech("source", _TARGET))),
        TaskTemplate("s2tt", (_speech("source", _PROMPT), _text("target", _TARGET))),
        TaskTemplate("t2st", (_text("source", _PROMPT), _speech("target", _TARGET))),
        TaskTemplate("mt", (_text("source", _PROMPT), _text("target", _TARGET))),
        TaskTemplate("s2st", (_speech("source", _PROMPT), _speech("target", _TARGET))),
        # Chains: what is thought on the way is said aloud.
        TaskTemplate(
            "s2st_chain",
            (_speech("source", _PROMPT), _text("source", _STEP), _text("target", _STEP), _speech("target", _TARGET)),
        ),
        TaskTemplate("s2st_via_text", (_speech("source", _PROMPT), _text("target", _STEP), _speech("target", _TARGET))),
        # In a voice that is given.
        TaskTemplate("tts_voice", (VoiceSlot(side="source"), _text("source", _PROMPT), _speech("source", _TARGET))),
        TaskTemplate("s2st_voice", (VoiceSlot(side="target"), _speech("source", _PROMPT), _speech("target", _TARGET))),
        TaskTemplate("interleaved_lm", (InterleavedSlot(side="source", role=_TARGET),)),
    )
}


def find_template(task: str, own: Mapping[str, TaskTemplate] | None = None) -> TaskTemplate:
    """Returns the template of ``task``.

    :param own: Templates that a user has defined.

    :raises UserInputError: there is no such task.
    """
    known = {**TEMPLATES, **(own or {})}

    if task not in known:
        raise unknown_name("task", task, known, hint="a task of your own is defined in `data.tasks`")

    return known[task]


def swap_sides(row: ShardRow) -> ShardRow:
    """Returns ``row`` with source and target exchanged."""
    return ShardRow(row.id, row.split, row.target, row.source)


def condition_segment(vocabulary: Vocabulary, tag: str, *languages: str | None) -> Segment:
    """Returns a task's tag and the tag of each different language, in order; a language that is ``None`` has no tag.

    :raises UserInputError: the vocabulary has no tag for the task or a language.
    """
    names = [tag]

    names += [language_tag(language) for language in dict.fromkeys(languages) if language is not None]

    known = vocabulary.special_ids

    for name in names:
        if name not in known:
            kind = "language" if name.startswith("<lang:") else "task"

            values = [other.split(":")[1][:-1] for other in known if other.startswith(name.split(":")[0] + ":")]

            raise unknown_name(kind, name.split(":")[1][:-1], values, hint="languages are ISO 639-3, such as spa, eng")

    return Segment(Modality.TAGS, torch.tensor([vocabulary.special(name) for name in names]), in_loss=False)


def count_steps(template: TaskTemplate, example: Example, builder: SequenceBuilder, encode_text: TextEncoder) -> int:
    """Returns the length of what :func:`render` returns, which costs more."""
    total = 1 + len({lang for lang in _languages(template, example) if lang is not None})

    for slot in template.slots:
        for piece in _pieces(template, slot, example):
            if isinstance(piece, str):
                total += builder.num_steps(Modality.TEXT, len(encode_text(piece)))
            else:
                total += builder.num_steps(Modality.SPEECH, len(piece))

    return total


def render(
    template: TaskTemplate, example: Example, builder: SequenceBuilder, encode_text: TextEncoder, loss: LossPolicy
) -> TokenSequence:
    """Returns the sequence of an example for a task.

    :raises UserInputError: the row lacks what the task needs, or its language has no tag; the row is named.
    """
    segments = [condition_segment(builder.vocabulary, template.tag, *_languages(template, example))]

    for slot in template.slots:
        segments += slot_segments(template, slot, example, encode_text, in_loss=slot.role.in_loss(loss))

    return builder.build(segments)


def prompt_segments(
    template: TaskTemplate, example: Example, vocabulary: Vocabulary, encode_text: TextEncoder
) -> list[Segment]:
    """Returns what stands before the segments that are to be predicted.

    :raises UserInputError: the row lacks what the task needs, or its language has no tag; the row is named.
    """
    segments = [condition_segment(vocabulary, template.tag, *_languages(template, example))]

    for slot in template.given:
        segments += slot_segments(template, slot, example, encode_text, in_loss=False)

    return segments


def slot_segments(
    template: TaskTemplate, slot: Slot, example: Example, encode_text: TextEncoder, *, in_loss: bool
) -> list[Segment]:
    """Returns what a slot is filled with.

    :raises UserInputError: the row lacks it.
    """
    segments = []

    for piece in _pieces(template, slot, example):
        if isinstance(piece, str):
            segments.append(Segment(Modality.TEXT, encode_text(piece), in_loss))
        else:
            segments.append(Segment(Modality.SPEECH, torch.from_numpy(piece.astype("int64")), in_loss))

    return segments


def _languages(template: TaskTemplate, example: Example) -> list[str | None]:
    return [example.side(side).lang for side in template.language_sides]


def _pieces(template: TaskTemplate, slot: Slot, example: Example) -> Iterable[Piece]:
    for need in slot.needs:
        if not example.has(need, slot.side):
            raise UserInputError(
                f"row '{example.id}' has no {slot.side} {need.value}, which task '{template.name}' needs"
            )

    return slot.pieces(example)
