"""The tasks of a job array, each of which does its part of one work in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from codec_s2st.errors import UserInputError

_ID: Final = "SLURM_ARRAY_TASK_ID"


@dataclass(frozen=True, slots=True)
class ArrayTask:
    """Which of several processes, that do not know each other, this one is."""

    index: int = 0

    count: int = 1

    def __str__(self) -> str:
        return f"array task {self.index} of {self.count}"


def find_array_task(environment: Mapping[str, str], *, index: int | None = None, count: int | None = None) -> ArrayTask:
    """Returns which task this process is.

    :param environment: The variables that SLURM sets in the tasks of an array (``sbatch --array``): of
        ``--array=10-30:10``, the task with the id 20 is number 1 of 3. Without them, there is one task.
    :param index: Which task it is, counted from 0; by default SLURM's id itself if ``count`` is given.
    :param count: How many tasks there are; 1 switches arrays off.
    :raises UserInputError: the values make no sense, or SLURM's array is no range.
    """
    if count == 1:
        return ArrayTask()

    if count is None and index is not None:
        raise UserInputError(f"array.index is {index}, but array.count is not set", hint="set both")

    if count is not None:
        number = _read(environment, _ID) if index is None and _ID in environment else index

        if number is None:
            raise UserInputError(f"array.count is {count}, but array.index is not set", hint="set both")

        if not 0 <= number < count:
            raise UserInputError(f"array.index is {number}, but must be in 0..{count - 1}")

        return ArrayTask(number, count)

    if _ID not in environment:
        return ArrayTask()

    id_, first, last, step, num_tasks = (
        _read(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX", "STEP", "COUNT")
    )

    # Of `--array=3,7,8`, nothing tells the place of 7.
    if first + (num_tasks - 1) * step != last or (id_ - first) % step != 0:
        raise UserInputError(
            f"SLURM's array from {first} to {last} with {num_tasks} tasks is no range, so that the part of task {id_} "
            "is not known",
            hint="to repeat some tasks of an array of N that began at 0: --config array.count=N",
        )

    return ArrayTask((id_ - first) // step, num_tasks)


def _read(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "1" if name.endswith("STEP") else "")

    try:
        return int(value)
    except ValueError:
        raise UserInputError(
            f"the environment variable {name} is '{value}', which is no number",
            hint="say which task this is: --config array.index=K array.count=N",
        ) from None
