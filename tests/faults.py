"""Faults that befall a training run on purpose, at a given step and rank.

``python -m tests.faults PLAN.json`` is one rank's process: it makes the runs of the plan, one after the other, and ends
with the exit code of the last one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fairseq2.task import Task

from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.cpt.recipe import CptRecipe
from tests.ranks import free_port, run_ranks


@dataclass(frozen=True)
class Fault:
    kind: str
    """The name of a signal that the process sends to itself."""

    step: int
    """It comes before the weights are changed in this step."""

    rank: int = 0


class FaultyRecipe(CptRecipe):
    """The recipe cpt, with faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__()

        self._faults = faults

    def create_task(self, context: Any) -> Task:
        task = super().create_task(context)

        faults = [fault for fault in self._faults if fault.rank == context.gangs.root.rank]

        def before_step(*args: object) -> None:
            for fault in faults:
                if fault.step == task.step_nr:
                    os.kill(os.getpid(), getattr(signal, fault.kind))

        context.get_optimizer().register_step_pre_hook(before_step)

        return task


def cpt_with_faults(arguments: Sequence[str], *faults: Fault) -> int:
    return recipe_main(FaultyRecipe(faults), arguments)


@dataclass(frozen=True)
class PlannedRun:
    arguments: Sequence[str]

    faults: Sequence[Fault] = ()

    exit_code: int = 0
    """The expected one."""


def run_plan(file: Path, runs: Sequence[PlannedRun], world_size: int) -> list[str]:
    """Makes the runs on so many ranks, and returns what each rank prints."""
    file.write_text(json.dumps([{**asdict(run), "port": free_port()} for run in runs]))

    return run_ranks("tests.faults", file, world_size)


def main() -> int:
    for run in json.loads(Path(sys.argv[1]).read_text()):
        os.environ["MASTER_PORT"] = str(run["port"])

        code = cpt_with_faults(run["arguments"], *(Fault(**fault) for fault in run["faults"]))

        if code != run["exit_code"]:
            print(f"The exit code is {code}, but should be {run['exit_code']}.", file=sys.stderr)

            return 1

    return 0


if __name__ == "__main__":
    sys.exit(main())
