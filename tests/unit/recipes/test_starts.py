from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.errors import CodecS2STError
from codec_s2st.recipes.common.starts import Starts


@pytest.fixture
def starts(tmp_path: Path) -> Starts:
    return Starts(tmp_path / "starts.json", 2)


def test_starts_without_progress_are_limited(starts: Starts, tmp_path: Path) -> None:
    starts.add(10)
    starts.add(10)

    with pytest.raises(CodecS2STError, match="started 2 times after step 10") as info:
        starts.add(10)

    # Nobody's input is at fault, and nobody is to start it again.
    assert info.value.exit_code == 1 and str(tmp_path / "starts.json") in str(info.value)


def test_progress_counts_anew(starts: Starts) -> None:
    for step in (0, 0, 10, 10, 20):
        starts.add(step)


def test_start_that_was_ended_by_will_does_not_count(starts: Starts) -> None:
    for _ in range(5):
        starts.add(10)
        starts.take_back(10)


def test_run_that_has_ended_well_leaves_nothing(starts: Starts, tmp_path: Path) -> None:
    starts.clear()

    starts.add(10)

    starts.clear()

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"step": 10}', "\x00"])
def test_file_that_is_damaged_counts_as_none(starts: Starts, tmp_path: Path, content: str) -> None:
    tmp_path.joinpath("starts.json").write_text(content)

    starts.add(10)
    starts.add(10)
