"""Whether others work on this machine. Nothing here imports torch: the driver must stay small."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

MAX_LOAD = 0.5
"""The load average of the last minute, a core, from which on the machine counts as busy before the first part."""

MAX_OTHERS = 0.2
"""Processors that others may use, kernel included, while something is measured."""


@dataclass(frozen=True, kw_only=True)
class CpuTimes:
    """Seconds since some moment of the past."""

    clock: float

    system: float
    """Of all processors, neither idle nor waiting for a disk, in all processes and in the kernel."""

    own: float
    """Of this process and of the children that have ended."""


def cpu_times(stat: Path = Path("/proc/stat")) -> CpuTimes:
    fields = [int(field) for field in stat.read_text(encoding="utf-8").splitlines()[0].split()[1:9]]

    idle = fields[3] + fields[4]

    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]

    return CpuTimes(
        clock=time.perf_counter(),
        system=(sum(fields) - idle) / os.sysconf("SC_CLK_TCK"),
        own=sum(usage.ru_utime + usage.ru_stime for usage in own),
    )


def processors_of_others(begin: CpuTimes, end: CpuTimes) -> float:
    """How many processors others kept busy on average."""
    return max((end.system - begin.system) - (end.own - begin.own), 0.0) / max(end.clock - begin.clock, 1e-9)


def watch_others(seconds: float) -> float:
    begin = cpu_times()

    time.sleep(seconds)

    return processors_of_others(begin, cpu_times())


def why_busy(others: float, load: float, cores: int) -> str | None:
    """Returns what others do in one line, or ``None`` where they leave the machine alone."""
    if others > MAX_OTHERS:
        return f"others use {others:.2f} of {cores} processors (at most {MAX_OTHERS})"

    if load > MAX_LOAD * cores:
        return f"the load average of the last minute is {load:.2f} (at most {MAX_LOAD * cores:g})"

    return None
