"""Recordings -> translations and a table of results, on one rank or several."""

from __future__ import annotations

from pathlib import Path
from typing import final

from fairseq2.gang import Gang, all_sum
from fairseq2.logging import log
from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.task import Task, TaskStopException
from typing_extensions import override

from codec_s2st.data.files import atomic_path, write_error
from codec_s2st.data.templates import TaskTemplate
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.recipes.translate.config import TranslateConfig
from codec_s2st.recipes.translate.files import translate_files
from codec_s2st.recipes.translate.jobs import TranslateJob, find_jobs, is_recording, output_suffix
from codec_s2st.translator import SpeechTranslator


@final
class TranslateRecipe(Recipe):
    @override
    def create_task(self, context: RecipeContext) -> Task:
        config = context.get_config_as(TranslateConfig)

        if config.input is None:
            raise UserInputError("`input` is not set", hint="give it: --config input=PATH")

        translator = SpeechTranslator.from_card(
            config.model_card, device=context.gangs.root.device, options=config.generation, seed=config.seed
        )

        return TranslateTask(translator, config.input, context.output_dir, config, context.gangs.root)

    @property
    @override
    def config_kls(self) -> type[object]:
        return TranslateConfig


@final
class TranslateTask(Task):
    """Each rank translates every n-th recording and writes ``results.rank_<r>.jsonl``."""

    def __init__(
        self, translator: SpeechTranslator, source: Path, out: Path, config: TranslateConfig, gang: Gang
    ) -> None:
        self._translator = translator
        self._config = config
        self._out = out
        self._gang = gang
        self._jobs = self._find_jobs(source, translator.check(config.task, config.source_lang, config.target_lang)[0])
        self._step_nr = 0
        self._stop_requested = False

    def _find_jobs(self, source: Path, task: TaskTemplate) -> list[TranslateJob]:
        folder = self._out / "output"

        if not is_recording(source):
            return find_jobs(source, folder, task)

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as ex:
            raise write_error(folder, ex) from None

        return find_jobs(source, folder / f"{source.stem}{output_suffix(task)}", task)

    @override
    def run(self) -> None:
        config = self._config

        # What an earlier run on more ranks left must not be taken for this one's.
        if self._gang.rank == 0:
            for path in self._out.glob("results.rank_*.jsonl"):
                path.unlink()

        self._gang.barrier()

        errors: list[str] = []

        def on_error(job: TranslateJob, ex: CodecS2STError) -> None:
            errors.append(f"{job.input}: {ex}")

            log.warning("{} is left out: {}", job.input, ex)

        lines = []

        for result in translate_files(
            self._translator,
            self._jobs[self._gang.rank :: self._gang.size],
            task=config.task,
            source_lang=config.source_lang,
            target_lang=config.target_lang,
            batch_size=config.generation.batch_size,
            on_error=on_error,
            voice=config.voice,
        ):
            lines.append(result.to_json())

            if result.input_flaw is not None:
                log.warning("'{}' {}", result.input, result.input_flaw)

            self._step_nr += 1

            if self._stop_requested:
                break

        with atomic_path(self._out / f"results.rank_{self._gang.rank}.jsonl") as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

        if all_sum(self._gang, int(self._stop_requested)) > 0:
            raise TaskStopException()

        num_done = int(all_sum(self._gang, len(lines)))

        num_errors = int(all_sum(self._gang, len(errors)))

        log.info("{} of {} recordings were translated to {}.", num_done, len(self._jobs), self._out / "output")

        if num_errors > 0:
            raise UserInputError(f"{num_errors} of {len(self._jobs)} recordings could not be translated; see the log")

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
