from __future__ import annotations

import errno
import fcntl
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codec_s2st.data import shared_folder
from codec_s2st.data.shared_folder import hold_folder, join_folder, part_lock
from codec_s2st.errors import UserInputError

PLAN = {"manifest": "a", "array_count": 3}

_OTHER = """
import json, sys
from pathlib import Path

from codec_s2st.data.shared_folder import hold_folder, join_folder

folder, plan, part = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])

with (hold_folder(folder, plan) if part < 0 else join_folder(folder, plan, part)) as is_alone:
    print("in", is_alone, flush=True)

    sys.stdin.read()
"""


@contextmanager
def other_process(folder: Path, plan: object, part: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that is in ``folder``; with a negative ``part`` it holds it alone."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(folder), json.dumps(plan), str(part)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    assert process.stdout is not None and process.stdin is not None

    assert process.stdout.readline().startswith("in ")

    try:
        yield process
    finally:
        process.stdin.close()

        process.wait()


class TestJoinFolder:
    def test_parts_of_one_plan_are_admitted(self, tmp_path: Path) -> None:
        with other_process(tmp_path / "out", PLAN, 0), join_folder(tmp_path / "out", PLAN, 1):
            with hold_folder(tmp_path / "out", PLAN) as is_alone:
                assert not is_alone

        with hold_folder(tmp_path / "out", PLAN) as is_alone:
            assert is_alone

    def test_another_plan_is_refused(self, tmp_path: Path) -> None:
        with (
            other_process(tmp_path, PLAN, 0),
            pytest.raises(UserInputError, match=r"another run is writing to .*, with another codec, manifest") as info,
            join_folder(tmp_path, {"manifest": "b", "array_count": 3, "codec": "c"}, 1),
        ):
            pass

        assert info.value.exit_code == 2

    def test_another_plan_is_taken_when_nobody_is_left(self, tmp_path: Path) -> None:
        with other_process(tmp_path, PLAN, 0) as process:
            process.kill()

            process.wait()

            with join_folder(tmp_path, {"manifest": "b"}, 1):
                assert json.loads((tmp_path / ".lock").read_text()) == {"manifest": "b"}

    def test_part_is_made_once(self, tmp_path: Path) -> None:
        with (
            other_process(tmp_path, PLAN, 2),
            pytest.raises(UserInputError, match="another process makes part 2"),
            join_folder(tmp_path, PLAN, 2),
        ):
            pass

    def test_one_who_is_alone_is_waited_for(self, tmp_path: Path) -> None:
        with other_process(tmp_path, PLAN, -1) as process:
            assert process.stdin is not None

            begin = time.monotonic()

            threading.Timer(1.0, process.stdin.close).start()

            with join_folder(tmp_path, PLAN, 0):
                assert time.monotonic() - begin > 0.9

    def test_one_who_is_alone_with_another_plan_is_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shared_folder, "_POLL_SECONDS", 0.01)

        with (
            other_process(tmp_path, {"manifest": "b"}, -1),
            pytest.raises(UserInputError, match="another run is writing to"),
            join_folder(tmp_path, PLAN, 0),
        ):
            pass

    def test_file_in_the_way_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("")

        with pytest.raises(UserInputError, match="it is a file, not a folder"), join_folder(tmp_path / "out", PLAN, 0):
            pass

    def test_storage_without_locks_lets_everybody_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def flock(fd: int, kind: int) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(fcntl, "flock", flock)

        with join_folder(tmp_path, PLAN, 0), join_folder(tmp_path, PLAN, 1), hold_folder(tmp_path, PLAN) as is_alone:
            assert is_alone

    def test_lock_of_a_part_is_a_hidden_file(self, tmp_path: Path) -> None:
        with join_folder(tmp_path, PLAN, 2):
            assert {path.name for path in tmp_path.iterdir()} == {".lock", part_lock(tmp_path, 2).name}
