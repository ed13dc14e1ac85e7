"""Manifest -> token shards, on one rank or several, in one job or an array of them."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import final

from fairseq2.gang import Gang, all_sum
from fairseq2.logging import log
from fairseq2.recipe.base import Recipe, RecipeContext
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.task import Task
from typing_extensions import override

from codec_s2st.codecs.codec import load_codec
from codec_s2st.data.array import ArrayTask, find_array_task
from codec_s2st.data.loading import AudioSettings
from codec_s2st.data.tokenize import Tokenization
from codec_s2st.data.tokenize_summary import TokenizeSummary, check_strict
from codec_s2st.errors import StoppedError, UserInputError
from codec_s2st.recipes.common.stopping import current_request, stop_signals
from codec_s2st.recipes.common.survival import any_rank, register_stops
from codec_s2st.recipes.tokenize.config import TokenizeConfig
from codec_s2st.recipes.tokenize.progress import CountBoard, TokenizeProgress


@final
class TokenizeRecipe(Recipe):
    """Makes token shards of a manifest; see ``docs/token-shards.md``."""

    @override
    def register(self, container: DependencyContainer) -> None:
        register_stops(container)

    @override
    def create_task(self, context: RecipeContext) -> Task:
        config = context.get_config_as(TokenizeConfig)

        if config.manifest is None:
            raise UserInputError("`manifest` is not set", hint="give it: --manifest FILE, or --config manifest=FILE")

        array_task = find_array_task(os.environ, index=config.array.index, count=config.array.count)

        gang = context.gangs.root

        codec = load_codec(config.codec, num_streams=config.num_streams, device=gang.device)

        settings = AudioSettings(
            max_seconds=config.max_seconds,
            trim_db=config.trim_db,
            trim_margin=config.trim_margin,
            loudness=config.loudness,
        )

        tokenization = Tokenization(
            config.manifest,
            context.output_dir,
            codec,
            rows_per_shard=config.rows_per_shard,
            settings=settings,
            num_readers=config.num_readers,
        )

        return TokenizeTask(tokenization, context.output_dir, gang, array_task, strict=config.strict)

    @property
    @override
    def config_kls(self) -> type[object]:
        return TokenizeConfig


@final
class TokenizeTask(Task):
    """Each rank makes its shards; rank 0, of an array that of the last task, then sums up."""

    def __init__(
        self, tokenization: Tokenization, out: Path, gang: Gang, array_task: ArrayTask, *, strict: bool
    ) -> None:
        self._tokenization = tokenization
        self._out = out
        self._gang = gang
        self._array_task = array_task
        self._strict = strict

        self._num_rows = 0
        self._request = current_request()

    @override
    def run(self) -> None:
        """
        :raises StoppedError: any rank was asked to stop.
        """
        begin = time.monotonic()

        summary: TokenizeSummary | None = None

        with ExitStack() as stack:
            stack.enter_context(stop_signals(self._request))

            if self._gang.rank == 0:
                stack.enter_context(self._tokenization.at_work(self._array_task))

            # No rank starts in a folder that another run is writing to.
            self._gang.barrier()

            encoded_seconds = self._run_shards()

            if self._gang.rank == 0 and self._array_task.count == 1:
                summary = self._tokenization.finish()

        if self._gang.rank != 0:
            return

        if self._array_task.count > 1:
            summary = self._tokenization.finish_array(self._array_task)

        if summary is None:
            self._say_what_is_missing()

            return

        summary = replace(summary, encoded_seconds=encoded_seconds, wall_seconds=time.monotonic() - begin)

        log.info("{}.", summary)

        if self._strict:
            check_strict(summary, self._out)

    def _run_shards(self) -> float:
        """Makes this rank's shards and returns the seconds of audio that all ranks encoded."""
        tokenization, task, rank, world_size = self._tokenization, self._array_task, self._gang.rank, self._gang.size

        # Of a task by itself, every shard.
        shards = tokenization.shards_of(task)

        log.info("Making {} of {} shard(s) in {}.", len(shards), tokenization.num_shards, self._out)

        board = CountBoard(self._out, str(task.index), rank)

        progress = TokenizeProgress(tokenization.num_rows_of(shards), board, rank=rank, world_size=world_size)

        def count(num_rows: int, seconds: float) -> None:
            self._num_rows += num_rows

            progress(num_rows, seconds)

        try:
            with progress:
                done = tokenization.run(
                    tokenization.shards_of(task, rank, world_size),
                    progress=count,
                    should_stop=lambda: self._request.is_made,
                )

            # A rank that was asked to stop waits for the others here, so that none waits for it in vain.
            if any_rank(self._gang, not done):
                reason = self._request.reason or "a signal to another rank"

                raise StoppedError(
                    f"stopped on {reason}; the shards that are made are in {self._out}",
                    hint="the same command makes the rest",
                )

            return float(all_sum(self._gang, tokenization.encoded_seconds))
        finally:
            if rank == 0:
                board.clear()

    def _say_what_is_missing(self) -> None:
        missing = self._tokenization.missing_shards()

        log.info("This was {}: its shards are there.", self._array_task)

        if missing:
            log.info(
                "{:,} of {:,} shards, such as {}, are for other tasks to make; the last of them sums up. Were they to "
                "have an OUT each, set array.count=1.",
                len(missing),
                self._tokenization.num_shards,
                missing[0],
            )

    @override
    def request_stop(self) -> None:
        self._request.make("request")

    @property
    @override
    def step_nr(self) -> int:
        return self._num_rows

    @override
    def close(self) -> None:
        pass
