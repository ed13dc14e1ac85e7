"""A manifest and a model -> a report, on one rank or several."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final, final

from fairseq2.gang import Gang, all_sum
from fairseq2.logging import log
from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.task import Task, TaskStopException
from fairseq2.utils.progress import ProgressReporter
from typing_extensions import override

from codec_s2st import __version__
from codec_s2st.data.files import folder_lock, write_error
from codec_s2st.data.manifest import resolve_audio
from codec_s2st.data.templates import find_template
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.measures import duration_gauges, signal_gauges
from codec_s2st.evaluation.normalise import find_normaliser
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, Identity, LeftOut, Report, Speed, write_report
from codec_s2st.evaluation.transcriber import Transcriber
from codec_s2st.model_cards import find_model_card, hash_model, own_tasks_of
from codec_s2st.recipes.evaluate.config import EvaluateConfig
from codec_s2st.recipes.evaluate.first_audio import FirstAudio, time_first_audio
from codec_s2st.recipes.evaluate.items import EvaluatedItem, rank_file, read_items, write_items
from codec_s2st.recipes.evaluate.judges import Bench, make_bench
from codec_s2st.recipes.evaluate.judging import JUDGED_GLOB, JudgedFolder, judge_items
from codec_s2st.recipes.evaluate.listeners import make_listeners, parse_listeners
from codec_s2st.recipes.evaluate.measured import item_warnings, score_measures
from codec_s2st.recipes.evaluate.memory import find_peaks
from codec_s2st.recipes.evaluate.page import write_page
from codec_s2st.recipes.evaluate.rows import Selection, select_rows
from codec_s2st.recipes.evaluate.scoring import score_items, unmeasured
from codec_s2st.recipes.evaluate.work import EvaluationWorker
from codec_s2st.tokens.sequence import Modality
from codec_s2st.translator import SpeechTranslator

_SECONDS_BETWEEN_LINES: Final = 30.0


@final
class EvaluateRecipe(Recipe):
    """Scores a model; see ``docs/evaluation.md``."""

    @override
    def create_task(self, context: RecipeContext) -> Task:
        config = context.get_config_as(EvaluateConfig)

        if config.manifest is None:
            raise UserInputError("`manifest` is not set", hint="set `manifest`, or give --manifest M")

        names = parse_listeners(config.transcriber)

        # Before hours of work, not after them.
        find_normaliser(config.normaliser)

        card = find_model_card(config.model_card)

        template = find_template(config.task, own_tasks_of(card))

        selection = select_rows(config.manifest, template=template, split=config.split, max_items=config.max_items)

        gang = context.gangs.root

        # First, since they may not understand what they are to hear.
        listeners = make_listeners(
            names if selection.is_spoken else [],
            {selection.language(row) for row in selection.rows},
            device=gang.device,
            scored=config.model_card,
        )

        bench = make_bench(config.judges if selection.is_spoken else [], device=gang.device)

        translator = SpeechTranslator.from_card(
            config.model_card, device=gang.device, options=config.generation, seed=config.seed
        )

        given = Modality.TEXT if selection.starts_from_text else Modality.SPEECH

        translator.check(config.task, None, None, given=given)

        translator.check_voice(template, None)

        for source, target in {(row.source_lang, selection.target_lang(row)) for row in selection.rows}:
            translator.check(config.task, source, target, given=given)

        return EvaluateTask(
            config,
            translator,
            Identity(translator.name, hash_model(card)),
            selection,
            listeners,
            bench,
            context.output_dir,
            gang,
            context.progress_reporter,
        )

    @property
    @override
    def config_kls(self) -> type[object]:
        return EvaluateConfig


@final
class EvaluateTask(Task):
    """Each rank does every n-th row and writes ``rank_<r>.jsonl``; rank 0 then scores them all."""

    def __init__(
        self,
        config: EvaluateConfig,
        translator: SpeechTranslator,
        model: Identity,
        selection: Selection,
        listeners: list[Transcriber],
        bench: Bench,
        out: Path,
        gang: Gang,
        progress_reporter: ProgressReporter,
    ) -> None:
        self._config = config
        self._translator = translator
        self._model = model
        self._selection = selection
        self._out = out
        self._gang = gang
        self._progress_reporter = progress_reporter
        self._transcribers = listeners
        self._bench = bench

        self._peaks: tuple[int, int | None] = (0, None)
        self._step_nr = 0
        self._stop_requested = False

    @override
    def run(self) -> None:
        gang = self._gang

        with ExitStack() as stack:
            if gang.rank == 0:
                stack.enter_context(folder_lock(self._out))

                self._prepare_folder()

            # No rank starts in a folder that another run is writing to.
            gang.barrier()

            with JudgedFolder.make(self._out, gang.rank, self._bench.judges) as judged:
                items = self._work(judged)

                if judged is not None and not self._stop_requested:
                    items = judge_items(items, self._bench.judges, judged)

            self._peaks = find_peaks(gang)

            write_items(rank_file(self._out, gang.rank), items)

            # A rank that was asked to stop waits for the others here, so that none waits for it in vain.
            if all_sum(gang, int(self._stop_requested)) > 0:
                raise TaskStopException()

            if gang.rank == 0:
                self._finish()

            gang.barrier()

    def _prepare_folder(self) -> None:
        """Removes what an earlier run left, so that nothing of it can be taken for this one's."""
        try:
            for path in (*self._out.glob("report.*"), *self._out.glob("rank_*.jsonl"), *self._out.glob("wav/*.wav")):
                path.unlink()

            # A run that was killed while it judged.
            for path in self._out.glob(JUDGED_GLOB):
                shutil.rmtree(path)

            if self._transcribers:
                self._out.joinpath("wav").mkdir(exist_ok=True)
            else:
                with suppress(FileNotFoundError):
                    self._out.joinpath("wav").rmdir()
        except OSError as ex:
            raise write_error(self._out, ex) from None

    def _work(self, judged: JudgedFolder | None) -> list[EvaluatedItem]:
        rows = self._selection.rows[self._gang.rank :: self._gang.size]

        worker = EvaluationWorker(
            self._translator,
            self._selection,
            self._transcribers,
            self._out,
            batch_size=self._config.generation.batch_size,
            judged=judged,
        )

        items = []

        # The bar of rank 0 stands for all: the rows are dealt out evenly.
        progress = self._progress_reporter.create_task("evaluate", total=len(rows))

        last_line = time.monotonic()

        with self._progress_reporter, progress:
            for item in worker.run(rows):
                items.append(item)

                for problem in item.problems:
                    log.warning("'{}' is left out: {}", item.id, problem)

                for warning in item.warnings:
                    log.warning("'{}': {}", item.id, warning)

                progress.step()

                self._step_nr += 1

                # There is no bar in the log of a job.
                if not sys.stderr.isatty() and time.monotonic() - last_line >= _SECONDS_BETWEEN_LINES:
                    last_line = time.monotonic()

                    log.info("{:,} of {:,} items are done.", len(items), len(rows))

                if self._stop_requested:
                    break

        return items

    def _finish(self) -> None:
        items = [item for rank in range(self._gang.size) for item in read_items(rank_file(self._out, rank))]

        # As in the manifest, so that neither scores nor chance depend on the number of ranks.
        order = {row.id: idx for idx, row in enumerate(self._selection.rows)}

        items.sort(key=lambda item: order[item.id])

        done = [item for item in items if item.translated]

        left_out = [LeftOut(item.id, problem) for item in items for problem in item.problems]

        if not done:
            raise UserInputError(
                f"none of the {len(items)} items could be translated, the first ('{left_out[0].id}') because: "
                f"{left_out[0].reason}"
            )

        report = self._make_report(items, done, left_out, self._time_first_audio(done))

        write_report(report, self._out)

        write_page(
            report,
            done,
            self._out,
            recordings=self._recordings,
            sample_rate=self._translator.codec.spec.sample_rate,
        )

        print(report.to_text(), flush=True)

        log.info("The report is {}, to look at and listen to.", self._out / "report.html")

    def _recordings(self, item: EvaluatedItem) -> dict[str, Path | str]:
        row = next(row for row in self._selection.rows if row.id == item.id)

        def of_manifest(audio: str | None) -> Path | str | None:
            return None if audio is None else resolve_audio(self._selection.manifest, audio)

        found = {
            "source": None if self._selection.starts_from_text else of_manifest(row.source_audio),
            "model": None if item.output is None else self._out / item.output,
            # What is written is not compared with speech.
            "reference": of_manifest(self._selection.reference_audio(row)) if self._selection.is_spoken else None,
        }

        return {name: path for name, path in found.items() if path is not None}

    def _time_first_audio(self, done: list[EvaluatedItem]) -> FirstAudio:
        """Does so where the other ranks have nothing left to do."""
        if self._config.first_audio_items == 0:
            return FirstAudio(not_measured="first_audio_items is 0")

        spoken = [item.id for item in done if item.output is not None][: self._config.first_audio_items]

        rows = [row for row in self._selection.rows if row.id in spoken]

        return time_first_audio(self._translator, self._selection, rows)

    def _make_report(
        self, items: list[EvaluatedItem], done: list[EvaluatedItem], left_out: list[LeftOut], first_audio: FirstAudio
    ) -> Report:
        config = self._config

        fingerprint = self._translator.codec.fingerprint

        codec = Identity(fingerprint.name, fingerprint.weights_hash)

        # Of tasks that end in text there is no speech to measure.
        gauges = [*duration_gauges(), *signal_gauges(), *self._bench.gauges] if self._selection.is_spoken else []

        if self._selection.starts_from_text:
            gauges = [gauge for gauge in gauges if not gauge.of_source]

        subjects = {MODEL: self._model, CODEC_TOPLINE: codec}

        scores = score_items(
            self._selection.kind,
            items,
            transcribers=[transcriber.name for transcriber in self._transcribers],
            model=self._model,
            codec=codec,
            seed=config.seed,
            normaliser=find_normaliser(config.normaliser),
            instruments={transcriber.name: transcriber.instrument for transcriber in self._transcribers},
        )

        scores += score_measures(items, gauges, subjects=subjects, seed=config.seed)

        speed = Speed(
            seconds_in=sum(item.seconds_in for item in done),
            seconds_out=sum(item.seconds_out for item in done),
            work_seconds=sum(item.work_seconds for item in done),
            device=str(self._gang.device),
            batch_size=config.generation.batch_size,
            num_ranks=self._gang.size,
            peak_memory=self._peaks[0],
            peak_device_memory=self._peaks[1],
            first_audio_seconds=first_audio.seconds,
            first_audio_items=first_audio.num_items,
        )

        not_measured = unmeasured(self._selection.kind, self._bench.qualities)

        if self._selection.is_spoken and first_audio.not_measured is not None:
            not_measured["time to first audio"] = first_audio.not_measured

        return Report(
            tool=f"codec_s2st {__version__}",
            task=config.task,
            model=self._model,
            codec=codec,
            manifest=str(self._selection.manifest),
            manifest_hash=self._selection.manifest_hash,
            split=config.split,
            seed=config.seed,
            generation=asdict(config.generation),
            num_selected=len(items),
            num_translated=len(done),
            scores=tuple(scores),
            speed=speed,
            left_out=(*self._selection.left_out, *left_out),
            unfinished=tuple(item.id for item in done if not item.finished),
            not_measured=not_measured,
            warnings=tuple(item_warnings(items, gauges)),
        )

    @override
    def request_stop(self) -> None:
        self._stop_requested = True

    @property
    @override
    def step_nr(self) -> int:
        return self._step_nr

    @override
    def close(self) -> None:
        pass
