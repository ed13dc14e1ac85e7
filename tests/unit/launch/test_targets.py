from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.launch.record import Record, launches_dir, new_record
from codec_s2st.launch.targets import find_launches, last_launch, remember_job
from tests.launches import make_info


def make_record(folder: Path, name: str) -> Record:
    record = new_record(launches_dir(folder))

    record.write_info(make_info(name=name))

    return record


class TestFindLaunches:
    def test_the_last_launch_of_a_run(self, tmp_path: Path) -> None:
        make_record(tmp_path, "first")

        last = make_record(tmp_path, "last")

        # Its process died before it was submitted.
        new_record(launches_dir(tmp_path))

        [(record, info)] = find_launches(str(tmp_path))

        assert (record.folder, info.name) == (last.folder, "last")

    def test_the_steps_of_a_pipeline_in_their_order(self, tmp_path: Path) -> None:
        for name in ("b", "a"):
            make_record(tmp_path / "steps" / name, name)

        assert [info.name for _, info in find_launches(str(tmp_path))] == ["b", "a"]

        [(_, info)] = find_launches(str(tmp_path / "steps" / "a"))

        assert info.name == "a"

    def test_a_job_that_was_launched_by_us(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CODEC_S2ST_CACHE", str(tmp_path / "cache"))

        make_record(tmp_path / "my run", "x")

        remember_job("17", tmp_path / "my run")

        [(_, info)] = find_launches("17")

        assert info.name == "x"

        with pytest.raises(UserInputError, match="job 18 was not launched by this user"):
            find_launches("18")

    def test_a_folder_whose_name_is_a_number_is_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        make_record(tmp_path / "17", "x")

        [(_, info)] = find_launches("17")

        assert info.name == "x"

    def test_raises_error_when_there_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=f"'{tmp_path}' holds no launch"):
            find_launches(str(tmp_path))

        with pytest.raises(UserInputError, match="'/nowhere' does not exist"):
            find_launches("/nowhere")


def test_last_launch_of_nothing_is_none(tmp_path: Path) -> None:
    assert last_launch(tmp_path / "launch") is None
