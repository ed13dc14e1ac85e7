"""Which recordings are translated to which files, and the work itself."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from codec_s2st.codecs.audio import check_output_path, read_audio, write_audio
from codec_s2st.data.files import atomic_path, write_error
from codec_s2st.data.templates import find_template
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.tokens.sequence import Modality
from codec_s2st.translator import SpeechInput, SpeechTranslator, Translation

AUDIO_SUFFIXES: Final = (".wav", ".flac", ".ogg")

_RENAME: Final = "rename one of them"


@dataclass(frozen=True)
class TranslateJob:
    """One recording to translate."""

    input: Path
    output: Path

    source_lang: str | None = None
    """The language spoken, where a manifest says it."""

    target_lang: str | None = None
    """The language wanted, where a manifest says it."""


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

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def find_jobs(source: Path, out: Path, task: str) -> list[TranslateJob]:
    """Returns the jobs of a recording, of a folder of recordings, or of a manifest's source side.

    A recording goes to the file ``out``; many go to the folder ``out``.

    :raises UserInputError: there is nothing to read, or the output cannot be written.
    """
    if not source.exists():
        raise UserInputError(f"'{source}' does not exist")

    suffix = output_suffix(task)

    if is_recording(source):
        _check_output_file(out, source, suffix)

        return [TranslateJob(source, out)]

    _check_output_folder(out)

    if source.is_file() or (source / "manifest.parquet").is_file():
        jobs = _manifest_jobs(source, out, suffix)
    else:
        jobs = _folder_jobs(source, out, suffix)

    if not jobs:
        raise UserInputError(f"'{source}' holds no recordings ({', '.join(AUDIO_SUFFIXES)})")

    inputs = {job.input.resolve() for job in jobs}

    for job in jobs:
        if job.output.resolve() in inputs:
            raise UserInputError(f"'{job.output}' would be overwritten, which is an input", hint="name another folder")

    return jobs


def is_recording(source: Path) -> bool:
    """Returns whether ``source`` is one recording; folders and manifests are many."""
    return not source.is_dir() and source.suffix.lower() != ".parquet"


def output_suffix(task: str) -> str:
    return ".txt" if find_template(task).target.modality is Modality.TEXT else ".wav"


def _check_output_file(out: Path, source: Path, suffix: str) -> None:
    if out.is_dir():
        raise UserInputError(f"'{out}' is a folder, but a file is to be written")

    # A device must not be replaced by a file, which root could do.
    if out.exists() and not out.is_file():
        raise UserInputError(f"'{out}' is not a regular file")

    if out.resolve() == source.resolve():
        raise UserInputError(f"'{out}' is the input itself")

    if suffix == ".wav":
        check_output_path(out)
    elif out.suffix.lower() in AUDIO_SUFFIXES:
        raise UserInputError(f"'{out}' is to be a recording, but the task ends in text", hint="name it .txt")
    elif not out.parent.is_dir():
        raise UserInputError(f"'{out}' cannot be written: there is no folder '{out.parent}'")
    elif not os.access(out.parent, os.W_OK | os.X_OK):
        raise UserInputError(f"'{out}' cannot be written: no permission to write into '{out.parent}'")


def _check_output_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserInputError(f"'{out}' is a file, but many recordings need a folder")

    if out.is_symlink() and not out.exists():
        raise UserInputError(f"'{out}' cannot be written: the link leads nowhere")

    # The folder is made when the first output is written; now is the time to say that it cannot be.
    parent = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())

    if not parent.is_dir():
        raise UserInputError(f"'{out}' cannot be written: '{parent}' is not a folder")

    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserInputError(f"'{out}' cannot be written: no permission to write into '{parent}'")


def _folder_jobs(source: Path, out: Path, suffix: str) -> list[TranslateJob]:
    files = sorted(file for file in source.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file())

    # Where the outputs are put into the folder, an earlier run's are no inputs.
    if out.resolve() != source.resolve():
        files = [file for file in files if not file.resolve().is_relative_to(out.resolve())]

    jobs: dict[Path, TranslateJob] = {}

    for file in files:
        output = out / f"{file.relative_to(source).with_suffix('')}{suffix}"

        other = jobs.setdefault(output, TranslateJob(file, output))

        if other.input != file:
            raise UserInputError(f"'{other.input}' and '{file}' would both be translated to '{output}'", hint=_RENAME)

    return list(jobs.values())


def _manifest_jobs(source: Path, out: Path, suffix: str) -> list[TranslateJob]:
    from codec_s2st.data.manifest import iter_rows, manifest_path, read_manifest, resolve_audio

    file = manifest_path(source)

    jobs, silent = [], []

    for row in iter_rows(read_manifest(source)):
        if row.source_audio is None:
            silent.append(row.id)
        else:
            audio = resolve_audio(file, row.source_audio)

            jobs.append(TranslateJob(audio, out / f"{row.id}{suffix}", row.source_lang, row.target_lang))

    if silent:
        message = f"{file}: {len(silent)} rows without `source_audio` are left out, the first '{silent[0]}'"

        print(message, file=sys.stderr)

    return jobs


def translate_files(
    translator: SpeechTranslator,
    jobs: Sequence[TranslateJob],
    *,
    task: str | None,
    source_lang: str | None,
    target_lang: str | None,
    batch_size: int,
    on_error: Callable[[TranslateJob, CodecS2STError], None],
) -> Iterator[TranslateResult]:
    """Translates recordings in batches; each output appears when it is complete.

    :param on_error: Is told of a recording that cannot be translated; the others go on.
    :raises CodecS2STError: the machine failed, e.g. its disk is full; what was written stays.
    """
    is_chosen = target_lang is not None

    template, source_lang, target_lang = translator.check(task, source_lang, target_lang)

    # Nothing is translated to another language than the manifest's, unless the user says so.
    has_target = not is_chosen and any(slot.side == "target" for slot in template.slots)

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

                sample_rate = translator.codec.spec.sample_rate

                speech = SpeechInput(read_audio(job.input, sample_rate=sample_rate), sample_rate)

                translator.check_speech(speech, name=f"'{job.input}'")
            except CodecS2STError as ex:
                on_error(job, ex)
            else:
                read.append((job, speech))

        outputs = translator.translate_all(
            [speech for _, speech in read], task=task, source_lang=source_lang, target_lang=target_lang
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
