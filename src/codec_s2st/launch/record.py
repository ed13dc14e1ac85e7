"""What a launch leaves in the folder of its run, ``launch/001``, ``launch/002``, ..: what ran, where, how it ended."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from codec_s2st.errors import CodecS2STError, UserInputError

LOCAL_JOB: Final = "local"

_INFO: Final = "launch.json"

_FAILURE: Final = "failed"


@dataclass(frozen=True, kw_only=True)
class LaunchInfo:
    """What was launched."""

    name: str
    """The command of codec-s2st, or the name of the pipeline's step."""

    command: list[str]
    """What each rank runs."""

    cluster: str

    job_id: str
    """SLURM's; ``local`` on this machine."""

    array: int | None
    """How many elements an array has; ``None`` if it is none."""

    num_tasks: int
    """Ranks, of each element."""

    fingerprint: str
    """Of what ran, for pipelines."""

    launched: str
    """When, as ISO 8601."""

    host: str
    """Where ``codec-s2st launch`` ran."""

    pid: int
    """Its process, which a local run needs to live."""

    pid_start: int
    """When that process started, in the kernel's ticks: ids are given again."""

    preset: dict[str, Any]

    @property
    def elements(self) -> list[int | None]:
        return [None] if self.array is None else list(range(self.array))


class Record:
    """A folder of one launch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def logs(self) -> Path:
        """Holds ``<job>_<rank>_log.out`` and ``.err``, as submitit names them."""
        return self.folder / "logs"

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def submission(self) -> Path:
        """The file that sbatch got."""
        return self.folder / "submission.sh"

    @property
    def is_complete(self) -> bool:
        """Whether it was launched; else the process that made it has died before."""
        return self.folder.joinpath(_INFO).is_file()

    @property
    def cancelled(self) -> Path:
        """Exists once ``launch cancel`` was called."""
        return self.folder / "cancelled"

    def exit_file(self, element: int | None) -> Path:
        """The file that says with which exit code the job, or an element of its array, has ended for good."""
        return self.folder / ("exit" if element is None else f"exit_{element}")

    def log(self, info: LaunchInfo, element: int | None, rank: int, kind: str) -> Path:
        """Returns the log file of a rank; ``kind`` is ``out`` or ``err``."""
        job = info.job_id if element is None else f"{info.job_id}_{element}"

        return self.logs / f"{job}_{rank}_log.{kind}"

    def write_info(self, info: LaunchInfo) -> None:
        write_whole(self.folder / _INFO, json.dumps(asdict(info), indent=1) + "\n")

    def read_info(self) -> LaunchInfo:
        """
        :raises CodecS2STError: it is missing or damaged.
        """
        try:
            return LaunchInfo(**json.loads(self.folder.joinpath(_INFO).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as ex:
            raise CodecS2STError(f"{self.folder / _INFO} cannot be read: {ex}") from ex

    def write_exit(self, element: int | None, code: int) -> None:
        write_whole(self.exit_file(element), f"{code}\n")

    def read_exit(self, element: int | None) -> int | None:
        """Returns the exit code; ``None`` if the job has not ended, or not by itself."""
        try:
            return int(self.exit_file(element).read_text())
        except (OSError, ValueError):
            return None

    def write_failure(self, rank: int, element: int | None) -> None:
        """Notes that a rank has failed, if it is the first one: it is the cause, and the others follow."""
        try:
            with self.folder.joinpath(_FAILURE).open("x") as fp:
                fp.write(str(rank) if element is None else f"{rank} {element}")
        except FileExistsError:
            pass

    def read_failure(self) -> tuple[int, int | None] | None:
        """Returns the rank that failed first and its element of the array; ``None`` if none did."""
        try:
            rank, *element = map(int, self.folder.joinpath(_FAILURE).read_text().split())
        except (OSError, ValueError):
            return None

        return rank, element[0] if element else None

    def is_done(self, info: LaunchInfo) -> bool:
        return all(self.read_exit(element) == 0 for element in info.elements)


def launches_dir(out: Path) -> Path:
    """Returns the folder of the launches of the run in ``out``."""
    return out / "launch"


def new_record(parent: Path, *, dry_run: bool = False) -> Record:
    """Returns the next record below ``parent``, the first one is ``001``; makes its folder unless it is a dry run.

    :raises UserInputError: the folder cannot be made.
    """
    number = max((int(record.folder.name) for record in read_records(parent)), default=0) + 1

    while True:
        record = Record(parent / f"{number:03d}")

        if dry_run:
            return record

        try:
            record.logs.mkdir(parents=True)

            return record
        except FileExistsError as ex:
            # Something that is no folder, or another launch at the same time.
            if not parent.is_dir():
                raise UserInputError(f"{parent} cannot be made: {ex.strerror}") from None

            number += 1
        except OSError as ex:
            raise UserInputError(f"{record.logs} cannot be made: {ex.strerror}") from None


def read_records(parent: Path) -> list[Record]:
    """Returns the records below ``parent``, the oldest first."""
    folders = [path for path in parent.glob("[0-9]*") if path.name.isdigit() and path.is_dir()]

    return [Record(path) for path in sorted(folders, key=lambda path: int(path.name))]


def write_whole(file: Path, text: str) -> None:
    """Writes a file that is there as a whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")

    try:
        with temporary.open("w", encoding="utf-8") as fp:
            fp.write(text)

            fp.flush()

            os.fsync(fp.fileno())

        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def process_start(pid: int) -> int | None:
    """Returns when a process of this machine started, in ticks of the kernel; ``None`` if it is not there."""
    try:
        # The name in brackets may hold anything.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
