"""Manifest -> token shards, on one rank or several."""

from __future__ import annotations

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
from codec_s2st.data.files import folder_lock
from codec_s2st.data.tokenize import Tokenization, check_strict
from codec_s2st.errors import StoppedError, UserInputError
from codec_s2st.recipes.common.stopping import current_request, stop_signals
from codec_s2st.recipes.common.survival import any_rank, register_survival
from codec_s2st.recipes.tokenize.config import TokenizeConfig
from codec_s2st.recipes.tokenize.progress import TokenizeProgress


@final
class TokenizeRecipe(Recipe):
    """Makes token shards of a manifest; see ``docs/token-shards.md``."""

    @override
    def register(self, container: DependencyContainer) -> None:
        register_survival(container)

    @override
    def create_task(self, context: RecipeContext) -> Task:
        config = context.get_config_as(TokenizeConfig)

        if config.manifest is None:
            raise UserInputError("`manifest` is not set", hint="give it: --manifest FILE, or --config manifest=FILE")

        gang = context.gangs.root

        codec = load_codec(config.codec, num_streams=config.num_streams, device=gang.device)

        tokenization = Tokenization(
            config.manifest,
            context.output_dir,
            codec,
            rows_per_shard=config.rows_per_shard,
            max_seconds=config.max_seconds,
            num_readers=config.num_readers,
        )

        return TokenizeTask(tokenization, context.output_dir, gang, strict=config.strict)

    @property
    @override
    def config_kls(self) -> type[object]:
        return TokenizeConfig


@final
class TokenizeTask(Task):
    """Each rank makes its shards; rank 0 then sums up."""

    def __init__(self, tokenization: Tokenization, out: Path, gang: Gang, *, strict: bool) -> None:
        self._tokenization = tokenization
        self._out = out
        self._gang = gang
        self._strict = strict

        self._num_rows = 0
        self._request = current_request()

    @override
    def run(self) -> None:
        """
        :raises StoppedError: any rank was asked to stop.
        """
        rank, world_size = self._gang.rank, self._gang.size

        with ExitStack() as stack:
            stack.enter_context(stop_signals(self._request))

            if rank == 0:
                stack.enter_context(folder_lock(self._out))

            # No rank starts in a folder that another run is writing to.
            self._gang.barrier()

            log.info("Making {} shard(s) in {}.", self._tokenization.num_shards, self._out)

            # The bar of rank 0 stands for all: the shards are dealt out evenly.
            progress = TokenizeProgress(self._tokenization.num_rows_of(rank, world_size), enabled=rank == 0)

            def count(num_rows: int, seconds: float) -> None:
                self._num_rows += num_rows

                progress(num_rows, seconds)

            begin = time.monotonic()

            with progress:
                done = self._tokenization.run(
                    rank=rank, world_size=world_size, progress=count, should_stop=lambda: self._request.is_made
                )

            # A rank that was asked to stop waits for the others here, so that none waits for it in vain.
            if any_rank(self._gang, not done):
                reason = self._request.reason or "a signal to another rank"

                raise StoppedError(
                    f"stopped on {reason}; the shards that are made are in {self._out}",
                    hint="the same command makes the rest",
                )

            encoded_seconds = float(all_sum(self._gang, self._tokenization.encoded_seconds))

            if rank == 0:
                self._finish(encoded_seconds, time.monotonic() - begin)

    def _finish(self, encoded_seconds: float, wall_seconds: float) -> None:
        summary = replace(self._tokenization.finish(), encoded_seconds=encoded_seconds, wall_seconds=wall_seconds)

        log.info("{}.", summary)

        if self._strict:
            check_strict(summary, self._out)

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
