"""What the machine is and can do: the physical limits that rows are held against, and whether others work on it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch


def gemm_gflops(rows: int = 1_024, inner: int = 1_024, columns: int = 1_024, *, seconds: float = 0.5) -> float:
    """The best GFLOP/s of ``[rows, inner] @ [columns, inner].T`` in float32, as a linear layer computes it."""
    x, w = torch.randn(rows, inner), torch.randn(columns, inner)

    return 2 * rows * inner * columns / _best(lambda: torch.nn.functional.linear(x, w), seconds) / 1e9


def gemv_gb_per_second(megabytes: int = 256, *, seconds: float = 1.0) -> float:
    """The best GB/s at which the weights of a linear layer are read for a single row, larger than any cache."""
    width = 2_048

    w = torch.randn(megabytes * 1_000_000 // (4 * width), width)

    x = torch.randn(1, width)

    return 4 * w.numel() / _best(lambda: torch.nn.functional.linear(x, w), seconds) / 1e9


def _best(run: Any, seconds: float) -> float:
    run()

    best, end = float("inf"), time.perf_counter() + seconds

    while time.perf_counter() < end:
        start = time.perf_counter()

        run()

        best = min(best, time.perf_counter() - start)

    return best


def describe_machine() -> dict[str, Any]:
    """The processor, its memory, and what was measured of it with the threads of this process."""
    models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]

    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), None)

    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": None if memory is None else round(memory * 1_024 / 1e9, 1),
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "gemm_gflops": round(gemm_gflops(), 1),
        "gemv_gb_per_second": round(gemv_gb_per_second(), 2),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
