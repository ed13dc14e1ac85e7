"""What submitit runs on the nodes: one rank of a job, whose work is a child process.

submitit's own handler of its signal puts the job back into the queue as soon as ``checkpoint`` returns, and on rank 0
alone. Here every rank forwards the signal and waits for its child, which saves; then rank 0 ends with exit code 85, and
the batch script, which sees it outside of any container and dies of ``scancel``, requeues (``slurm.py``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from submitit import JobEnvironment
from submitit.helpers import Checkpointable

from codec_s2st.errors import STOPPED_EXIT_CODE
from codec_s2st.launch.children import STOPPED_CODES, Child, run_children
from codec_s2st.launch.ranks import job_port, rank_variables
from codec_s2st.launch.record import Record


class Worker(Checkpointable):
    """Runs a command as one rank of a job. submitit's ``checkpoint`` serves until the child has started."""

    def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """
        :param folder: that of the launch's :class:`Record`.
        :param command: the arguments of Python.
        :param environment: the preset's; it may name another ``MASTER_ADDR``.
        """
        self.folder = folder
        self.command = tuple(command)
        self.environment = dict(environment)

    def __call__(self) -> None:
        """
        :raises SystemExit: the child has not ended well.
        """
        job = JobEnvironment()

        num_requeues = int(os.environ.get("SLURM_RESTART_COUNT", 0))

        variables = rank_variables(
            job.global_rank,
            job.num_tasks,
            local_rank=job.local_rank,
            local_world_size=job.num_tasks // job.num_nodes,
            address=job.hostnames[0],
            port=job_port(job.job_id, num_requeues),
            num_requeues=num_requeues,
        )

        child = Child(command=(sys.executable, *self.command), environment={**variables, **self.environment})

        [code] = run_children([child]).codes

        if code := exit_code_of_rank(job.global_rank, code):
            if code not in STOPPED_CODES:
                element = job.array_task_id

                Record(self.folder).write_failure(job.global_rank, None if element is None else int(element))

                print(f"codec-s2st launch: rank {job.global_rank} on {job.hostname}: exit code {code}", file=sys.stderr)

            sys.exit(code)


def exit_code_of_rank(rank: int, code: int) -> int:
    """Returns with which exit code a rank ends whose child ended with ``code``."""
    if rank == 0:
        return STOPPED_EXIT_CODE if code in STOPPED_CODES else code

    # Rank 0 speaks for all: srun ends the others as soon as one is not well, and they may still save.
    return 0 if code == STOPPED_EXIT_CODE else code
