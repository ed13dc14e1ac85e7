"""Several ranks on one machine, each a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))

        return int(sock.getsockname()[1])


def start_rank(module: str, plan: Path, rank: int, world_size: int) -> subprocess.Popen[str]:
    """Starts ``python -m MODULE PLAN``, which sets MASTER_PORT itself; what it prints is piped."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}

    if world_size > 1:
        env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
        env |= {"LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1"}

    return subprocess.Popen(
        [sys.executable, "-m", module, str(plan)],
        env=env,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_ranks(module: str, plan: Path, world_size: int, *, timeout: float = 600) -> list[str]:
    """Runs all ranks until they end, which each must with exit code 0; returns what they print."""
    processes = [start_rank(module, plan, rank, world_size) for rank in range(world_size)]

    try:
        logs = [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()

    for process, text in zip(processes, logs, strict=True):
        assert process.returncode == 0, text

    return logs
