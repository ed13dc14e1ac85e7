from __future__ import annotations

import os
from pathlib import Path

import pytest

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.launch.record import Record, new_record, process_start, read_records, write_whole
from tests.launches import make_info


class TestNewRecord:
    def test_numbers_rise(self, tmp_path: Path) -> None:
        parent = tmp_path / "out" / "launch"

        assert new_record(parent, dry_run=True).folder.name == "001"

        assert not parent.exists()

        assert [new_record(parent).folder.name for _ in range(3)] == ["001", "002", "003"]

        parent.joinpath("1000").mkdir()
        parent.joinpath("notes").mkdir()

        assert new_record(parent).folder.name == "1001"

        assert [record.folder.name for record in read_records(parent)] == ["001", "002", "003", "1000", "1001"]

    def test_raises_error_when_a_file_is_in_the_way(self, tmp_path: Path) -> None:
        tmp_path.joinpath("out").touch()

        with pytest.raises(UserInputError, match="cannot be made: Not a directory"):
            new_record(tmp_path / "out" / "launch")

        tmp_path.joinpath("launch").touch()

        with pytest.raises(UserInputError, match="cannot be made"):
            new_record(tmp_path / "launch")


class TestRecord:
    def test_info_comes_back(self, tmp_path: Path) -> None:
        record = new_record(tmp_path)

        assert not record.is_complete

        record.write_info(make_info(array=3))

        assert record.is_complete
        assert record.read_info() == make_info(array=3)

    def test_damaged_info_is_named(self, tmp_path: Path) -> None:
        record = new_record(tmp_path)

        record.folder.joinpath("launch.json").write_text('{"name": "x"}')

        with pytest.raises(CodecS2STError, match=r"launch\.json cannot be read"):
            record.read_info()

    def test_is_done_when_all_elements_have_ended_well(self, tmp_path: Path) -> None:
        record = new_record(tmp_path)

        info = make_info(array=2)

        record.write_exit(0, 0)

        assert not record.is_done(info)

        record.write_exit(1, 3)

        assert not record.is_done(info) and record.read_exit(1) == 3

        record.write_exit(1, 0)

        assert record.is_done(info)

    def test_the_first_failure_stands(self, tmp_path: Path) -> None:
        record = new_record(tmp_path)

        assert record.read_failure() is None

        record.write_failure(3, None)
        record.write_failure(0, None)

        assert record.read_failure() == (3, None)

        other = new_record(tmp_path)

        other.write_failure(1, 4)

        assert other.read_failure() == (1, 4)

    def test_logs_are_named_as_submitit_does(self) -> None:
        from submitit.core.utils import JobPaths

        record = Record(Path("/x"))

        for element, job_id in ((None, "7"), (3, "7_3")):
            paths = JobPaths(record.logs, job_id=job_id, task_id=1)

            assert record.log(make_info(), element, 1, "out") == paths.stdout
            assert record.log(make_info(), element, 1, "err") == paths.stderr


def test_write_whole_leaves_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "a"

    write_whole(file, "1")
    write_whole(file, "2")

    assert file.read_text() == "2"
    assert list(tmp_path.iterdir()) == [file]


def test_process_start_tells_processes_apart() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid())
    assert process_start(os.getpid()) != process_start(1)
    assert process_start(2**22 + 1) is None
