"""Which recordings are translated to which files."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codec_s2st.codecs.audio import check_output_path, check_parent
from codec_s2st.data.templates import TaskTemplate
from codec_s2st.errors import UserInputError

WRITTEN_SUFFIXES: Final = (".wav", ".flac", ".ogg")

READ_SUFFIXES: Final = (*WRITTEN_SUFFIXES, ".mp3", ".opus")

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


def find_jobs(source: Path, out: Path, task: TaskTemplate) -> list[TranslateJob]:
    """Returns the jobs of a recording, of a folder of recordings, or of a manifest's source side.

    A recording goes to the file ``out``; many go to the folder ``out``.

    :raises UserInputError: there is nothing to read, or the output cannot be written.
    """
    check_paths(source, out)

    suffix = output_suffix(task)

    if is_recording(source):
        if suffix == ".wav":
            check_output_path(out)
        elif out.suffix.lower() in WRITTEN_SUFFIXES:
            raise UserInputError(f"'{out}' is to be a recording, but the task ends in text", hint="name it .txt")

        return [TranslateJob(source, out)]

    if source.is_file() or (source / "manifest.parquet").is_file():
        jobs = _manifest_jobs(source, out, suffix)
    else:
        jobs = _folder_jobs(source, out, suffix)

    if not jobs:
        raise UserInputError(f"'{source}' holds no recordings ({', '.join(READ_SUFFIXES)})")

    inputs = {job.input.resolve() for job in jobs}

    for job in jobs:
        if job.output.resolve() in inputs:
            raise UserInputError(f"'{job.output}' would be overwritten, which is an input", hint="name another folder")

    return jobs


def is_recording(source: Path) -> bool:
    """Returns whether ``source`` is one recording; folders and manifests are many."""
    return not source.is_dir() and source.suffix.lower() != ".parquet"


def output_suffix(task: TaskTemplate) -> str:
    return ".txt" if task.ends_in_text else ".wav"


def check_paths(source: Path, out: Path) -> None:
    """Checks what does not need the model, whose loading takes seconds.

    :raises UserInputError: there is nothing to read, or the output cannot be written.
    """
    if not source.exists():
        raise UserInputError(f"'{source}' does not exist")

    if is_recording(source):
        _check_output_file(out, source)
    else:
        _check_output_folder(out)


def _check_output_file(out: Path, source: Path) -> None:
    if out.is_dir():
        raise UserInputError(f"'{out}' is a folder, but a file is to be written")

    # A device must not be replaced by a file, which root could do.
    if out.exists() and not out.is_file():
        raise UserInputError(f"'{out}' is not a regular file")

    if out.resolve() == source.resolve():
        raise UserInputError(f"'{out}' is the input itself")

    if out.suffix.lower() not in (*WRITTEN_SUFFIXES, ".txt"):
        endings = ", ".join(WRITTEN_SUFFIXES)

        raise UserInputError(f"'{out}' must end in one of {endings}, or .txt where the task is text")

    check_parent(out)


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
    files = sorted(file for file in source.rglob("*") if file.suffix.lower() in READ_SUFFIXES and file.is_file())

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
