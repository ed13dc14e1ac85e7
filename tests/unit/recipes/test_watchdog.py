from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from codec_s2st.recipes.common.watchdog import Watchdog

PROGRAM = """
import re, sys, time
from pathlib import Path
from codec_s2st.recipes.common.watchdog import Watchdog

def waits():
    time.sleep(600)

def computes_without_letting_go_of_the_interpreter():
    re.match("(a+)+$", "a" * 60 + "b")

watchdog = Watchdog(0.5, Path(sys.argv[1], "logs", "stacks.txt"))

with watchdog.watch():
    for _ in range(10):
        time.sleep(0.1)
        watchdog.beat()

    print("beaten", flush=True)

    eval(sys.argv[2])()
"""


@pytest.mark.parametrize("name", ["waits", "computes_without_letting_go_of_the_interpreter"])
def test_process_without_a_beat_ends_with_its_stacks(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), name], capture_output=True, text=True, timeout=60
    )

    # Longer than the time that it is given, but with beats.
    assert done.stdout == "beaten\n" and done.returncode == 1

    assert f"in {name}\n" in tmp_path.joinpath("logs", "stacks.txt").read_text()

    if name == "waits":
        assert "no step was finished for 0.5 seconds" in done.stderr


def test_nothing_is_left_of_one_that_was_not_needed(tmp_path: Path) -> None:
    watchdog = Watchdog(30.0, tmp_path / "logs" / "stacks.txt")

    begin = time.monotonic()

    with watchdog.watch():
        pass

    assert time.monotonic() - begin < 10 and not list(tmp_path.joinpath("logs").iterdir())
