"""The variables by which a process knows which rank of how many it is, and where rank 0 listens.

They are set before fairseq2 starts, and then it asks SLURM for nothing: by itself it takes the wrong GPU where SLURM
binds them, and a local world of one where ``--ntasks-per-node`` is not set.
"""

from __future__ import annotations

import socket
import zlib
from typing import Final

REQUEUES_VARIABLE: Final = "CODEC_S2ST_REQUEUES"
"""How many times a job went back to the queue."""

# Below what systems give to connections that go out.
_PORTS: Final = range(20_000, 32_000)


def rank_variables(
    rank: int,
    world_size: int,
    *,
    local_rank: int,
    local_world_size: int,
    address: str,
    port: int,
    num_requeues: int = 0,
) -> dict[str, str]:
    """Returns the variables of a rank, of which there are ``world_size``, and ``local_world_size`` on its node.

    :param address: the host of rank 0.
    """
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_RANK": str(local_rank),
        "LOCAL_WORLD_SIZE": str(local_world_size),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
        REQUEUES_VARIABLE: str(num_requeues),
        # Else a faulty extension is a warning, and the run goes on without it; and progress bars fill the log.
        "FAIRSEQ2_EXTENSION_TRACE": "1",
        "FAIRSEQ2_NO_PROGRESS": "1",
    }


def job_port(job_id: str, num_requeues: int) -> int:
    """Returns the port of rank 0, which all ranks of a job know without asking; another one after each requeue."""
    return _PORTS[zlib.crc32(f"{job_id}.{num_requeues}".encode()) % len(_PORTS)]


def free_port() -> int:
    """Returns a port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))

        return int(listener.getsockname()[1])
