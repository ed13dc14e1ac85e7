"""What the page asks for, read from JSON; sound is decoded in memory. Legend: N sample."""

from __future__ import annotations

import os
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from codec_s2st.codecs.audio import read_audio
from codec_s2st.data.slots import SideName
from codec_s2st.data.templates import TaskTemplate, find_template
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.tokens.sequence import Modality
from codec_s2st.translator import SpeechInput, SpeechTranslator, TextInput

MAX_TEXT_CHARS: Final = 2000

_FIELDS: Final = ("model", "task", "source", "target", "audio", "text", "voice")


@dataclass(frozen=True, kw_only=True)
class TranslationRequest:
    """A request that can be computed: model, task and languages are known, and the input has room."""

    translator: SpeechTranslator
    template: TaskTemplate
    source: str
    target: str
    given: SpeechInput | TextInput
    voice: SpeechInput | None

    def language(self, side: SideName) -> str:
        return self.source if side == "source" else self.target


def read_request(
    content: object, translators: Mapping[str, SpeechTranslator], *, max_seconds: float
) -> TranslationRequest:
    """
    :param content: An object of JSON: strings ``model`` and ``task``; ``source`` and ``target``, the languages, by
        default the model's first; ``audio``, a recording in base64, or ``text``, by what the task starts from; and
        ``voice``, a recording as well.
    :param translators: The models by name.
    :param max_seconds: The longest recording that is taken.

    :raises UserInputError: it is something else, the model cannot do it, or a recording cannot be read.
    """
    if not isinstance(content, dict):
        raise UserInputError("the request must be an object of JSON")

    fields: dict[str, Any] = content

    for name, value in fields.items():
        if name not in _FIELDS:
            raise unknown_name("field", name[:40], _FIELDS)

        if not isinstance(value, str):
            raise UserInputError(f"field `{name}` must be a string")

    translator = translators.get(fields.get("model", ""))

    if translator is None:
        raise unknown_name("model", fields.get("model", "")[:40], translators)

    task = fields.get("task") or translator.tasks[0]

    if task not in translator.tasks:
        raise unknown_name("task", task[:40], translator.tasks)

    from_text = find_template(task, translator.own_tasks).starts_from_text

    template, source, target = translator.check(
        task,
        fields.get("source", "")[:40] or None,
        fields.get("target", "")[:40] or None,
        given=Modality.TEXT if from_text else Modality.SPEECH,
    )

    rate = translator.codec.spec.sample_rate

    voice = None

    if fields.get("voice"):
        voice = read_recording(fields["voice"], "the voice", sample_rate=rate, max_seconds=max_seconds)

    translator.check_voice(template, voice)

    given: SpeechInput | TextInput

    if from_text:
        given = TextInput(_read_text(fields.get("text", "")))

        translator.check_text(given)
    else:
        given = read_recording(
            fields.get("audio", ""), "the recording", sample_rate=rate, max_seconds=min(max_seconds, _limit(translator))
        )

        translator.check_speech(given)

    return TranslationRequest(
        translator=translator, template=template, source=source, target=target, given=given, voice=voice
    )


def read_recording(content: str, name: str, *, sample_rate: int, max_seconds: float) -> SpeechInput:
    """Decodes a sound file in base64, in memory: no file is made, so that none is left behind, however this ends.

    :param name: What errors call it.

    :raises UserInputError: it cannot be read, is empty, or longer than ``max_seconds``.
    """
    try:
        data = b64decode(content, validate=True)
    except (Base64Error, ValueError):
        raise UserInputError(f"{name} is not in base64") from None

    if not data:
        raise UserInputError(f"{name} is empty", hint="record something, or choose a file")

    # A file without a name, which goes with its last descriptor.
    descriptor = os.memfd_create("recording", os.MFD_CLOEXEC)

    path = f"/proc/self/fd/{descriptor}"

    try:
        with open(descriptor, "wb", closefd=False) as fp:
            fp.write(data)

        wave = read_audio(path, sample_rate=sample_rate, max_seconds=max_seconds)
    except UserInputError as ex:
        raise UserInputError(ex.message.replace(f"audio file '{path}'", name), hint=ex.hint) from None
    finally:
        os.close(descriptor)

    return SpeechInput(wave, sample_rate)


def _limit(translator: SpeechTranslator) -> float:
    # A bit more, so that it is the model that says how much it takes.
    return translator.max_seconds + 1.0


def _read_text(text: str) -> str:
    if len(text) > MAX_TEXT_CHARS:
        raise UserInputError(f"the text has {len(text)} characters, but at most {MAX_TEXT_CHARS} are taken")

    # What is no character of any writing, such as half of one, cannot be tokenized.
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise UserInputError("the text holds characters that are none")

    return text
