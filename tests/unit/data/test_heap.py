"""What a process frees stays with it: measured in a process of its own, as it is for good."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

_SCRIPT = """
import resource, sys
import torch
from codec_s2st.data.heap import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def count_faults():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    for _ in range(10):
        blocks = [torch.ones(7_000_000) for _ in range(5)]

        del blocks

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

count_faults()

print(count_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have ways of their own")
def test_kept_memory_is_not_cleared_again() -> None:
    def count_faults(argument: str) -> int:
        # Else it depends on where a last small block lies whether anything is given back.
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}

        run = subprocess.run(
            [sys.executable, "-c", _SCRIPT, argument], env=environment, check=True, capture_output=True, text=True
        )

        return int(run.stdout)

    # 1.4 GB in pages of 4 KiB are 342,000; a machine may have larger ones.
    given_back = count_faults("")

    assert given_back > 500

    assert count_faults("keep") < given_back / 20
