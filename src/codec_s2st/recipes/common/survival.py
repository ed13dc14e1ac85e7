"""Training that is stopped, and goes on later as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar, final

import torch
from fairseq2.checkpoint import CheckpointDir, CheckpointManager
from fairseq2.datasets import DataReader
from fairseq2.device import SupportsDeviceTransfer
from fairseq2.evaluator import EvalUnit
from fairseq2.file_system import FileSystem
from fairseq2.gang import Gang, Gangs, ReduceOperation
from fairseq2.logging import log
from fairseq2.metrics.formatters import format_as_int
from fairseq2.metrics.recorders import MetricDescriptor
from fairseq2.recipe import register_cli_error
from fairseq2.recipe.base import RecipeContext
from fairseq2.recipe.config import GangSection, TrainerSection
from fairseq2.runtime.dependency import DependencyContainer, DependencyResolver
from fairseq2.task import Task
from fairseq2.trainer import Trainer, TrainUnit
from fairseq2.utils.structured import ValueConverter
from fairseq2.utils.threading import ThreadPool
from typing_extensions import override

from codec_s2st.checkpoints.agreement import on_one_rank
from codec_s2st.checkpoints.identity import RunIdentity
from codec_s2st.checkpoints.manager import TrustedCheckpointManager
from codec_s2st.errors import DivergedError, StoppedError, UserInputError
from codec_s2st.recipes.common.boundary import BoundaryReader
from codec_s2st.recipes.common.guards import (
    SKIPPED_STEPS,
    BatchNote,
    GuardedUnit,
    StepGuard,
    guard_gradients,
    is_out_of_memory,
)
from codec_s2st.recipes.common.host import (
    lock_output_dir,
    metric_window,
    restore_metric_window,
    save_now,
    use_checkpoint_manager,
)
from codec_s2st.recipes.common.locks import lock_folder
from codec_s2st.recipes.common.sections import CheckpointsSection, GuardsSection
from codec_s2st.recipes.common.starts import Starts
from codec_s2st.recipes.common.stopping import StopRequest, current_request, stop_signals
from codec_s2st.recipes.common.watchdog import Watchdog

BatchT = TypeVar("BatchT", bound=SupportsDeviceTransfer)


def register_stops(container: DependencyContainer) -> None:
    """Tells fairseq2 that a run that was stopped has not failed, so that its log holds no stack trace of it."""
    register_cli_error(container, StoppedError, lambda ex: ex.exit_code)


def register_survival(container: DependencyContainer) -> None:
    """Prepares a training: its folder is locked, and its checkpoints are ours instead of fairseq2's."""
    register_stops(container)

    descriptor = MetricDescriptor(SKIPPED_STEPS, SKIPPED_STEPS, 990, format_as_int)

    container.collection.register_instance(MetricDescriptor, descriptor)

    lock_output_dir(container, lock_folder)

    use_checkpoint_manager(container, _create_checkpoint_manager)


def _create_checkpoint_manager(resolver: DependencyResolver) -> CheckpointManager:
    path = resolver.resolve(CheckpointDir).path or resolver.resolve(Path) / "checkpoints"

    if not resolver.resolve(FileSystem).is_local_path(path):
        raise UserInputError(f"checkpoints cannot be written to {path}", hint="--checkpoint-dir must be a folder")

    return TrustedCheckpointManager(path, resolver.resolve(Gangs), resolver.resolve(ThreadPool))


def open_run(context: RecipeContext, config: object, section: CheckpointsSection, facts: Mapping[str, object]) -> None:
    """Decides whether and where the run goes on, before its model is built.

    :param config: The recipe's.
    :param facts: What the configuration names but does not hold, as JSON.

    :raises UserInputError: the folder has checkpoints of another run.
    :raises CodecS2STError: none of its checkpoints can be trusted.
    """
    gangs = context.gangs

    layout = {"the number of ranks": gangs.root.size, "the number of parts of the model": gangs.sdp.size}

    tree = context.resolver.resolve(ValueConverter).unstructure(config)

    run = RunIdentity(layout=layout, facts=facts, config=json.loads(json.dumps(tree, default=str)))

    _manager_of(context).open(run, strict=section.strict)


def _manager_of(context: RecipeContext) -> TrustedCheckpointManager:
    manager = context.get_checkpoint_manager()

    assert isinstance(manager, TrustedCheckpointManager)

    return manager


