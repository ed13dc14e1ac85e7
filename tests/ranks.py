"""Several ranks on one machine, each a process."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile


def free_port() -> int:
    """Returns a port to listen at later.

    It is none of those that a system gives to whoever asks for any (from 32,768 on Linux): until it is used, which may
    be minutes, another process would be given it.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)

        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue

        return port


def start_rank(
    module: str, plan: Path, rank: int, world_size: int, *, stdout: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Starts ``python -m MODULE PLAN``, which sets MASTER_PORT itself; what it prints goes to ``stdout``."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}

    if world_size > 1:
        env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
        env |= {"LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1"}

    return subprocess.Popen(
        [sys.executable, "-m", module, str(plan)],
        env=env,
        cwd=Path(__file__).parents[1],
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_ranks(module: str, plan: Path, world_size: int, *, timeout: float = 600) -> list[str]:
    """Runs all ranks until they end, which each must with exit code 0; returns what they print.

    Where one fails, the others are not waited for: they would wait for it.
    """
    files = [TemporaryFile("w+") for _ in range(world_size)]

    processes = [start_rank(module, plan, rank, world_size, stdout=file.fileno()) for rank, file in enumerate(files)]

    deadline = time.monotonic() + timeout

    try:
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            if any(process.returncode for process in processes):
                break

            time.sleep(0.05)
    finally:
        for process in processes:
            process.kill()
            process.wait()

    logs = []

    for file in files:
        with file:
            file.seek(0)

            logs.append(file.read())

    for rank, process in enumerate(processes):
        assert process.returncode == 0, f"Rank {rank} ended with {process.returncode}:\n{logs[rank]}"

    return logs
