"""What accelerators are said to do, and what the processor here was seen to do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import torch


@dataclass(frozen=True, kw_only=True)
class Device:
    name: str

    peak_tflops: float
    """Of dense matrix products: bfloat16 on a GPU, float32 on a processor."""

    memory_gb: float
    """In 10^9 bytes."""

    source: str
    """Where the two figures come from."""

    is_cpu: bool = False


_SHEET: Final = "NVIDIA's data sheet, dense bfloat16"

GPUS: Final[dict[str, Device]] = {
    "a100": Device(name="A100 SXM 80GB", peak_tflops=312.0, memory_gb=80.0, source=_SHEET),
    "h100": Device(name="H100 SXM 80GB", peak_tflops=989.4, memory_gb=80.0, source=_SHEET),
    "h200": Device(name="H200 SXM 141GB", peak_tflops=989.4, memory_gb=141.0, source=_SHEET),
    "l40s": Device(name="L40S 48GB", peak_tflops=362.0, memory_gb=48.0, source=_SHEET),
    "b200": Device(name="B200 SXM 180GB", peak_tflops=2_250.0, memory_gb=180.0, source=_SHEET),
}

UTILISATION: Final = {"gpu": (0.20, 0.48), "cpu": (0.50, 0.90)}
"""The share of the peak at which a step's products are computed, all that is executed counted.

GPU: the upper end is what others publish for dense decoders on H100 (41 to 48 % in the logs of OLMo and nanochat, which
are larger); the lower end is a guess, since width 1,024 makes small products. Neither was measured by us. CPU: the peak
is measured at the model's own feed-forward product; the band is a guess round the 0.8 to which two small models came
(``benchmarks/plan_check.py``, their heads and attention counted at the same rate).
"""


def measure_cpu(rows: int, inner: int, columns: int, *, seconds: float = 1.0) -> Device:
    """Measures ``[rows, inner]`` times ``[inner, columns]`` in float32 on the threads that torch is given."""
    x, weight = torch.randn(rows, inner), torch.randn(columns, inner)

    torch.nn.functional.linear(x, weight)

    best, end = float("inf"), time.perf_counter() + seconds

    while time.perf_counter() < end:
        start = time.perf_counter()

        torch.nn.functional.linear(x, weight)

        best = min(best, time.perf_counter() - start)

    rate = 2 * rows * inner * columns / best / 1e12

    with open("/proc/meminfo", encoding="ascii") as file:
        memory = next(int(line.split()[1]) * 1_024 / 1e9 for line in file if line.startswith("MemTotal"))

    shape = f"[{rows}, {inner}] x [{inner}, {columns}]"

    return Device(
        name=f"this processor, {torch.get_num_threads()} threads",
        peak_tflops=rate,
        memory_gb=memory,
        source=f"measured now, float32, {shape}",
        is_cpu=True,
    )
