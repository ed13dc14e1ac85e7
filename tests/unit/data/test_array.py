from __future__ import annotations

import pytest

from codec_s2st.data.array import ArrayTask, find_array_task
from codec_s2st.errors import UserInputError


def variables(id_: object, first: int, last: int, count: int, step: int | None = None) -> dict[str, str]:
    values = {"ID": id_, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}

    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items() if value is not None}


class TestFindArrayTask:
    def test_no_array_is_one_task(self) -> None:
        assert find_array_task({}) == ArrayTask(0, 1)

    @pytest.mark.parametrize(
        ("environment", "task"),
        [
            (variables(0, 0, 7, 8, 1), ArrayTask(0, 8)),
            (variables(7, 0, 7, 8), ArrayTask(7, 8)),
            (variables(20, 10, 30, 3, 10), ArrayTask(1, 3)),
            # One that was submitted again by itself makes all that is missing.
            (variables(5, 5, 5, 1, 1), ArrayTask(0, 1)),
        ],
    )
    def test_slurm_says_it(self, environment: dict[str, str], task: ArrayTask) -> None:
        assert find_array_task(environment) == task

    def test_configuration_comes_first(self) -> None:
        environment = variables(3, 3, 7, 2, 1)

        assert find_array_task(environment, index=1, count=4) == ArrayTask(1, 4)

        assert find_array_task(environment, count=8) == ArrayTask(3, 8)

        assert find_array_task(environment, count=1) == ArrayTask(0, 1)

        assert find_array_task({}, index=1, count=4) == ArrayTask(1, 4)

    @pytest.mark.parametrize(
        ("environment", "config", "words"),
        [
            # --array=3,4,7
            (variables(7, 3, 7, 3, 1), {}, "is no range.*array.count=N"),
            (variables(4, 3, 7, 2, 4), {}, "is no range"),
            (variables("x", 0, 7, 8), {}, "SLURM_ARRAY_TASK_ID is 'x'"),
            ({"SLURM_ARRAY_TASK_ID": "1"}, {}, "SLURM_ARRAY_TASK_MIN is ''"),
            ({}, {"index": 1}, "array.count is not set"),
            ({}, {"count": 3}, "array.index is not set"),
            ({}, {"index": 3, "count": 3}, r"must be in 0\.\.2"),
            ({}, {"index": -1, "count": 3}, r"must be in 0\.\.2"),
            (variables(8, 0, 9, 10), {"count": 8}, r"must be in 0\.\.7"),
            ({}, {"count": 0, "index": 0}, "must be in"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, environment: dict[str, str], config: dict[str, int], words: str
    ) -> None:
        with pytest.raises(UserInputError, match=words):
            find_array_task(environment, **config)
