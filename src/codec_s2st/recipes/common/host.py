"""What touches private names of fairseq2 0.8.1, all of it. ``test_host.py`` says when the host has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fairseq2.checkpoint import CheckpointManager
from fairseq2.metrics.recorders import MetricRecorder, TensorBoardRecorder
from fairseq2.metrics.recorders.composite import CompositeMetricRecorder
from fairseq2.recipe.internal.metric_recorders import _MaybeTensorBoardRecorderFactory
from fairseq2.recipe.internal.output_dir import _OutputDirectoryCreator
from fairseq2.runtime.dependency import DependencyContainer, DependencyProvider, DependencyResolver
from fairseq2.world_info import WorldInfo

if TYPE_CHECKING:
    from fairseq2.trainer import Trainer
    from torch.utils.tensorboard import SummaryWriter

_WATCHES: Final = ("_data_watch", "_compute_watch", "_lapse_watch")


def use_checkpoint_manager(container: DependencyContainer, provider: DependencyProvider[CheckpointManager]) -> None:
    """Puts a checkpoint manager in the place of fairseq2's, which a recipe finds registered."""
    del container._registrations[(CheckpointManager, None)]

    container._keys[CheckpointManager].remove(None)

    container.register(CheckpointManager, provider, singleton=True)


def lock_output_dir(container: DependencyContainer, lock: Callable[[Path], None]) -> None:
    """Calls ``lock`` with the folder of the run, on rank 0, before anything is written there.

    Which folder it is, fairseq2 decides; the first that it then writes is the log, and the configuration of a run that
    may be under way.
    """
    registration = container._registrations[(_OutputDirectoryCreator, None)]

    provider = registration.provider

    def create(resolver: DependencyResolver) -> object:
        creator = provider(resolver)

        assert isinstance(creator, _OutputDirectoryCreator)

        create_dir, rank = creator.create, resolver.resolve(WorldInfo).rank

        def create_and_lock(output_dir: Path) -> Path:
            output_dir = create_dir(output_dir)

            if rank == 0:
                lock(output_dir)

            return output_dir

        creator.create = create_and_lock  # type: ignore[method-assign]

        return creator

    registration.provider = create


def drop_repeated_events(container: DependencyContainer) -> None:
    """Makes TensorBoard forget the steps that a run repeats when it goes on with a checkpoint.

    What it has written of them before stays in the files, but is not shown any more.
    """
    registration = container._registrations[(_MaybeTensorBoardRecorderFactory, None)]

    provider = registration.provider

    def create(resolver: DependencyResolver) -> object:
        factory = provider(resolver)

        assert isinstance(factory, _MaybeTensorBoardRecorderFactory)

        maybe_create = factory.maybe_create

        def create_recorder() -> TensorBoardRecorder | None:
            recorder = maybe_create()

            if recorder is None:
                return None

            record = recorder.record_metric_values

            def open_and_record(category: str, values: Mapping[str, object], step_nr: int | None = None) -> None:
                open_writer(recorder, category, step_nr)

                record(category, values, step_nr)

            recorder.record_metric_values = open_and_record  # type: ignore[method-assign]

            return recorder

        factory.maybe_create = create_recorder  # type: ignore[method-assign]

        return factory

    registration.provider = create


def find_tensorboard(recorder: MetricRecorder) -> TensorBoardRecorder | None:
    """Returns the recorder of TensorBoard among those of a run; other ranks than 0 have none."""
    recorders = recorder._recorders if isinstance(recorder, CompositeMetricRecorder) else ()

    return next((part for part in recorders if isinstance(part, TensorBoardRecorder)), None)


def open_writer(recorder: TensorBoardRecorder, category: str, step: int | None) -> SummaryWriter:
    """Returns the writer that the recorder uses for ``category``.

    :param step: The first that is to be written, if there is no writer yet.
    """
    from torch.utils.tensorboard import SummaryWriter

    if category not in recorder._writers:
        recorder._writers[category] = SummaryWriter(recorder._output_dir / category, purge_step=step)

    return recorder._writers[category]


def save_now(trainer: Trainer) -> None:
    """Saves all that a run needs to go on, between two steps, and returns when it is on the disk.

    A save that is under way is completed first; a step that has been saved is not saved again. It is a whole
    checkpoint even where the others of the run hold the model alone.
    """
    trainer._maybe_complete_checkpoint_save_operation()

    if trainer._checkpoint_manager.maybe_get_last_step_number(exclude_model_only=True) == trainer.step_nr:
        return

    mode = trainer._save_model_only

    if mode in (True, "all"):
        trainer._save_model_only = False

    try:
        trainer._save_checkpoint(blocking=True)
    finally:
        trainer._save_model_only = mode


def metric_window(trainer: Trainer) -> dict[str, object]:
    """Returns what has been measured since the metrics were published last.

    fairseq2 forgets it when it restores a run, as its own checkpoints are of steps at which metrics are published.
    """
    return {
        "metrics": trainer._metric_bag.state_dict(),
        "num_batches": trainer._num_batches_read,
        "seconds": {name: getattr(trainer, name).get_elapsed_time() for name in _WATCHES},
    }


def restore_metric_window(trainer: Trainer, window: dict[str, Any]) -> None:
    """Goes on measuring where :func:`metric_window` has ended."""
    trainer._metric_bag.load_state_dict(window["metrics"])

    trainer._num_batches_read += window["num_batches"]

    for name in _WATCHES:
        getattr(trainer, name)._accumulated_duration += window["seconds"][name]
