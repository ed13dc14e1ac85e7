"""What a model can do, and what came of a request, as JSON. Legend: N sample, T frame, Q stream."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Any, Final

from torch import Tensor

from codec_s2st.codecs.audio import encode_audio
from codec_s2st.data.slots import WholeSlot
from codec_s2st.data.templates import TaskTemplate, find_template
from codec_s2st.evaluation.spectrogram import spectrogram_png
from codec_s2st.serve.requests import TranslationRequest
from codec_s2st.tokens.sequence import Modality
from codec_s2st.tokens.vocabulary import LANGUAGES
from codec_s2st.translator import SpeechInput, SpeechTranslator, Translation

_TITLES: Final = {
    "asr": "Transcribe speech",
    "tts": "Speak a text",
    "s2tt": "Translate speech to text",
    "t2st": "Translate a text to speech",
    "mt": "Translate a text",
    "s2st": "Translate speech to speech",
    "s2st_chain": "Translate speech to speech by way of both texts",
    "s2st_via_text": "Translate speech to speech by way of its text",
    "tts_voice": "Speak a text in a given voice",
    "s2st_voice": "Translate speech to speech in a given voice",
}

_SILENCE: Final = 0.003
"""A recording whose largest sample is below it (-50 dB) most likely holds nobody who speaks."""


def describe_model(translator: SpeechTranslator) -> dict[str, Any]:
    """Returns what the page must know of a model. Tasks that cannot be asked for here are left out."""
    templates = [find_template(task, translator.own_tasks) for task in translator.tasks]

    return {
        "name": translator.name,
        "tasks": [_describe_task(template) for template in templates if _is_possible(template)],
        "targets": _targets(translator),
        "max_seconds": round(translator.max_seconds, 1),
        "max_text_tokens": translator.max_text_tokens,
    }


def _targets(translator: SpeechTranslator) -> dict[str, list[str]]:
    """Returns the target languages by source language; of a model that says nothing, all that have a tag."""
    targets: dict[str, list[str]] = {}

    for source, target in translator.languages:
        targets.setdefault(source, []).append(target)

    return targets or {source: list(LANGUAGES) for source in LANGUAGES}


def _is_possible(template: TaskTemplate) -> bool:
    whole = all(isinstance(slot, WholeSlot) for slot in template.predicted)

    return whole and (template.starts_from_speech or template.starts_from_text)


def _describe_task(template: TaskTemplate) -> dict[str, Any]:
    voice = "none"

    if template.voice is not None:
        voice = "required" if template.voice.side == "target" or template.starts_from_text else "optional"

    return {
        "name": template.name,
        "title": _TITLES.get(template.name, template.name),
        "input": "text" if template.starts_from_text else "speech",
        "output": "text" if template.ends_in_text else "speech",
        "voice": voice,
        # Whose languages the model is told.
        "sides": list(template.language_sides),
    }


def compute(request: TranslationRequest) -> dict[str, Any]:
    """Computes a request: what is said or written, pictures of it, and how long it took.

    :raises CodecS2STError: it cannot be computed.
    """
    started_at = time.perf_counter()

    [output] = request.translator.translate_all(
        [request.given],  # type: ignore[arg-type]
        source_lang=request.source,
        target_lang=request.target,
        task=request.template.name,
        voice=request.voice,
    )

    work_seconds = time.perf_counter() - started_at

    result: dict[str, Any] = {
        "model": request.translator.name,
        "task": request.template.name,
        "source": request.source,
        "target": request.target,
        "frame_rate": request.translator.codec.spec.frame_rate,
        "codebook_sizes": list(request.translator.codec.spec.codebook_sizes),
        "text": output.text,
        "text_lang": request.language(request.template.target.side),
        "steps": _describe_steps(request, output),
        "input": None,
        "output": None,
        "remarks": [],
    }

    seconds = output.seconds

    if isinstance(request.given, SpeechInput):
        seconds = request.given.wave.size(-1) / request.given.sample_rate

        result["input"] = _describe_sound(
            request.given.wave[0], request.given.sample_rate, request.translator.encode(request.given)
        )

        if float(request.given.wave.abs().max()) < _SILENCE:
            result["remarks"].append("The recording is nearly silent: is the microphone on?")

    if output.waveform is not None and output.codes is not None:
        # A model may end at once.
        if output.waveform.numel():
            result["output"] = _describe_sound(output.waveform, output.sample_rate, output.codes)
        else:
            result["remarks"].append("The model has said nothing.")

    if not output.finished:
        result["remarks"].append("The output did not end by itself, and was cut at its largest length.")

    result["work_seconds"] = round(work_seconds, 3)

    # As `codec-s2st translate --json` has it, or, where nothing was said to the model, for a second of what it says.
    result["real_time_factor"] = round(work_seconds / seconds, 3) if seconds else None

    return result


def _describe_steps(request: TranslationRequest, output: Translation) -> list[dict[str, str]]:
    slots = [slot for slot in request.template.predicted[:-1] if slot.modalities == {Modality.TEXT}]

    return [{"lang": request.language(slot.side), "text": text} for slot, text in zip(slots, output.steps, strict=True)]


def _describe_sound(wave: Tensor, sample_rate: int, codes: Tensor) -> dict[str, Any]:
    """
    :param wave: *Shape:* [N].
    :param codes: *Shape:* [T, Q].
    """
    return {
        "seconds": round(wave.numel() / sample_rate, 3),
        "sample_rate": sample_rate,
        "wav": _base64(encode_audio(wave[None], sample_rate, ".wav")),
        "spectrogram": _base64(spectrogram_png(wave, sample_rate)),
        "codes": codes.tolist(),
    }


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
