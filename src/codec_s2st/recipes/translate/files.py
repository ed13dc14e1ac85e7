"""Translates recordings to files, in batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codec_s2st.codecs.audio import read_audio, write_audio
from codec_s2st.data.files import atomic_path, write_error
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.evaluation.levels import level_flaw
from codec_s2st.recipes.translate.jobs import TranslateJob
from codec_s2st.translator import SpeechInput, SpeechTranslator, Translation


@dataclass(frozen=True, kw_only=True)
class TranslateResult:
    """What came of a job; the fields are those of ``--json``."""

    input: str
    output: str
    seconds_in: float
    seconds_out: float
    real_time_factor: float
    """Seconds of work for a second of input; the rows of a batch share its work evenly."""

    model: str
    text: str | None
    """``None`` where the output is speech."""

    finished: bool
    """``False`` if the output was cut at its largest length."""

    steps: tuple[str, ...]
    """The texts on the way, of a task that is a chain."""

    input_flaw: str | None
    """Why little can be expected: the recording is silent, nearly silent or clipped; ``None`` if it is not."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def translate_files(
    translator: SpeechTranslator,
    jobs: Sequence[TranslateJob],
    *,
    task: str | None,
    source_lang: str | None,
    target_lang: str | None,
    batch_size: int,
    on_error: Callable[[TranslateJob, CodecS2STError], None],
    voice: Path | None = None,
) -> Iterator[TranslateResult]:
    """Translates recordings in batches; each output appears when it is complete.

    :param voice: A recording of who is to speak, for tasks with a voice.
    :param on_error: Is told of a recording that cannot be translated; the others go on.
    :raises CodecS2STError: the machine failed, e.g. its disk is full; what was written stays.
    """
    is_chosen = target_lang is not None

    template, source_lang, target_lang = translator.check(task, source_lang, target_lang)

    # Nothing is translated to another language than the manifest's, unless the user says so.
    has_target = not is_chosen and any(slot.side == "target" for slot in template.slots)

    sample_rate = translator.codec.spec.sample_rate

    speaker = None if voice is None else SpeechInput(read_audio(voice, sample_rate=sample_rate), sample_rate)

    translator.check_voice(template, speaker)

    for begin in range(0, len(jobs), batch_size):
        started_at = time.perf_counter()

        read: list[tuple[TranslateJob, SpeechInput]] = []

        for job in jobs[begin : begin + batch_size]:
            try:
                if job.source_lang not in (None, source_lang):
                    raise UserInputError(
                        f"'{job.input}' is spoken in {job.source_lang}, but {source_lang} is translated",
                        hint="choose another source language",
                    )

                if has_target and job.target_lang not in (None, target_lang):
                    raise UserInputError(
                        f"'{job.input}' is to become {job.target_lang}, but is translated to {target_lang}",
                        hint="if that is meant, choose the target language",
                    )

                speech = SpeechInput(read_audio(job.input, sample_rate=sample_rate), sample_rate)

                translator.check_speech(speech, name=f"'{job.input}'")
            except CodecS2STError as ex:
                on_error(job, ex)
            else:
                read.append((job, speech))

        outputs = translator.translate_all(
            [speech for _, speech in read],
            task=task,
            source_lang=source_lang,
            target_lang=target_lang,
            voice=speaker,
        )

        work = (time.perf_counter() - started_at) / max(len(read), 1)

        for (job, speech), output in zip(read, outputs, strict=True):
            try:
                _write(job.output, output)
            except UserInputError as ex:
                on_error(job, ex)

                continue

            seconds_in = speech.wave.size(-1) / speech.sample_rate

            yield TranslateResult(
                input=str(job.input),
                output=str(job.output),
                seconds_in=round(seconds_in, 3),
                seconds_out=round(output.seconds, 3),
                real_time_factor=round(work / seconds_in, 3),
                model=translator.name,
                text=output.text,
                finished=output.finished,
                steps=output.steps,
                input_flaw=level_flaw(speech.wave),
            )


def _write(path: Path, output: Translation) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as ex:
        raise write_error(path, ex) from None

    if output.waveform is not None:
        write_audio(path, output.waveform[None], output.sample_rate)

        return

    with atomic_path(path) as temporary:
        temporary.write_text(f"{output.text}\n", encoding="utf-8")
