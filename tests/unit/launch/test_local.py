from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from codec_s2st.errors import CodecS2STError, DivergedError, UserInputError
from codec_s2st.launch.local import local_command, run_local
from codec_s2st.launch.preset import LaunchPreset
from codec_s2st.launch.record import LaunchInfo, Record, new_record
from tests.launches import make_info

SHOWS = """
import json, os, sys
names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'SLURM_ARRAY_TASK_ID', 'MINE')
print(json.dumps({name: os.environ.get(name) for name in names}))
print('rank', os.environ['RANK'], file=sys.stderr)
"""


SHOWS_TASK = "import os; from codec_s2st.data.array import find_array_task; print(find_array_task(os.environ))"


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return new_record(tmp_path / "launch")


def info_of(code: str, num_tasks: int = 1, array: int | None = None) -> LaunchInfo:
    return make_info(cluster="local", job_id="local", command=["-c", code], num_tasks=num_tasks, array=array)


class TestRunLocal:
    def test_each_rank_has_its_variables_and_logs(self, record: Record, capfd: pytest.CaptureFixture[str]) -> None:
        info = info_of(SHOWS, num_tasks=2)

        assert run_local(LaunchPreset(name="x", environment={"MINE": "yes"}), record, info) == 0

        values = [json.loads(record.log(info, None, rank, "out").read_text()) for rank in range(2)]

        assert [value["RANK"] for value in values] == ["0", "1"]
        assert {value["WORLD_SIZE"] for value in values} == {"2"}
        assert {value["MINE"] for value in values} == {"yes"}
        assert {value["SLURM_ARRAY_TASK_ID"] for value in values} == {None}

        # Rank 0 is shown.
        output = capfd.readouterr()

        assert json.loads(output.out) == values[0] and output.err == "rank 0\n"

        assert record.read_exit(None) == 0

    def test_elements_of_an_array_run_in_turn(self, record: Record, capfd: pytest.CaptureFixture[str]) -> None:
        assert run_local(LaunchPreset(name="x"), record, info_of(SHOWS_TASK, array=2)) == 0

        # What the recipes that can share their work make of the variables.
        assert capfd.readouterr().out.splitlines() == ["array task 0 of 2", "array task 1 of 2"]

        assert [record.read_exit(element) for element in (0, 1)] == [0, 0]

    def test_an_element_that_fails_ends_the_array(self, record: Record) -> None:
        with pytest.raises(CodecS2STError):
            run_local(LaunchPreset(name="x"), record, info_of("raise SystemExit(1)", array=2))

        assert (record.read_exit(0), record.read_exit(1)) == (1, None)
        assert record.read_failure() == (0, 0)

    @pytest.mark.parametrize(("code", "kind"), [(1, CodecS2STError), (2, UserInputError), (3, DivergedError)])
    def test_a_rank_that_fails_is_shown_with_its_exit_code(
        self, record: Record, capfd: pytest.CaptureFixture[str], code: int, kind: type[CodecS2STError]
    ) -> None:
        program = (
            f"import os, sys\nif os.environ['RANK'] == '1':\n    print('the cause', file=sys.stderr); sys.exit({code})"
        )

        info = info_of(program, num_tasks=2)

        with pytest.raises(kind, match=f"rank 1 ended with exit code {code}") as raised:
            run_local(LaunchPreset(name="x"), record, info)

        assert raised.value.exit_code == code
        assert str(record.log(info, None, 1, "err")) in str(raised.value)

        assert "\nthe cause\n" in capfd.readouterr().err

        assert record.read_failure() == (1, None) and record.read_exit(None) == code

    @pytest.mark.parametrize("code", [85, 130])
    def test_what_was_told_to_stop_has_not_failed(self, record: Record, code: int) -> None:
        assert run_local(LaunchPreset(name="x"), record, info_of(f"raise SystemExit({code})")) == code

        assert record.read_exit(None) == code and record.read_failure() is None

    def test_lines_of_shell_come_first(self, record: Record, capfd: pytest.CaptureFixture[str]) -> None:
        preset = LaunchPreset(name="x", setup=("export MINE='a b'", "cd /"), python=f"env MORE=1 {sys.executable}")

        code = "import os; print(os.environ['MINE'], os.environ['MORE'], os.getcwd())"

        assert run_local(preset, record, info_of(code)) == 0

        assert capfd.readouterr().out == "a b 1 /\n"

    def test_a_line_of_shell_that_fails_ends_it(self, record: Record) -> None:
        with pytest.raises(CodecS2STError, match="rank 0 ended with exit code 1"):
            run_local(LaunchPreset(name="x", setup=("false",)), record, info_of("print('reached')"))

        assert "reached" not in record.log(info_of(""), None, 0, "out").read_text()


def test_local_command_is_plain_without_lines_of_shell() -> None:
    assert local_command(LaunchPreset(name="x"), ["-m", "y"]) == (sys.executable, "-m", "y")
