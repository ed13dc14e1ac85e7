"""The most memory that the ranks of a run have held."""

from __future__ import annotations

import resource
import sys

import torch
from fairseq2.gang import Gang, ReduceOperation


def find_peaks(gang: Gang) -> tuple[int, int | None]:
    """Returns the peak of the rank that has held most, in bytes: of its process, and of its tensors on a GPU.

    To be called by all ranks.
    """
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024

    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    is_cuda = gang.device.type == "cuda"

    peaks = torch.tensor(
        [process, torch.cuda.max_memory_allocated(gang.device) if is_cuda else 0], dtype=torch.int64, device=gang.device
    )

    # fairseq2's gang of one knows sums and products alone.
    if gang.size > 1:
        gang.all_reduce(peaks, ReduceOperation.MAX)

    return int(peaks[0]), int(peaks[1]) if is_cuda else None
