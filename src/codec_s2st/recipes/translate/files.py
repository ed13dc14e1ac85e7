"""Which recordings are translated to which files, and the work itself."""

from __future__ import annotations

import json
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


@dataclass(frozen=True)
class TranslateJob:
    """One recording to translate."""

    input: Path
    output: Path


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

    suffix = ".txt" if find_template(task).target.modality is Modality.TEXT else ".wav"

    if source.is_file() and source.suffix.lower() != ".parquet":
        if suffix == ".wav":
            check_output_path(out)
        elif out.is_dir():
            raise UserInputError(f"'{out}' is a folder, but a text file is to be written")

        if out.resolve() == source.resolve():
            raise UserInputError(f"'{out}' is the input itself")

        if not out.parent.is_dir():
            raise UserInputError(f"the folder '{out.parent}' to write to does not exist")

        return [TranslateJob(source, out)]

    named = _manifest_files(source) if source.is_file() or (source / "manifest.parquet").is_file() else None

    if named is None:
        files = sorted(file for file in source.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file())

        named = {file.relative_to(source).with_suffix(""): file for file in files}

        if len(named) < len(files):
            raise UserInputError(f"some recordings in '{source}' differ in their extension alone")

    if not named:
        raise UserInputError(f"'{source}' holds no recordings ({', '.join(AUDIO_SUFFIXES)})")

    if out.exists() and not out.is_dir():
        raise UserInputError(f"'{out}' is a file, but many recordings need a folder")

    return [TranslateJob(file, out / f"{name}{suffix}") for name, file in named.items()]


def _manifest_files(path: Path) -> dict[Path, Path]:
    from codec_s2st.data.manifest import iter_rows, manifest_path, read_manifest, resolve_audio

    file = manifest_path(path)

    return {
        Path(row.id): resolve_audio(file, row.source_audio)
        for row in iter_rows(read_manifest(path))
        if row.source_audio is not None
    }


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
    """
    translator.check(task, source_lang, target_lang)

    for begin in range(0, len(jobs), batch_size):
        started_at = time.perf_counter()

        read: list[tuple[TranslateJob, SpeechInput]] = []

        for job in jobs[begin : begin + batch_size]:
            try:
                sample_rate = translator.codec.spec.sample_rate

                speech = SpeechInput(read_audio(job.input, sample_rate=sample_rate), sample_rate)

                translator.check_length(speech)
            except CodecS2STError as ex:
                on_error(job, ex)
            else:
                read.append((job, speech))

        outputs = translator.translate_all(
            [speech for _, speech in read], task=task, source_lang=source_lang, target_lang=target_lang
        )

        work = (time.perf_counter() - started_at) / max(len(read), 1)

        for (job, speech), output in zip(read, outputs):
            try:
                _write(job.output, output)
            except CodecS2STError as ex:
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
