"""Which rank writes and reads which file of a checkpoint."""

from __future__ import annotations

from fairseq2.gang import Gangs


def is_written_here(kind: str, gangs: Gangs) -> bool:
    """Whether this rank is the one that writes its part of a kind, which others may have too."""
    match kind:
        case "trainer":
            return True
        case "data_reader":
            return gangs.tp.rank == 0

    return gangs.rdp.rank == 0


def file_of(kind: str, gangs: Gangs) -> str:
    """Returns the file that this rank reads of a kind, as a path in a checkpoint."""
    match kind:
        case "trainer":
            return f"trainer/rank_{gangs.root.rank:02d}.safetensors"
        case "data_reader":
            return f"data_reader/dp_{gangs.dp.rank:02d}.safetensors"

    return f"{kind}/tp_{gangs.tp.rank:02d}/sdp_{gangs.sdp.rank:02d}.safetensors"
