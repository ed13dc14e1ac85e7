"""Tasks that users define: entries of a configuration, or of a model's card, become templates."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Final, Literal, cast

from codec_s2st.data.slots import InterleavedSlot, Role, SideName, Slot, VoiceSlot, WholeSlot
from codec_s2st.data.templates import TEMPLATES, TaskTemplate
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.tokens.sequence import Modality
from codec_s2st.tokens.vocabulary import OWN_SLOTS

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

_MODALITIES: Final = ("text", "speech", "interleaved")

_HINT: Final = "see docs/guides/your-task.md"


def parse_tasks(entries: object, *, where: str) -> dict[str, TaskTemplate]:
    """Returns the templates of ``entries`` by name.

    :param entries: A list of mappings with the keys ``name``, ``segments`` and maybe ``languages``.
    :param where: The key that holds them, for messages.

    :raises UserInputError: an entry cannot be read; the key at fault is named.
    """
    output: dict[str, TaskTemplate] = {}

    for i, entry in enumerate(_list(entries, where)):
        template = _parse_task(entry, f"{where}[{i}]")

        if template.name in output:
            raise UserInputError(f"`{where}[{i}].name` is '{template.name}', as that of another entry")

        output[template.name] = template

    if len(output) > len(OWN_SLOTS):
        raise UserInputError(f"`{where}` holds {len(output)} tasks, but there is room for {len(OWN_SLOTS)}")

    return output


def _parse_task(entry: object, where: str) -> TaskTemplate:
    fields = _mapping(entry, where, required=("name", "segments"), optional=("languages",))

    name = fields["name"]

    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserInputError(
            f"`{where}.name` is {name!r}, but must be a letter and up to 39 letters, digits and underscores",
            hint="lower case, such as my_task",
        )

    if name in TEMPLATES:
        raise UserInputError(f"`{where}.name` is '{name}', which is a task already", hint="choose another name")

    segments = _list(fields["segments"], f"{where}.segments")

    slots = tuple(_parse_slot(segment, f"{where}.segments[{i}]") for i, segment in enumerate(segments))

    languages: tuple[SideName, ...] | None = None

    if "languages" in fields:
        sides = _list(fields["languages"], f"{where}.languages")

        languages = tuple(_side(side, f"{where}.languages[{i}]") for i, side in enumerate(sides))

    try:
        return TaskTemplate(name, slots, languages, is_own=True)
    except ValueError as ex:
        raise UserInputError(f"`{where}.segments` {ex}", hint=_HINT) from None


def _parse_slot(segment: object, where: str) -> Slot:
    options = ("seconds", "utterance", "spans")

    fields = _mapping(segment, where, required=("modality", "side", "role"), optional=options)

    modality = _choice(fields["modality"], f"{where}.modality", _MODALITIES)

    side = _side(fields["side"], f"{where}.side")

    role = Role(_choice(fields["role"], f"{where}.role", [role.value for role in Role]))

    if role is Role.VOICE:
        _choice(modality, f"{where}.modality", ("speech",), "of a voice ")

        _refuse(fields, ("spans",), where, "a voice")

        return VoiceSlot(
            side=side,
            seconds=_seconds(fields.get("seconds", 3.0), f"{where}.seconds"),
            utterance=cast(
                Literal["other", "same"],
                _choice(fields.get("utterance", "other"), f"{where}.utterance", ("other", "same")),
            ),
        )

    _refuse(fields, ("seconds", "utterance"), where, "a segment that is no voice")

    if modality == "interleaved":
        return InterleavedSlot(side=side, role=role, spans=_spans(fields.get("spans", [1, 6]), f"{where}.spans"))

    _refuse(fields, ("spans",), where, "a segment that is not interleaved")

    return WholeSlot(modality=Modality(modality), side=side, role=role)


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise UserInputError(f"`{where}` must be a list, but is {value!r}", hint=_HINT)

    return value


def _mapping(
    value: object, where: str, *, required: Collection[str], optional: Collection[str]
) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise UserInputError(f"`{where}` must be a mapping, but is {value!r}", hint=_HINT)

    known = (*required, *optional)

    for key in value:
        if key not in known:
            raise unknown_name(f"key of `{where}`", str(key), known, hint=_HINT)

    for key in required:
        if key not in value:
            raise UserInputError(f"`{where}` has no key '{key}'", hint=_HINT)

    return value


def _refuse(fields: Mapping[str, object], keys: Collection[str], where: str, what: str) -> None:
    for key in keys:
        if key in fields:
            raise UserInputError(f"`{where}.{key}` is not read of {what}", hint="remove it")


def _choice(value: object, where: str, known: Collection[str], which: str = "") -> str:
    if value not in known:
        raise UserInputError(f"`{where}` {which}is {value!r}, but must be {' or '.join(known)}", hint=_HINT)

    return cast(str, value)


def _side(value: object, where: str) -> SideName:
    return cast(SideName, _choice(value, where, ("source", "target")))


def _seconds(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UserInputError(f"`{where}` is {value!r}, but must be a positive number")

    return float(value)


def _spans(value: object, where: str) -> tuple[int, int]:
    match value:
        case [int(least), int(largest)] if 1 <= least <= largest:
            return least, largest

    raise UserInputError(f"`{where}` is {value!r}, but must be the least and the largest number", hint="such as [1, 6]")
