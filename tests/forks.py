"""Processes that train, and can be killed, without each importing what takes ten seconds.

``python -m tests.forks`` imports it once, and forks for each line of its input, which holds the arguments of
``cpt``; it prints the process id of the child, and then how that has ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.cpt.recipe import CptRecipe


class Child:
    """A training in a process of its own."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

        self.pid = int(self._read())

    def kill(self) -> None:
        os.kill(self.pid, 9)

    @property
    def is_running(self) -> bool:
        return os.path.exists(f"/proc/{self.pid}") and b") Z " not in Path(f"/proc/{self.pid}/stat").read_bytes()

    def wait(self) -> int:
        """Returns the exit code, or the negative number of the signal that has ended it."""
        return int(self._read())

    def _read(self) -> str:
        assert self._server.stdout is not None

        return self._server.stdout.readline()


class ForkServer:
    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def start(self, arguments: Sequence[str]) -> Child:
        assert self._server.stdin is not None

        self._server.stdin.write(f"{json.dumps(list(arguments))}\n")

        self._server.stdin.flush()

        return Child(self._server)


@contextmanager
def fork_server(log: Path) -> Iterator[ForkServer]:
    """
    :param log: What the children print.
    """
    with log.open("a") as fp:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=fp,
            text=True,
        )

        try:
            yield ForkServer(process)
        finally:
            process.kill()

            process.wait()


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()

        if pid == 0:
            # The pipe is for process ids alone.
            os.dup2(2, 1)

            os._exit(recipe_main(CptRecipe(), json.loads(line)))

        print(pid, flush=True)

        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
