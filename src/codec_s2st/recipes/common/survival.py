"""Training that is stopped, and goes on later as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

import torch
from fairseq2.datasets import DataReader
from fairseq2.device import SupportsDeviceTransfer
from fairseq2.evaluator import EvalUnit
from fairseq2.gang import Gang, Gangs, ReduceOperation
from fairseq2.logging import log
from fairseq2.recipe import register_cli_error
from fairseq2.recipe.base import RecipeContext
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.task import Task
from fairseq2.trainer import Trainer, TrainUnit
from typing_extensions import Self, override

from codec_s2st.errors import StoppedError
from codec_s2st.recipes.common.host import metric_window, restore_metric_window, save_now
from codec_s2st.recipes.common.stopping import current_request, stop_signals

BatchT = TypeVar("BatchT", bound=SupportsDeviceTransfer)


def register_survival(container: DependencyContainer) -> None:
    """Tells fairseq2 that a run that was stopped has not failed, so that its log holds no stack trace of it."""
    register_cli_error(container, StoppedError, lambda ex: ex.exit_code)


def create_surviving_task(
    context: RecipeContext,
    unit: TrainUnit[BatchT],
    reader: DataReader[BatchT],
    valid_units: Sequence[EvalUnit[BatchT]],
    valid_readers: Sequence[DataReader[BatchT]],
) -> Task:
    """Returns fairseq2's training, which stops when it is asked to."""
    boundary = BoundaryReader(reader)

    trainer = context.create_trainer(unit, boundary, valid_units, valid_readers)

    return SurvivingTask(trainer, boundary, context.gangs)


@final
class BoundaryReader(DataReader[BatchT]):
    """Reads what another reader reads, and calls back between two steps.

    fairseq2 asks for the next batches when a step is over: the weights are changed, and what was due at this step is
    saved, published and validated. So the state of the run is of one piece there.
    """

    def __init__(self, reader: DataReader[BatchT]) -> None:
        self._reader = reader

        self.on_boundary: Callable[[], None] = lambda: None
        """Called before batches are read, on all ranks alike."""

        self.window: dict[str, Any] | None = None
        """What a checkpoint between two publications of metrics holds beside the reader's own state."""

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[BatchT]:
        self.on_boundary()

        return next(self._reader)

    @override
    def reset(self) -> None:
        self._reader.reset()

    @override
    def state_dict(self) -> dict[str, object]:
        return {"reader": self._reader.state_dict(), "window": self.window}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._reader.load_state_dict(state_dict["reader"])

        self.window = state_dict["window"]

    @property
    @override
    def num_accumulate(self) -> int:
        return self._reader.num_accumulate


@final
class SurvivingTask(Task):
    """Trains until the end, or until any rank is asked to stop: then all save the step that they are at, and stop."""

    def __init__(self, trainer: Trainer, boundary: BoundaryReader[Any], gangs: Gangs) -> None:
        self._trainer = trainer
        self._boundary = boundary
        self._gangs = gangs

        self._request = current_request()

        boundary.on_boundary = self._between_steps

    @override
    def run(self) -> None:
        """
        :raises StoppedError: the run was asked to stop.
        """
        # Here and not earlier, since fairseq2 has just set a handler of its own for one of the signals.
        with stop_signals(self._request):
            try:
                self._trainer.run()
            except StoppedError:
                self._gangs.close()

                raise

    def _between_steps(self) -> None:
        trainer, boundary = self._trainer, self._boundary

        if boundary.window is not None:
            restore_metric_window(trainer, boundary.window)

            boundary.window = None

        if not any_rank(self._gangs.root, self._request.is_made):
            return

        reason = self._request.reason or "a signal to another rank"

        if trainer.step_nr == 0:
            raise StoppedError(f"stopped on {reason} before the first step", hint="the same command starts again")

        log.info("Stopping on {} after step {}.", reason, trainer.step_nr)

        boundary.window = metric_window(trainer)

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
