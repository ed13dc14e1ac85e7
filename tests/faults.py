"""Faults that befall a training run on purpose, at a given step and rank.

``python -m tests.faults PLAN.json`` is one rank's process: it makes the runs of the plan, one after the other, and ends
with the exit code of the last one.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq2.task import Task
from torch import Tensor
from torch.distributed.tensor import DTensor

from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.cpt.recipe import CptRecipe
from tests.ranks import free_port, run_ranks


@dataclass(frozen=True)
class Fault:
    kind: str
    """A method of :class:`FaultyRecipe`, or the name of a signal, which the process then sends to itself."""

    step: int
    """Signals come with its loss."""

    rank: int = 0


class FaultyRecipe(CptRecipe):
    """The recipe cpt, with faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__()

        self._faults = faults

    def create_task(self, context: Any) -> Task:
        task = super().create_task(context)

        self._task, self._optimizer = task, context.get_optimizer()

        self._parameter = next(value for value in context.get_model_as(CodecLM).parameters() if value.requires_grad)

        for fault in self._faults:
            if fault.rank == context.gangs.root.rank:
                if fault.kind.startswith("SIG"):
                    self._signal(fault.step, getattr(signal, fault.kind))
                else:
                    getattr(self, fault.kind)(fault.step)

        return task

    def _signal(self, step: int, number: int) -> None:
        def send(loss: Tensor) -> Tensor:
            os.kill(os.getpid(), number)

            return loss

        self._change_loss(step, send)

    def loss_is_nan(self, step: int) -> None:
        self._change_loss(step, lambda loss: loss * math.nan)

    def loss_jumps(self, step: int) -> None:
        self._change_loss(step, lambda loss: loss * 100)

    def memory_ends_in_forward(self, step: int) -> None:
        self._change_loss(step, lambda loss: end_memory())

    def memory_ends_in_backward(self, step: int) -> None:
        self._parameter.register_hook(lambda grad: end_memory() if self._task.step_nr == step else grad)

    def gradient_is_infinite(self, step: int) -> None:
        self._parameter.register_hook(lambda grad: grad * math.inf if self._task.step_nr == step else grad)

    def weight_is_nan(self, step: int) -> None:
        @torch.no_grad()
        def after_step(*args: object) -> None:
            if self._task.step_nr == step:
                value = self._parameter

                (value.to_local() if isinstance(value, DTensor) else value).view(-1)[0] = math.nan

        self._optimizer.register_step_post_hook(after_step)

    def hangs(self, step: int) -> None:
        self._before_step(step, wait_for_ever)

    def _before_step(self, step: int, work: Callable[[], None]) -> None:
        def before_step(*args: object) -> None:
            if self._task.step_nr == step:
                work()

        self._optimizer.register_step_pre_hook(before_step)

    def _change_loss(self, step: int, change: Callable[[Tensor], Tensor]) -> None:
        unit = self._task._trainer._unit._unit  # type: ignore[attr-defined]

        process_batch = unit.process_batch

        def process(batch: object, bag: object) -> tuple[Tensor, int]:
            loss, num_targets = process_batch(batch, bag)

            return (change(loss) if self._task.step_nr == step else loss), num_targets

        unit.process_batch = process


def wait_for_ever() -> None:
    time.sleep(3600)


def end_memory() -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def cpt_with_faults(arguments: Sequence[str], *faults: Fault) -> int:
    return recipe_main(FaultyRecipe(faults), arguments)


@dataclass(frozen=True)
class PlannedRun:
    arguments: Sequence[str]

    faults: Sequence[Fault] = ()

    exit_code: int = 0
    """The expected one."""

    without: Sequence[str] = ()
    """Files that are removed before."""


def run_plan(file: Path, runs: Sequence[PlannedRun], world_size: int) -> list[str]:
    """Makes the runs on so many ranks, and returns what each rank prints."""
    file.write_text(json.dumps([{**asdict(run), "port": free_port()} for run in runs]))

    return run_ranks("tests.faults", file, world_size)


def main() -> int:
    for run in json.loads(Path(sys.argv[1]).read_text()):
        os.environ["MASTER_PORT"] = str(run["port"])

        for file in run["without"]:
            Path(file).unlink(missing_ok=True)

        code = cpt_with_faults(run["arguments"], *(Fault(**fault) for fault in run["faults"]))

        if code != run["exit_code"]:
            print(f"The exit code is {code}, but should be {run['exit_code']}.", file=sys.stderr)

            return 1

    return 0


if __name__ == "__main__":
    sys.exit(main())
