"""Keeps a step from changing the weights where its loss or its gradient is not finite on any rank."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, final

import torch
from fairseq2.device import SupportsDeviceTransfer
from fairseq2.gang import Gang, ReduceOperation
from fairseq2.logging import log
from fairseq2.metrics import MetricBag
from fairseq2.nn.data_parallel import DataParallelFacade, get_data_parallel_facade, set_data_parallel_facade
from fairseq2.trainer import TrainUnit
from fairseq2.typing import ContextManager
from torch import Tensor
from torch.nn import Module
from typing_extensions import override

from codec_s2st.checkpoints.agreement import gather
from codec_s2st.errors import CodecS2STError, DivergedError
from codec_s2st.recipes.common.sections import GuardsSection
from codec_s2st.recipes.common.spikes import RunningLoss
from codec_s2st.recipes.common.stopping import StopRequest

BatchT = TypeVar("BatchT", bound=SupportsDeviceTransfer)

SKIPPED_STEPS: Final = "skipped_steps"
"""The metric that counts them, once there are any."""

_MAX_SHOWN: Final = 4


@dataclass(frozen=True)
class BatchNote:
    """What identifies a batch, without holding it."""

    shape: tuple[int, ...]

    ids: tuple[str, ...] = ()
    """Of its examples, where they have any."""

    def __str__(self) -> str:
        text = f"a batch of shape {list(self.shape)}"

        if not self.ids:
            return text

        return f"{text} ({', '.join(self.ids[:_MAX_SHOWN])}{', ..' if len(self.ids) > _MAX_SHOWN else ''})"


@final
class StepGuard:
    """Decides of each step, on all ranks alike, whether it changes the weights.

    What the ranks must know of each other is one sum of a few numbers a step, when the gradient is there. It carries
    the request to stop too.
    """

    def __init__(self, section: GuardsSection, gang: Gang, request: StopRequest, out: Path, *, scaled: bool) -> None:
        """
        :param gang: Of all ranks.
        :param out: The folder of the run, where examples of steps that are not right are written down.
        :param scaled: Whether a loss scale takes care of gradients that are not finite.
        """
        self._section = section
        self._gang = gang
        self._request = request
        self._file = out / "guards" / f"rank_{gang.rank:02d}.jsonl"
        self._scaled = scaled

        self._step = 0
        self._notes: list[BatchNote] = []
        self._losses: list[Tensor] = []
        self._running = RunningLoss()

        self.num_skipped = 0
        """The steps of the run that were left out."""

        self.stop_agreed = False
        """Whether any rank had been asked to stop when the gradient of the last step was there."""

    def begin_step(self, step: int) -> None:
        self._step = step

        self._notes.clear()

        self._losses.clear()

    def begin_validation(self) -> None:
        self._notes.clear()

    def begin_batch(self, note: BatchNote) -> None:
        self._notes.append(note)

    def end_batch(self, loss: Tensor) -> None:
        """
        :param loss: A target's, on average.
        """
        self._losses.append(loss)

    def accepts(self, grad_norm: Tensor) -> bool:
        """Returns whether the step may change the weights; all ranks must ask.

        :param grad_norm: The same on all ranks.

        :raises DivergedError: no further step may be left out.
        """
        loss = torch.stack(self._losses).float().mean()

        bad_norm, bad_loss = ~torch.isfinite(grad_norm), ~torch.isfinite(loss)

        made = torch.tensor(self._request.is_made, device=loss.device)

        flags = torch.stack([bad_norm.to(loss), bad_loss.to(loss), made.to(loss), loss])

        if self._gang.size > 1:
            self._gang.all_reduce(flags, ReduceOperation.SUM)

        # The only time in a step that the host waits for the device.
        num_bad_norms, num_bad_losses, num_stops, total = flags.tolist()

        self.stop_agreed = num_stops > 0

        if (num_bad_norms or num_bad_losses) and not self._scaled:
            self._refuse(float(grad_norm), float(loss))

            return False

        self._watch_spikes(total / self._gang.size, loss)

        return True

    def _refuse(self, grad_norm: float, loss: float) -> None:
        self.num_skipped += 1

        self._write("not_finite", loss=loss, grad_norm=grad_norm, skipped=self.num_skipped)

        # Which batch it was, some rank must tell the others.
        bad = [(rank, *part) for rank, part in enumerate(gather(self._gang, (loss, self._describe())))]

        rank, loss, batches = next((part for part in bad if not math.isfinite(part[1])), bad[0])

        where = f" of rank {rank}" if self._gang.size > 1 else ""

        what = f"the loss is {loss} at step {self._step} on {batches}{where}"

        if math.isfinite(loss):
            what = f"the norm of the gradient is {grad_norm} at step {self._step}, whose first is {batches}"

        if self.num_skipped > self._section.max_skipped_steps:
            raise DivergedError(
                f"{what}; all examples are in {self._file.parent}",
                hint="lower `optimizer.config.lr`, start again from an earlier checkpoint, or leave such steps out:"
                " guards.max_skipped_steps",
            )

        log.warning("STEP {} IS LEFT OUT: {}. It is number {} of at most {}.", self._step, what, self.num_skipped, self._section.max_skipped_steps)  # fmt: skip  # noqa: E501

    def _watch_spikes(self, loss: float, local_loss: Tensor) -> None:
        limit = self._section.spike_deviations

        deviations = self._running.deviations(loss)

        if limit is not None and deviations > limit:
            log.warning("The loss of step {} is {:.4f}, {:.1f} standard deviations above the mean of {:.4f}; its examples are in {}.", self._step, loss, deviations, self._running.mean, self._file.parent)  # fmt: skip  # noqa: E501

            self._write("loss_spike", loss=float(local_loss), mean=self._running.mean, deviations=deviations)

        self._running = self._running.after(loss)

    def out_of_memory(self) -> CodecS2STError:
        """Returns the error for memory that does not suffice for the batch at hand."""
        self._write("out_of_memory")

        return CodecS2STError(
            f"out of memory at step {self._step} with {self._describe()}",
            hint="lower `data.max_batch_steps`, or set trainer.activation_checkpointing.mode=layerwise",
        )

    def _describe(self) -> str:
        return str(self._notes[-1]) if self._notes else "a batch of the validation"

    def _write(self, event: str, **values: object) -> None:
        line = {"step": self._step, "event": event, **values, "batches": [asdict(note) for note in self._notes]}

        self._file.parent.mkdir(parents=True, exist_ok=True)

        with self._file.open("a", encoding="utf-8") as fp:
            fp.write(f"{json.dumps(line)}\n")


@final
class GuardedUnit(TrainUnit[BatchT]):
    """Tells the guard of the batches of another unit."""

    def __init__(self, unit: TrainUnit[BatchT], guard: StepGuard, describe: Callable[[BatchT], BatchNote]) -> None:
        self._unit = unit
        self._guard = guard
        self._describe = describe

    @override
    def prepare_metric_bag(self, metric_bag: MetricBag) -> None:
        self._unit.prepare_metric_bag(metric_bag)

    @override
    def set_step_nr(self, step_nr: int) -> None:
        self._guard.begin_step(step_nr)

        self._unit.set_step_nr(step_nr)

    @override
    def set_data_epoch_nr(self, data_epoch_nr: int) -> None:
        self._unit.set_data_epoch_nr(data_epoch_nr)

    @override
    def process_batch(self, batch: BatchT, metric_bag: MetricBag) -> tuple[Tensor, int | None]:
        self._guard.begin_batch(self._describe(batch))

        loss, num_targets = self._unit.process_batch(batch, metric_bag)

        self._guard.end_batch(loss.detach() / (num_targets or 1))

        return loss, num_targets

    @override
    def process_metric_values(self, values: MutableMapping[str, object]) -> None:
        self._unit.process_metric_values(values)

        if self._guard.num_skipped:
            values[SKIPPED_STEPS] = self._guard.num_skipped


def guard_gradients(model: Module, guard: StepGuard) -> None:
    """Makes fairseq2's trainer ask the guard before it changes the weights.

    :param model: The data parallel model.
    """
    set_data_parallel_facade(model, _GuardedFacade(get_data_parallel_facade(model), list(model.parameters()), guard))


@final
class _GuardedFacade(DataParallelFacade):
    """Drops gradients that the guard does not accept: an optimizer passes over parameters that have none.

    The gradient is known to all ranks alike when its norm is.
    """

    def __init__(self, base: DataParallelFacade, parameters: Sequence[Tensor], guard: StepGuard) -> None:
        self._base = base
        self._parameters = parameters
        self._guard = guard

    @override
    def clip_grad_norm(self, max_norm: float | None) -> Tensor:
        norm = self._base.clip_grad_norm(max_norm)

        if not self._guard.accepts(norm):
            for parameter in self._parameters:
                parameter.grad = None

        return norm

    @override
    def state_dict(self) -> dict[str, object]:
        return self._base.state_dict()

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._base.load_state_dict(state_dict)

    @override
    def no_sync(self) -> ContextManager[None]:
        return self._base.no_sync()

    @override
    def summon_full_parameters(self) -> ContextManager[None]:
        return self._base.summon_full_parameters()


def is_out_of_memory(ex: BaseException) -> bool:
    """Whether a device, or the machine, has no memory left for a tensor."""
    if isinstance(ex, MemoryError | torch.OutOfMemoryError):
        return True

    words = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")

    return isinstance(ex, RuntimeError) and any(word in str(ex) for word in words)