def create_surviving_task(
    context: RecipeContext,
    unit: TrainUnit[BatchT],
    reader: DataReader[BatchT],
    valid_units: Sequence[EvalUnit[BatchT]],
    valid_readers: Sequence[DataReader[BatchT]],
    *,
    guards: GuardsSection,
    describe: Callable[[BatchT], BatchNote],
    begin: Callable[[int], None] = lambda step: None,
    end: Callable[[int], None] = lambda step: None,
) -> Task:
    """Returns fairseq2's training, which stops when it is asked to, and does not go on where something is wrong.

    :param describe: What is written down of a batch that something was wrong with.
    :param begin: Called on all ranks before the first step, or the first after a checkpoint, with the number of steps
        that are done.
    :param end: Called on all ranks when the training is complete.
    """
    resolver, root, out = context.resolver, context.gangs.root, context.output_dir

    precision = resolver.resolve(TrainerSection).mixed_precision

    request = current_request()

    guard = StepGuard(guards, root, request, out, scaled=precision.mode != "off" and precision.dtype == torch.float16)

    guard_gradients(context.get_data_parallel_model(), guard)

    timeout = guards.hang_timeout or 0.9 * 60 * resolver.resolve(GangSection).timeout

    watchdog = Watchdog(timeout, out / "logs" / f"stacks_rank_{root.rank}.txt")

    boundary = BoundaryReader(reader)

    valid_boundaries = [BoundaryReader(valid_reader) for valid_reader in valid_readers]

    def before_validation_batch() -> None:
        guard.begin_validation()

        watchdog.beat()

    for valid_boundary in valid_boundaries:
        valid_boundary.on_boundary = before_validation_batch

    trainer = context.create_trainer(GuardedUnit(unit, guard, describe), boundary, valid_units, valid_boundaries)

    return SurvivingTask(
        trainer,
        boundary,
        guard,
        watchdog,
        Starts(out / "starts.json", guards.max_idle_starts),
        request,
        _manager_of(context),
        context.gangs,
        begin,
        end,
    )


@final
class SurvivingTask(Task):
    """Trains until the end, or until any rank is asked to stop: then all save the step that they are at, and stop."""

    def __init__(
        self,
        trainer: Trainer,
        boundary: BoundaryReader[Any],
        guard: StepGuard,
        watchdog: Watchdog,
        starts: Starts,
        request: StopRequest,
        manager: TrustedCheckpointManager,
        gangs: Gangs,
        begin: Callable[[int], None],
        end: Callable[[int], None],
    ) -> None:
        self._trainer = trainer
        self._boundary = boundary
        self._guard = guard
        self._watchdog = watchdog
        self._starts = starts
        self._request = request
        self._manager = manager
        self._gangs = gangs
        self._begin = begin
        self._end = end

        self._is_first_boundary = True

        boundary.on_boundary = self._between_steps

    @override
    def run(self) -> None:
        """
        :raises StoppedError: the run was asked to stop.
        :raises DivergedError: a loss, the gradient or a weight is not finite.
        :raises CodecS2STError: there is not enough memory for a batch; or the run was started in vain too often.
        """
        # Once the training is over, the ranks are ranks no more.
        root, rank, size = self._gangs.root, self._gangs.root.rank, self._gangs.root.size

        step = self._manager.maybe_get_last_step_number(exclude_model_only=True) or 0

        on_one_rank(root, Path("starts.json"), lambda: self._starts.add(step))

        with ExitStack() as stack:
            # Here and not earlier, since fairseq2 has just set a handler of its own for one of the signals.
            stack.enter_context(stop_signals(self._request))

            if size > 1:
                stack.enter_context(self._watchdog.watch())

            try:
                self._train()
            except (UserInputError, KeyboardInterrupt):
                if rank == 0:
                    self._starts.take_back(step)

                raise

        self._end(self._trainer.step_nr)

        if rank == 0:
            self._starts.clear()

    def _train(self) -> None:
        try:
            self._trainer.run()
        except StoppedError:
            self._gangs.close()

            raise
        except DivergedError:
            # All ranks have come here, and what is still being saved is of a step before.
            try:
                self._manager.maybe_complete_save_operation(blocking=True)
            finally:
                self._gangs.close()

            raise
        except Exception as ex:
            # Of a disk that is full for the metrics, what is being saved says how far it came.
            self._manager.abandon()

            if is_out_of_memory(ex):
                raise self._guard.out_of_memory() from ex

            raise

    def _between_steps(self) -> None:
        self._watchdog.beat()

        self._manager.release()

        is_first = self._is_first_boundary

        if is_first:
            self._restore_carried()

            # There is no step yet that the ranks would have agreed at.
            stop = any_rank(self._gangs.root, self._request.is_made)

            self._is_first_boundary = False
        else:
            stop = self._guard.stop_agreed

        self._boundary.carried = {"num_skipped": self._guard.num_skipped}

        if stop:
            self._stop()

        if is_first:
            self._begin(self._trainer.step_nr)

            self._watchdog.beat()

    def _restore_carried(self) -> None:
        carried = self._boundary.carried

        self._guard.num_skipped = carried.get("num_skipped", 0)

        if "window" in carried:
            restore_metric_window(self._trainer, carried["window"])

    def _stop(self) -> None:
        trainer = self._trainer

        reason = self._request.reason or "a signal to another rank"

        if trainer.step_nr == 0:
            raise StoppedError(f"stopped on {reason} before the first step", hint="the same command starts again")

        log.info("Stopping on {} after step {}.", reason, trainer.step_nr)

        self._boundary.carried["window"] = metric_window(trainer)

        save_now(trainer)

        raise StoppedError(
            f"stopped on {reason} after step {trainer.step_nr}, which is saved", hint="the same command goes on with it"
        )

    @override
    def request_stop(self) -> None:
        self._request.make("request")

    @property
    @override
    def step_nr(self) -> int:
        return self._trainer.step_nr

    @override
    def close(self) -> None:
        self._trainer.close()


def any_rank(gang: Gang, flag: bool) -> bool:
    """Returns whether ``flag`` is set on any rank; all ranks must ask at the same time."""
    if gang.size == 1:
        return flag

    count = torch.tensor(int(flag), device=gang.device)

    gang.all_reduce(count, ReduceOperation.SUM)

    return bool(count)
