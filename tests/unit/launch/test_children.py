from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codec_s2st.launch.children import Child, Outcome, run_children

# Says that it is ready, and on a stop signal what it got; then ends with the code.
OBEYS = """
import signal, sys, time
from pathlib import Path
def stop(number, frame):
    with Path(sys.argv[1]).open('a') as fp:
        fp.write(signal.Signals(number).name + '\\n')
    sys.exit(int(sys.argv[2]))
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, stop)
Path(sys.argv[1]).write_text('ready\\n')
time.sleep(60)
"""

IGNORES = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(sys.argv[1]).write_text('ready\\n')
time.sleep(60)
"""


def child(code: str, *arguments: object, **environment: str) -> Child:
    return Child(command=(sys.executable, "-c", code, *map(str, arguments)), environment=environment)


def when(files: list[Path], action: Callable[[], None]) -> Callable[[], None]:
    """Returns what, called again and again, does something once when all files are there."""
    done = []

    def poll() -> None:
        if not done and all(file.exists() and file.read_text() for file in files):
            done.append(True)

            action()

    return poll


class TestRunChildren:
    def test_all_end_well(self, tmp_path: Path) -> None:
        out = tmp_path / "out"

        children = [
            Child(command=(sys.executable, "-c", "import os; print(os.environ['X'])"), environment={"X": x}, stdout=out)
            for x in ("1", "2")
        ]

        assert run_children(children) == Outcome(codes=(0, 0), failed=None)

        assert sorted(out.read_text().split()) == ["1", "2"]

    def test_output_is_appended(self, tmp_path: Path) -> None:
        out, err = tmp_path / "out", tmp_path / "err"

        out.write_text("before\n")

        command = (sys.executable, "-c", "import sys; print('a'); print('b', file=sys.stderr)")

        run_children([Child(command=command, environment={}, stdout=out, stderr=err)])

        assert (out.read_text(), err.read_text()) == ("before\na\n", "b\n")

    @pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGTERM"])
    def test_a_stop_signal_reaches_all_once(self, tmp_path: Path, name: str) -> None:
        files = [tmp_path / "0", tmp_path / "1"]

        def ask() -> None:
            for _ in range(3):
                os.kill(os.getpid(), getattr(signal, name))

        outcome = run_children([child(OBEYS, file, 85) for file in files], on_poll=when(files, ask))

        assert outcome == Outcome(codes=(85, 85), failed=None)
        assert outcome.code == 85

        assert [file.read_text() for file in files] == [f"ready\n{name}\n"] * 2

    def test_death_of_a_stop_signal_is_a_stop(self) -> None:
        started = []

        def ask() -> None:
            if not started:
                started.append(True)

                os.kill(os.getpid(), signal.SIGUSR2)

        outcome = run_children([child("import time; time.sleep(60)")], on_poll=ask)

        assert outcome == Outcome(codes=(128 + signal.SIGUSR2,), failed=None)
        assert outcome.code == 85

    def test_handlers_are_as_before_afterwards(self) -> None:
        before = [signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)]

        run_children([child("pass")], interruptible=True)

        assert [signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)] == before

    def test_the_first_that_fails_is_the_cause_and_the_others_are_ended(self, tmp_path: Path) -> None:
        file = tmp_path / "0"

        children = [child(OBEYS, file, 85), child("import sys, time; time.sleep(0.5); sys.exit(3)")]

        outcome = run_children(children, patience=0.2)

        assert (outcome.failed, outcome.code, outcome.codes[1]) == (1, 3, 3)

        assert outcome.codes[0] in (85, 128 + signal.SIGTERM)

    def test_one_that_does_not_listen_is_killed(self, tmp_path: Path) -> None:
        file = tmp_path / "0"

        fails = "import sys, time, pathlib\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\nsys.exit(1)"

        outcome = run_children([child(IGNORES, file), child(fails, file)], patience=0.2)

        assert outcome == Outcome(codes=(128 + signal.SIGKILL, 1), failed=1)

    def test_a_child_that_is_killed_has_failed(self) -> None:
        outcome = run_children([child("import os; os.kill(os.getpid(), 9)")])

        assert (outcome.failed, outcome.code) == (0, 137)

    def test_ctrl_c_is_forwarded_and_the_second_kills(self, tmp_path: Path) -> None:
        deaf = OBEYS.replace("sys.exit(int(sys.argv[2]))", "return").replace(
            "time.sleep(60)", "[time.sleep(1) for _ in range(60)]"
        )

        with launcher(tmp_path / "0", deaf) as process:
            process.send_signal(signal.SIGINT)

            wait_for(lambda: "SIGINT" in tmp_path.joinpath("0").read_text())

            assert process.poll() is None

            process.send_signal(signal.SIGINT)

            assert process.communicate(timeout=30)[0] == "(137,)\n"

    def test_when_the_terminal_goes_they_stop(self, tmp_path: Path) -> None:
        with launcher(tmp_path / "0", OBEYS) as process:
            process.send_signal(signal.SIGHUP)

            assert process.communicate(timeout=30)[0] == "(85,)\n"

        assert tmp_path.joinpath("0").read_text() == "ready\nSIGTERM\n"

    def test_when_the_launcher_is_killed_they_stop(self, tmp_path: Path) -> None:
        file = tmp_path / "told"

        with launcher(file, OBEYS) as process:
            process.kill()

            wait_for(lambda: file.read_text() == "ready\nSIGTERM\n")

    def test_below_nohup_they_go_on(self, tmp_path: Path) -> None:
        with launcher(tmp_path / "0", OBEYS, "nohup") as process:
            process.send_signal(signal.SIGHUP)

            time.sleep(0.5)

            assert process.poll() is None

            process.send_signal(signal.SIGTERM)

            assert process.communicate(timeout=30)[0] == "(85,)\n"


@contextmanager
def launcher(file: Path, code: str, *before: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a child that says in ``file`` that it is ready below a process of its own, as from a terminal."""
    program = (
        "import sys\nfrom codec_s2st.launch.children import Child, run_children\n"
        "child = Child(command=(sys.executable, '-c', sys.argv[2], sys.argv[1], '85'), environment={})\n"
        "print(run_children([child], interruptible=True).codes)"
    )

    command = [*before, sys.executable, "-c", program, str(file), code]

    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    try:
        wait_for(lambda: file.exists() and "ready" in file.read_text())

        yield process
    finally:
        process.kill()


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds

    while not condition():
        assert time.monotonic() < deadline

        time.sleep(0.02)
