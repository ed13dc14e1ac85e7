"""Translates rows and listens to what comes out. Legend: N sample."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from codec_s2st.codecs.audio import read_audio, write_audio
from codec_s2st.data.manifest import ManifestRow, resolve_audio
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.transcriber import Transcriber
from codec_s2st.recipes.evaluate.items import EvaluatedItem, Hypothesis
from codec_s2st.recipes.evaluate.rows import Selection
from codec_s2st.translator import SpeechInput, SpeechTranslator, Translation


@dataclass(frozen=True)
class _Spoken:
    row: ManifestRow
    speech: SpeechInput


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
    ) -> None:
        """
        :param transcribers: Who listens to speech; nobody, for tasks that end in text.
        :param out: The report's folder, which gets a folder ``wav``.
        """
        self._translator = translator
        self._selection = selection
        self._transcribers = transcribers
        self._out = out
        self._batch_size = batch_size

    def run(self, rows: Sequence[ManifestRow]) -> Iterator[EvaluatedItem]:
        """Yields what became of ``rows``; rows with the same languages stand together."""

        def languages(row: ManifestRow) -> tuple[str, str]:
            return row.source_lang or "", row.target_lang or ""

        for (source, target), group in groupby(sorted(rows, key=languages), key=languages):
            members = list(group)

            for begin in range(0, len(members), self._batch_size):
                yield from self._run_batch(members[begin : begin + self._batch_size], source or None, target or None)

    def _run_batch(
        self, rows: Sequence[ManifestRow], source: str | None, target: str | None
    ) -> Iterator[EvaluatedItem]:
        batch: list[_Spoken] = []

        for row in rows:
            try:
                speech = self._read(row.source_audio)

                self._translator.check_speech(speech)
            except UserInputError as ex:
                yield self._item(row, translated=False, problems=(f"source_audio: {ex.message}",))
            else:
                batch.append(_Spoken(row, speech))

        begin = time.perf_counter()

        outputs = self._translator.translate_all(
            [spoken.speech for spoken in batch],
            task=self._selection.template.name,
            source_lang=source,
            # The target's language of a recording that is only to be written down does not matter.
            target_lang=None if self._selection.kind == "asr" else target,
        )

        self._synchronise()

        work_seconds = (time.perf_counter() - begin) / max(len(batch), 1)

        for spoken, output in zip(batch, outputs, strict=True):
            yield self._finish(spoken, output, work_seconds)

    def _finish(self, spoken: _Spoken, output: Translation, work_seconds: float) -> EvaluatedItem:
        row = spoken.row

        hypotheses: list[Hypothesis] = []

        problems: list[str] = []

        path = None

        if output.text is not None:
            hypotheses.append(Hypothesis(MODEL, None, output.text))

        if output.waveform is not None:
            path = f"wav/{row.id}.wav"

            wave = output.waveform.cpu()

            if wave.numel():
                write_audio(self._out / path, wave[None], output.sample_rate)
            else:
                path = None

            hypotheses += self._listen(MODEL, wave, output.sample_rate, row)

            if row.target_audio is not None:
                try:
                    hypotheses += self._listen_to_reference(row, row.target_audio)
                except UserInputError as ex:
                    problems.append(f"target_audio: {ex.message}")

        return self._item(
            row,
            hypotheses=tuple(hypotheses),
            output=path,
            seconds_in=spoken.speech.wave.size(-1) / spoken.speech.sample_rate,
            seconds_out=output.seconds,
            work_seconds=work_seconds,
            finished=output.finished,
            problems=tuple(problems),
        )

    @torch.inference_mode()
    def _listen_to_reference(self, row: ManifestRow, audio: str) -> list[Hypothesis]:
        speech = self._read(audio)

        codec = self._translator.codec

        # The codec alone, without what the translator does to recordings of an unusual level.
        codes = codec.encode(speech.wave[None, None].to(self._device))

        decoded = codec.decode(codes)[0, 0].clamp(-1.0, 1.0).cpu()

        return [
            *self._listen(REFERENCE_AUDIO, speech.wave, speech.sample_rate, row),
            *self._listen(CODEC_TOPLINE, decoded, codec.spec.sample_rate, row),
        ]

    def _listen(self, system: str, wave: Tensor, sample_rate: int, row: ManifestRow) -> list[Hypothesis]:
        """Returns what each listener hears in ``wave`` [N]."""
        samples = wave.float().numpy()

        return [
            Hypothesis(system, listener.name, listener.transcribe(samples, sample_rate, row.target_lang))
            for listener in self._transcribers
        ]

    def _read(self, audio: str | None) -> SpeechInput:
        assert audio is not None

        sample_rate = self._translator.codec.spec.sample_rate

        path = resolve_audio(self._selection.manifest, audio)

        return SpeechInput(read_audio(path, sample_rate=sample_rate)[0], sample_rate)

    def _item(self, row: ManifestRow, **fields: object) -> EvaluatedItem:
        return EvaluatedItem(
            id=row.id,
            reference=self._selection.reference(row),
            language=self._selection.language(row),
            **fields,  # type: ignore[arg-type]
        )

    def _synchronise(self) -> None:
        """Waits for a GPU, which works on while the clock is read."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    @property
    def _device(self) -> torch.device:
        return next(self._translator.model.parameters()).device
