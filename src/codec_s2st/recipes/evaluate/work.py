"""Translates rows and listens to what comes out. Legend: N sample."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from codec_s2st.codecs.audio import read_audio, write_audio
from codec_s2st.data.manifest import ManifestRow, resolve_audio
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.levels import level_flaw
from codec_s2st.evaluation.measures import (
    Measure,
    describe,
    duration_measures,
    guarded,
    signal_gauges,
    signal_measures,
)
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.transcriber import Transcriber
from codec_s2st.recipes.evaluate.items import EvaluatedItem, Hypothesis
from codec_s2st.recipes.evaluate.judging import SOURCE, JudgedFolder
from codec_s2st.recipes.evaluate.rows import Selection
from codec_s2st.translator import SpeechInput, SpeechTranslator, TextInput, Translation


@dataclass(frozen=True)
class _Given:
    row: ManifestRow

    value: SpeechInput | TextInput

    @property
    def speech(self) -> SpeechInput | None:
        return self.value if isinstance(self.value, SpeechInput) else None


@dataclass
class _Outcome:
    """What becomes known of a row."""

    hypotheses: list[Hypothesis] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def look_at(self, what: str, wave: Tensor) -> None:
        """Warns of a level at which nothing can be heard, or too much."""
        flaw = level_flaw(wave)

        if flaw is not None:
            self.warnings.append(f"{what} {flaw}")


class EvaluationWorker:
    """Does one rank's share of the rows."""

    def __init__(
        self,
        translator: SpeechTranslator,
        selection: Selection,
        transcribers: Sequence[Transcriber],
        out: Path,
        *,
        batch_size: int,
        judged: JudgedFolder | None = None,
    ) -> None:
        """
        :param transcribers: Who listens to speech; nobody, for tasks that end in text.
        :param out: The report's folder, which gets a folder ``wav``.
        :param judged: Gets all speech that is to be judged; ``None`` if nobody judges.
        """
        self._translator = translator
        self._selection = selection
        self._transcribers = transcribers
        self._out = out
        self._batch_size = batch_size
        self._judged = judged

    def run(self, rows: Sequence[ManifestRow]) -> Iterator[EvaluatedItem]:
        """Yields what became of ``rows``; rows with the same languages stand together."""

        def languages(row: ManifestRow) -> tuple[str, str]:
            return row.source_lang or "", self._selection.target_lang(row) or ""

        for (source, target), group in groupby(sorted(rows, key=languages), key=languages):
            members = list(group)

            for begin in range(0, len(members), self._batch_size):
                yield from self._run_batch(members[begin : begin + self._batch_size], source or None, target or None)

    def _run_batch(
        self, rows: Sequence[ManifestRow], source: str | None, target: str | None
    ) -> Iterator[EvaluatedItem]:
        batch: list[_Given] = []

        for row in rows:
            try:
                batch.append(_Given(row, self._read_given(row)))
            except UserInputError as ex:
                name = "source_text" if self._selection.starts_from_text else "source_audio"

                yield self._item(row, translated=False, problems=(f"{name}: {ex.message}",))

        begin = time.perf_counter()

        outputs = self._translator.translate_all(
            [given.value for given in batch],  # type: ignore[arg-type]
            task=self._selection.template.name,
            source_lang=source,
            target_lang=target,
        )

        self._synchronise()

        work_seconds = (time.perf_counter() - begin) / max(len(batch), 1)

        for given, output in zip(batch, outputs, strict=True):
            yield self._finish(given, output, work_seconds)

    def _read_given(self, row: ManifestRow) -> SpeechInput | TextInput:
        given = read_given(self._selection, row, self._sample_rate)

        if isinstance(given, TextInput):
            self._translator.check_text(given)
        else:
            self._translator.check_speech(given)

        return given

    def _finish(self, given: _Given, output: Translation, work_seconds: float) -> EvaluatedItem:
        row, speech = given.row, given.speech

        outcome = _Outcome()

        path = None

        seconds_in = 0.0

        if speech is not None:
            outcome.look_at("source_audio", speech.wave)

            seconds_in = speech.wave.size(-1) / speech.sample_rate

        if output.text is not None:
            outcome.hypotheses.append(Hypothesis(MODEL, None, output.text))

        if output.waveform is not None:
            wave = output.waveform.cpu()

            outcome.look_at("the output", wave)

            if speech is not None:
                self._keep(row, SOURCE, speech.wave, speech.sample_rate)

            self._keep(row, MODEL, wave, output.sample_rate)

            if wave.numel():
                path = f"wav/{row.id}.wav"

                write_audio(self._out / path, wave[None], output.sample_rate)

            self._listen(outcome, MODEL, wave, output.sample_rate, row)

            reference = self._read_reference(outcome, row)

            if reference is not None:
                self._measure_reference(outcome, reference, row, seconds_in)

            seconds_reference = None if reference is None else reference.wave.numel() / reference.sample_rate

            outcome.measures += duration_measures(MODEL, output.seconds, source=seconds_in, reference=seconds_reference)

        return self._item(
            row,
            hypotheses=tuple(outcome.hypotheses),
            output=path,
            seconds_in=seconds_in,
            seconds_out=output.seconds,
            work_seconds=work_seconds,
            finished=output.finished,
            problems=tuple(outcome.problems),
            warnings=tuple(outcome.warnings),
            measures=tuple(outcome.measures),
        )

    def _read_reference(self, outcome: _Outcome, row: ManifestRow) -> SpeechInput | None:
        audio = self._selection.reference_audio(row)

        if audio is None:
            return None

        try:
            return _read(self._selection, audio, self._sample_rate)
        except UserInputError as ex:
            outcome.problems.append(f"{self._reference_column}: {ex.message}")

            return None

    @torch.inference_mode()
    def _measure_reference(self, outcome: _Outcome, speech: SpeechInput, row: ManifestRow, seconds_in: float) -> None:
        """Measures the reference's recording, and what the codec makes of it."""
        outcome.look_at(self._reference_column, speech.wave)

        codec = self._translator.codec

        # The codec alone, without what the translator does to recordings of an unusual level.
        codes = codec.encode(speech.wave[None, None].to(self._device))

        decoded = codec.decode(codes)[0, 0].clamp(-1.0, 1.0).cpu()

        self._keep(row, REFERENCE_AUDIO, speech.wave, speech.sample_rate)
        self._keep(row, CODEC_TOPLINE, decoded, codec.spec.sample_rate)

        self._listen(outcome, REFERENCE_AUDIO, speech.wave, speech.sample_rate, row)

        self._listen(outcome, CODEC_TOPLINE, decoded, codec.spec.sample_rate, row)

        seconds = speech.wave.numel() / speech.sample_rate

        outcome.measures += duration_measures(REFERENCE_AUDIO, seconds, source=seconds_in, reference=seconds)

        outcome.measures += guarded(lambda: signal_measures(speech.wave, decoded, speech.sample_rate), signal_gauges())

    def _keep(self, row: ManifestRow, what: str, wave: Tensor, sample_rate: int) -> None:
        if self._judged is not None and wave.numel():
            self._judged.write(row.id, what, wave, sample_rate)

    def _listen(self, outcome: _Outcome, system: str, wave: Tensor, sample_rate: int, row: ManifestRow) -> None:
        """Notes what each listener hears in ``wave`` [N]."""
        samples = wave.float().numpy()

        for listener in self._transcribers:
            try:
                text = listener.transcribe(samples, sample_rate, self._selection.language(row))
            except Exception as ex:
                # One recording that a listener cannot bear is no reason to lose the others.
                outcome.warnings.append(f"listener {listener.name.partition(' ')[0]} of {system}: {describe(ex)}")
            else:
                outcome.hypotheses.append(Hypothesis(system, listener.name, text))

    def _item(self, row: ManifestRow, **fields: object) -> EvaluatedItem:
        return EvaluatedItem(
            id=row.id,
            reference=self._selection.reference(row),
            language=self._selection.language(row),
            **fields,  # type: ignore[arg-type]
        )

    @property
    def _sample_rate(self) -> int:
        return self._translator.codec.spec.sample_rate

    @property
    def _reference_column(self) -> str:
        return f"{self._selection.template.target.side}_audio"

    def _synchronise(self) -> None:
        """Waits for a GPU, which works on while the clock is read."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    @property
    def _device(self) -> torch.device:
        return next(self._translator.model.parameters()).device


def read_given(selection: Selection, row: ManifestRow, sample_rate: int) -> SpeechInput | TextInput:
    """Returns what is translated of a row.

    :raises UserInputError: its recording cannot be read.
    """
    if selection.starts_from_text:
        return TextInput(row.source_text or "")

    assert row.source_audio is not None

    return _read(selection, row.source_audio, sample_rate)


def _read(selection: Selection, audio: str, sample_rate: int) -> SpeechInput:
    path = resolve_audio(selection.manifest, audio)

    return SpeechInput(read_audio(path, sample_rate=sample_rate)[0], sample_rate)
