"""Pseudo-labels: transcripts, written and spoken translations of a manifest's recordings, made by a model.

What the model said of each row is appended to a journal, so that a run that was interrupted goes on where it was, and
so that it stays known which values were made by a machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from codec_s2st import __version__
from codec_s2st.codecs.audio import read_audio, write_audio
from codec_s2st.data.files import atomic_path, folder_lock, sha256_of, write_error
from codec_s2st.data.manifest import (
    MANIFEST_FILE,
    SIDES,
    ManifestRow,
    iter_rows,
    manifest_frame,
    manifest_path,
    read_manifest,
    resolve_audio,
    write_manifest,
)
from codec_s2st.data.preparation.rules import stored_path
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.translator import SpeechInput, SpeechTranslator, Translation

JOURNAL_FILE: Final = "labels.jsonl"

COLUMNS: Final = {"asr": "source_text", "s2tt": "target_text", "s2st": "target_audio"}
"""The column that each task fills."""

ProgressHook = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Label:
    """What the model said of a row, a line of the journal."""

    id: str

    value: str | None = None
    """The text, or the path of the audio in the output folder."""

    lang: str | None = None
    """The language of the label."""

    seconds: float | None = None
    """The duration, where it is audio."""

    reason: str | None = None
    """Why there is no label."""


@dataclass(frozen=True, kw_only=True)
class LabelSummary:
    manifest: Path
    num_rows: int
    num_labels: int
    num_failed: int
    first_failure: str | None

    def __str__(self) -> str:
        line = f"{self.num_rows:,} rows, {self.num_labels:,} of them labelled, {self.num_failed:,} could not be"

        return line if self.first_failure is None else f"{line} (e.g. {self.first_failure}; see {JOURNAL_FILE})"


class Labelling:
    """The labelling of one manifest by one model for one task."""

    def __init__(
        self,
        manifest: Path,
        out: Path,
        translator: SpeechTranslator,
        *,
        task: str,
        target_lang: str | None = None,
        splits: Sequence[str] = (),
        replace_labels: bool = False,
        batch_size: int = 8,
        checkpoint: str | None = None,
    ) -> None:
        """
        :param target_lang: The language to translate into, where a row does not say one.
        :param splits: The splits to label; empty for all. The rows of others stay as they are.
        :param replace_labels: Whether rows that have a value are labelled too.
        :param checkpoint: The hash of the model's weights, for the record.

        :raises UserInputError: the model was not trained for the task, or ``out`` is the manifest's own folder.
        """
        if task not in COLUMNS:
            raise unknown_name("task", task, COLUMNS, hint=f"labels are made by {', '.join(COLUMNS)}")

        if batch_size < 1:
            raise UserInputError(f"the batch size is {batch_size}, but must be positive")

        translator.check(task, None, target_lang)

        self._file = manifest_path(manifest)
        self._out = out
        self._translator = translator
        self._task = task
        self._target_lang = target_lang
        self._batch_size = batch_size

        if (out / MANIFEST_FILE).resolve() == self._file.resolve():
            raise UserInputError(f"{out} holds the manifest that is labelled", hint="name another folder")

        self._rows = list(iter_rows(read_manifest(self._file)))

        column = COLUMNS[task]

        self._todo = [
            row
            for row in self._rows
            if row.source_audio is not None
            and (not splits or row.split in splits)
            and (replace_labels or getattr(row, column) is None)
        ]

        if not self._todo:
            where = f" of the split {' or '.join(splits)}" if splits else ""

            raise UserInputError(
                f"manifest {self._file} has no recordings{where} without '{column}' to label",
                hint="codec-s2st stats shows what it has; --replace labels them all",
            )

        self._header: dict[str, Any] = {
            "tool": f"codec_s2st {__version__}",
            "manifest_sha256": sha256_of(self._file),
            "model": translator.name,
            "checkpoint_sha256": checkpoint,
            "task": task,
            "column": column,
            "target_lang": target_lang,
            "splits": list(splits),
            "replace": replace_labels,
        }

    @property
    def num_rows(self) -> int:
        """The number of rows to label."""
        return len(self._todo)

    def run(self, *, progress: ProgressHook | None = None) -> LabelSummary:
        """Labels what is not labelled yet, and writes ``out/manifest.parquet``, which has all rows.

        :param progress: Called with a number of rows that are done.

        :raises UserInputError: ``out`` holds the labels of another run, or cannot be written.
        """
        progress = progress or (lambda num: None)

        with folder_lock(self._out):
            journal = _Journal(self._out / JOURNAL_FILE, self._header)

            labels = journal.read()

            progress(len(labels))

            with journal:
                for batch in self._label(row for row in self._todo if row.id not in labels):
                    journal.append(batch)

                    labels.update((label.id, label) for label in batch)

                    progress(len(batch))

            return self._finish(labels)

    def _label(self, rows: Iterator[ManifestRow]) -> Iterator[list[Label]]:
        """Yields labels in batches of rows of the same languages."""
        pending: dict[tuple[str | None, str | None], list[tuple[ManifestRow, SpeechInput]]] = {}

        for row in rows:
            languages = row.source_lang, row.target_lang or self._target_lang

            try:
                self._translator.check(self._task, languages[0], None if self._task == "asr" else languages[1])

                speech = self._read(row)
            except UserInputError as ex:
                yield [Label(id=row.id, reason=ex.message)]

                continue

            batch = pending.setdefault(languages, [])

            batch.append((row, speech))

            if len(batch) == self._batch_size:
                yield self._label_batch(pending.pop(languages), *languages)

        for languages, batch in pending.items():
            yield self._label_batch(batch, *languages)

    def _read(self, row: ManifestRow) -> SpeechInput:
        assert row.source_audio is not None

        sample_rate = self._translator.codec.spec.sample_rate

        wave = read_audio(resolve_audio(self._file, row.source_audio), sample_rate=sample_rate)

        speech = SpeechInput(wave, sample_rate)

        self._translator.check_speech(speech)

        return speech

    def _label_batch(
        self, batch: list[tuple[ManifestRow, SpeechInput]], source: str | None, target: str | None
    ) -> list[Label]:
        target = None if self._task == "asr" else target

        _, source, target = self._translator.check(self._task, source, target)

        outputs = self._translator.translate_all(
            [speech for _, speech in batch], task=self._task, source_lang=source, target_lang=target
        )

        lang = source if self._task == "asr" else target

        return [self._make(row.id, output, lang) for (row, _), output in zip(batch, outputs, strict=True)]

    def _make(self, id_: str, output: Translation, lang: str) -> Label:
        if not output.finished:
            return Label(id=id_, reason="the model did not come to an end")

        if output.waveform is None:
            text = " ".join((output.text or "").split())

            return Label(id=id_, value=text, lang=lang) if text else Label(id=id_, reason="the model said nothing")

        if not output.waveform.numel():
            return Label(id=id_, reason="the model said nothing")

        path = self._out / "audio" / f"{id_}.wav"

        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as ex:
            raise write_error(path.parent, ex) from None

        write_audio(path, output.waveform.cpu()[None], output.sample_rate)

        return Label(id=id_, value=f"audio/{path.name}", lang=lang, seconds=round(output.seconds, 6))

    def _finish(self, labels: dict[str, Label]) -> LabelSummary:
        rows = [self._labelled(row, labels.get(row.id)) for row in self._rows]

        manifest = write_manifest(manifest_frame(rows), self._out / MANIFEST_FILE)

        failures = [label for label in labels.values() if label.value is None]

        return LabelSummary(
            manifest=manifest,
            num_rows=len(rows),
            num_labels=len(labels) - len(failures),
            num_failed=len(failures),
            first_failure=f"{failures[0].id}: {failures[0].reason}" if failures else None,
        )

    def _labelled(self, row: ManifestRow, label: Label | None) -> ManifestRow:
        fields: dict[str, Any] = {}

        folder = os.path.abspath(self._out)

        # The new manifest lies elsewhere.
        for side in SIDES:
            audio = getattr(row, f"{side}_audio")

            if audio is not None:
                fields[f"{side}_audio"] = stored_path(os.path.abspath(self._file.parent / audio), folder)

        if label is not None and label.value is not None:
            column = COLUMNS[self._task]

            fields[column] = label.value

            if column != "source_text":
                fields["target_lang"] = label.lang

            if column == "target_audio":
                fields |= {"target_seconds": label.seconds, "target_speaker": self._translator.name}

        return replace(row, **fields)


class _Journal:
    """A line of JSON that says what the labels are of, then a line a label. Only whole lines count."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self._path = path
        self._header = header

    def read(self) -> dict[str, Label]:
        """Returns the labels of an earlier run, after dropping a line that was cut off.

        :raises UserInputError: they are labels of something else.
        """
        if not self._path.exists():
            with atomic_path(self._path) as temporary:
                temporary.write_text(_line(self._header), encoding="utf-8")

            return {}

        content = self._path.read_bytes()

        whole = content[: content.rfind(b"\n") + 1]

        try:
            header, *entries = [json.loads(line) for line in whole.decode().splitlines()]

            labels = {entry["id"]: Label(**entry) for entry in entries}
        except (ValueError, TypeError, KeyError):
            raise UserInputError(f"{self._path} is damaged", hint="name another folder, or remove it") from None

        for key, value in self._header.items():
            if key != "tool" and (found := header.get(key)) != value:
                raise UserInputError(
                    f"{self._path.parent} holds labels of another run: its {key} is '{found}', not '{value}'",
                    hint="name another folder",
                )

        try:
            os.truncate(self._path, len(whole))
        except OSError as ex:
            raise write_error(self._path, ex) from None

        return labels

    def __enter__(self) -> _Journal:
        try:
            self._fp = self._path.open("a", encoding="utf-8")
        except OSError as ex:
            raise write_error(self._path, ex) from None

        return self

    def __exit__(self, *args: object) -> None:
        self._fp.close()

    def append(self, labels: Sequence[Label]) -> None:
        try:
            for label in labels:
                self._fp.write(_line({key: value for key, value in asdict(label).items() if value is not None}))

            self._fp.flush()

            os.fsync(self._fp.fileno())
        except OSError as ex:
            raise write_error(self._path, ex) from None


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True) + "\n"
