"""fairseq2's interface to checkpoints, with files that are synced to the disk, hashed, and free of pickles.

Each rank writes its parts, as fairseq2's own manager does it:

    step_N/model/tp_TT/sdp_SS.safetensors       parameters, by the ranks of the first replica
    step_N/optimizer/tp_TT/sdp_SS.safetensors
    step_N/trainer/rank_RR.safetensors          step, learning rate, random numbers, metrics
    step_N/data_reader/dp_DD.safetensors        the place in the data
    step_N/manifest.json                        the last: sizes, hashes, and the run that it is of

Tensors are copied while the training waits, and written, hashed and synced behind its back; the ranks then agree that
all have written, and behind its back again, the manifest is written and the checkpoint gets its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

import fairseq2
import torch
from fairseq2.checkpoint import CheckpointManager, CheckpointReadyCallback, CheckpointSavedCallback
from fairseq2.gang import Gangs, all_sum
from fairseq2.typing import Stateful
from fairseq2.utils.threading import ThreadPool
from torch.distributed.device_mesh import DeviceMesh
from typing_extensions import override

import codec_s2st
from codec_s2st.checkpoints.agreement import gather, on_one_rank, raise_everywhere
from codec_s2st.checkpoints.folder import CheckpointFolder
from codec_s2st.checkpoints.identity import RunIdentity
from codec_s2st.checkpoints.manifest import Manifest
from codec_s2st.checkpoints.opening import open_checkpoints
from codec_s2st.checkpoints.parts import file_of, is_written_here
from codec_s2st.checkpoints.scores import Scores, find_stale
from codec_s2st.checkpoints.snapshot import check_finite, copy_to_host
from codec_s2st.checkpoints.state_files import FileRecord, read_state, write_state
from codec_s2st.checkpoints.states import FlatState, StateError, flatten_state, mesh_of
from codec_s2st.errors import CodecS2STError

_KINDS: Final = ("trainer", "model", "optimizer", "data_reader")


@dataclass
class _Written:
    """What a rank has written of a checkpoint."""

    files: dict[str, FileRecord] = field(default_factory=dict)

    error: CodecS2STError | None = None


@dataclass(frozen=True)
class _Save:
    """A checkpoint that is being written."""

    step: int

    written: Future[_Written]

    callback: CheckpointSavedCallback | None

    named: Future[None] | None = None
    """There once all ranks know that all have written; on the first one, done when the checkpoint has its name."""


@final
class TrustedCheckpointManager(CheckpointManager):
    """Saves and loads the checkpoints of a run."""

    def __init__(
        self,
        path: Path,
        gangs: Gangs,
        thread_pool: ThreadPool,
    ) -> None:
        """
        :param path: The folder of the checkpoints.
        """
        self._folder = CheckpointFolder(path)
        self._scores = Scores(path / "scores")
        self._gangs = gangs
        self._thread_pool = thread_pool

        self._run = RunIdentity()
        self._save: _Save | None = None
        self._is_held = False

    def open(self, run: RunIdentity, *, strict: bool = False) -> None:
        """Decides which checkpoint the run goes on with, on all ranks, before anything else is asked.

        See :func:`codec_s2st.checkpoints.opening.open_checkpoints`.
        """
        self._run = run

        open_checkpoints(
            self._folder, self._gangs.root, run, [file_of(kind, self._gangs) for kind in _KINDS], strict=strict
        )

    @override
    def save_checkpoint(
        self,
        step_nr: int,
        trainer: Stateful,
        model: Stateful,
        optimizer: Stateful,
        data_reader: Stateful,
        *,
        ready_callback: CheckpointReadyCallback | None = None,
        saved_callback: CheckpointSavedCallback | None = None,
        blocking: bool = False,
    ) -> None:
        """
        :raises DivergedError: a parameter is not finite; then the checkpoint is not kept, neither here nor elsewhere.
        :raises CodecS2STError: a rank cannot write its part, by now or, if not ``blocking``, in a later call.
        """
        parts = {"trainer": trainer, "model": model, "optimizer": optimizer, "data_reader": data_reader}

        self._begin(step_nr, parts, ready_callback, saved_callback, blocking)

    @override
    def save_model_only(
        self,
        step_nr: int,
        model: Stateful,
        *,
        ready_callback: CheckpointReadyCallback | None = None,
        saved_callback: CheckpointSavedCallback | None = None,
        blocking: bool = False,
    ) -> None:
        self._begin(step_nr, {"model": model}, ready_callback, saved_callback, blocking)

    def _begin(
        self,
        step: int,
        parts: Mapping[str, Stateful],
        ready_callback: CheckpointReadyCallback | None,
        saved_callback: CheckpointSavedCallback | None,
        blocking: bool,
    ) -> None:
        self.maybe_complete_save_operation(blocking=True)

        self._on_one_rank(lambda: self._folder.begin(step))

        error: CodecS2STError | None = None

        states: dict[str, FlatState] = {}

        try:
            for kind, part in parts.items():
                if is_written_here(kind, self._gangs):
                    state = flatten_state(part.state_dict())

                    states[file_of(kind, self._gangs)] = state if blocking else copy_to_host(state)
        except StateError as ex:
            error = CodecS2STError(f"the state cannot be saved: {ex}")

        raise_everywhere(self._gangs.root, error)

        if ready_callback is not None:
            ready_callback(step, blocking)

        if blocking:
            commit = self._agree(step, self._write(step, states))

            self._finish(step, commit, saved_callback, blocking)
        else:
            self._save = _Save(step, self._thread_pool.queue(lambda: self._write(step, states)), saved_callback)

            self._is_held = True

    def release(self) -> None:
        """Says that what else was due at the step of the last checkpoint is done.

        Before, it does not get its name: fairseq2 publishes metrics and validates after it has begun to save, and if
        the process is killed then, another one is to do that again.
        """
        self._is_held = False

    def _write(self, step: int, states: Mapping[str, FlatState]) -> _Written:
        """Writes this rank's files. What goes wrong is for all ranks to know, and is not raised here."""
        output = _Written()

        try:
            for name, state in states.items():
                if name.startswith("model/"):
                    check_finite(state.tensors, step)

                output.files[name] = write_state(self._folder.temporary(step) / name, state)

            self._folder.sync(step)
        except CodecS2STError as ex:
            output.error = ex
        except Exception as ex:  # Of whatever kind, the other ranks wait for it.
            output.error = CodecS2STError(f"checkpoint {step} cannot be written: {type(ex).__name__}: {ex}")

        return output

    @override
    def maybe_complete_save_operation(self, *, blocking: bool = False) -> bool | None:
        save = self._save

        if save is None:
            return None

        if self._is_held and not blocking:
            return False

        if save.named is None:
            if not blocking and not self._is_everywhere(save.written.done()):
                return False

            self._save = None

            commit = self._agree(save.step, save.written.result())

            # The manifest and the names must get to the disk too, and that may take as long as others write to it.
            save = replace(save, named=self._thread_pool.queue(commit))

        named = save.named

        assert named is not None

        self._save = save

        if not blocking and not self._is_everywhere(named.done()):
            return False

        self._save = None

        self._finish(save.step, named.result, save.callback, blocking=False)

        return True

    def abandon(self) -> None:
        """Ends a save that is under way when the run cannot go on: a checkpoint that has not got its name gets none.

        Of several ranks, others may write still; then the next start removes what they leave.

        :raises CodecS2STError: its files cannot be written either.
        """
        save = self._save

        if save is None or self._gangs.root.size > 1:
            return

        if not self._is_held:
            self.maybe_complete_save_operation(blocking=True)

            return

        self._save = None

        written = save.written.result()

        self._discard(save.step)

        if written.error is not None:
            raise written.error

    def _is_everywhere(self, flag: bool) -> bool:
        root = self._gangs.root

        return flag if root.size == 1 else int(all_sum(root, int(flag))) == root.size

    def _agree(self, step: int, written: _Written) -> Callable[[], None]:
        """Returns what gives a checkpoint its name, on the first rank; elsewhere, what does nothing.

        :raises CodecS2STError: a rank has not written its files.
        """
        root = self._gangs.root

        try:
            raise_everywhere(root, written.error)
        except CodecS2STError:
            self._discard(step)

            raise

        files = {name: record for part in gather(root, written.files) for name, record in part.items()}

        manifest = Manifest(step=step, files=files, run=self._run, versions=_versions())

        return lambda: self._folder.commit(manifest) if root.rank == 0 else None

    def _finish(
        self, step: int, commit: Callable[[], None], callback: CheckpointSavedCallback | None, blocking: bool
    ) -> None:
        try:
            self._on_one_rank(commit)
        except CodecS2STError:
            self._discard(step)

            raise

        if callback is not None:
            callback(step, blocking)

    def _discard(self, step: int) -> None:
        """Removes what nobody writes any more; what there was before is there still."""
        self._on_one_rank(lambda: self._folder.discard(step))

    def _on_one_rank(self, work: Callable[[], object]) -> None:
        on_one_rank(self._gangs.root, self._folder.path, work)

    @property
    @override
    def is_saving(self) -> bool:
        return self._save is not None

    @override
    def load_trainer_state(self, step_nr: int, trainer: Stateful) -> None:
        self._load(step_nr, "trainer", trainer)

    @override
    def load_model_state(self, step_nr: int, model: Stateful) -> None:
        self._load(step_nr, "model", model)

    @override
    def load_optimizer_state(self, step_nr: int, optimizer: Stateful) -> None:
        self._load(step_nr, "optimizer", optimizer, mesh=mesh_of(optimizer))

    @override
    def load_data_reader_state(self, step_nr: int, data_reader: Stateful) -> None:
        self._load(step_nr, "data_reader", data_reader)

    def _load(self, step: int, kind: str, target: Stateful, *, mesh: DeviceMesh | None = None) -> None:
        file = self._folder.of(step) / file_of(kind, self._gangs)

        try:
            target.load_state_dict(read_state(file, mesh=mesh))
        except (ValueError, TypeError, RuntimeError, KeyError) as ex:
            raise CodecS2STError(f"{file} does not fit the run: {ex}", hint="start anew in another folder") from ex

    @override
    def save_score(self, step_nr: int, score: float) -> None:
        self._on_one_rank(lambda: self._scores.write(step_nr, score))

    @override
    def load_scores(self) -> list[tuple[float, int]]:
        return self._scores.read(self._folder.steps())

    @override
    def delete_checkpoint(self, step_nr: int, *, keep_model: bool = False) -> None:
        def delete() -> None:
            if keep_model:
                self._folder.keep_model_of(step_nr)
            else:
                self._folder.delete(step_nr)

                self._scores.remove(step_nr)

        self._on_one_rank(delete)

    @override
    def has_checkpoint(self, *, exclude_model_only: bool = False) -> bool:
        """Whether the run goes on with a checkpoint, which one of the model alone does not allow.

        fairseq2 asks with ``exclude_model_only=False`` before it wraps a model with FSDP, and then sends no weights to
        the ranks, as if they were to be loaded; so the answer must be the same.
        """
        return bool(self._folder.steps(whole=True))

    @override
    def get_step_numbers(self, *, exclude_model_only: bool = False) -> list[int]:
        return self._folder.steps(whole=exclude_model_only)

    @override
    def maybe_get_last_step_number(self, *, exclude_model_only: bool = False) -> int | None:
        return max(self._folder.steps(whole=exclude_model_only), default=None)

    @override
    def get_stale_step_numbers(
        self, keep_last_n: int | None, keep_best_n: int | None, keep_every_n_steps: int | None
    ) -> list[int]:
        steps = self._folder.steps()

        scores = [] if keep_best_n is None else self._scores.read(steps)

        # No rank may delete before all have looked.
        self._gangs.root.barrier()

        return find_stale(steps, scores, keep_last_n, keep_best_n, keep_every_n_steps)

    @override
    def close(self) -> None:
        pass


def _versions() -> dict[str, str]:
    return {"codec_s2st": codec_s2st.__version__, "fairseq2": fairseq2.__version__, "torch": str(torch.__version__)}
