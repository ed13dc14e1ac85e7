"""A private SLURM of one machine: a controller and two nodes, in a folder, on ports of its own, without root."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.ranks import free_port

NODES: Final = ("alpha", "beta")

PROGRAMS: Final = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")

# Debian puts the daemons where only root looks.
PATH: Final = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def missing_program() -> str | None:
    """Returns the first of SLURM's programs that is not installed."""
    return next((program for program in PROGRAMS if shutil.which(program, path=PATH) is None), None)


class Cluster:
    """Jobs of the partition ``high`` preempt those of ``low``, which is the default; these go back to the queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM")},
            "PATH": PATH,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "CODEC_S2ST_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }

        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """
        :raises RuntimeError: it does not come up; the daemons' logs are in the message.
        """
        for name in ("state", *(f"spool.{node}" for node in NODES)):
            self.folder.joinpath(name).mkdir()

        self.folder.joinpath("slurm.conf").write_text(self._configuration())

        # Where a later SLURM would look for control groups.
        if self._version() >= (23, 2):
            self.folder.joinpath("cgroup.conf").write_text("CgroupPlugin=disabled\n")

        self._daemons["slurmctld"] = self._spawn("slurmctld", "-D", "-c")

        for node in NODES:
            self.start_node(node)

        try:
            wait_for(lambda: self._idle() == set(NODES), 30)
        except AssertionError:
            logs = {file.name: file.read_text()[-2000:] for file in self.folder.glob("*.log")}

            self.stop()

            raise RuntimeError(f"the private SLURM does not come up: {logs}") from None

    def start_node(self, node: str) -> None:
        self._daemons[node] = self._spawn("slurmd", "-D", "-N", node)

    def crash_node(self, node: str) -> None:
        """Ends a node and all that runs on it at once, as a power cut would."""
        daemon = self._daemons.pop(node)

        self._kill_node(node)

        daemon.wait()

    def stop(self) -> None:
        """Ends the cluster and all that runs on it."""
        for node in NODES:
            self._kill_node(node)

        for daemon in self._daemons.values():
            _kill(descendants({daemon.pid}))

            daemon.kill()
            daemon.wait()

    def _kill_node(self, node: str) -> None:
        # The daemon of a step has left its parent; what it keeps is the log of its node.
        daemons = {pid for pid in _processes() if _has_open(pid, self.folder / f"slurmd.{node}.log")}

        _kill([*daemons, *descendants(daemons)])

    def run(self, *command: str) -> str:
        """Runs a program to its end, which must be a good one, and returns what it prints."""
        command = (shutil.which(command[0], path=PATH) or command[0], *command[1:])

        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"

        return result.stdout

    def states(self) -> dict[str, str]:
        """Returns the state of each job that the controller remembers."""
        lines = self.run("squeue", "--noheader", "--array", "--states=all", "--format=%i %T").splitlines()

        return dict(line.split() for line in lines)

    def field(self, job_id: str, name: str) -> str:
        """Returns a field of ``scontrol show job``."""
        match = re.search(rf"\b{name}=(\S*)", self.run("scontrol", "show", "job", job_id))

        assert match is not None

        return match[1]

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        program = shutil.which(command[0], path=PATH)

        assert program is not None

        with self.folder.joinpath(f"{'.'.join(command).replace('.-', '')}.out").open("wb") as fp:
            return subprocess.Popen(
                [program, *command[1:]], env=self.environment, stdout=fp, stderr=fp, start_new_session=True
            )

    def _idle(self) -> set[str]:
        result = subprocess.run(
            ["sinfo", "--noheader", "--states=idle", "--Node", "--format=%N"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

        return set(result.stdout.split())

    def _version(self) -> tuple[int, int]:
        match = re.search(r"(\d+)\.(\d+)", self.run("slurmctld", "-V"))

        assert match is not None

        return int(match[1]), int(match[2])

    def _configuration(self) -> str:
        user, host = getpass.getuser(), socket.gethostname().partition(".")[0]

        # A signal that comes with the preemption, not SIGTERM alone.
        send_user_signal = (
            "PreemptParameters=send_user_signal"
            if self._version() >= (23, 2)
            else "SlurmctldParameters=preempt_send_user_signal"
        )

        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=2 RealMemory=1000"
            for node in NODES
        )

        return f"""\
ClusterName=codec_s2st
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
# A requeued job waits until its old credential is void, by default two minutes.
AuthInfo=cred_expire=5
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool.%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.%n.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=30
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{send_user_signal}
{nodes}
PartitionName=low Nodes={",".join(NODES)} Default=YES PriorityTier=1 GraceTime=120 State=UP
PartitionName=high Nodes={",".join(NODES)} PriorityTier=10 PreemptMode=OFF State=UP
"""


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds

    while not condition():
        assert time.monotonic() < deadline, f"waited for {seconds} seconds in vain"

        time.sleep(0.2)


def descendants(pids: set[int]) -> list[int]:
    """Returns the processes that were started by ``pids``, and by these, and so on."""
    parents = {pid: parent for pid in _processes() if (parent := _parent(pid)) is not None}

    output: list[int] = []

    level = set(pids)

    while level:
        level = {pid for pid, parent in parents.items() if parent in level and pid not in output}

        output += level

    return output


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _parent(pid: int) -> int | None:
    try:
        # The name in brackets may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return None


def _has_open(pid: int, file: Path) -> bool:
    try:
        return any(os.readlink(link) == str(file) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
