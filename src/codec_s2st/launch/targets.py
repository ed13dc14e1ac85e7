"""From what a user names, a run's folder, a pipeline's or a job's id, to the records of launches."""

from __future__ import annotations

from pathlib import Path

from codec_s2st.errors import UserInputError
from codec_s2st.launch.record import LaunchInfo, Record, launches_dir, read_records, write_whole
from codec_s2st.share import cache_dir

Launched = tuple[Record, LaunchInfo]


def find_launches(target: str) -> list[Launched]:
    """Returns the last launch of a run, or of each step of a pipeline.

    :param target: a folder, or the id of a job of SLURM that this user has launched.
    :raises UserInputError: nothing was launched there.
    """
    folder = _folder_of_job(target) if target.isdigit() and not Path(target).exists() else Path(target)

    folders = [folder, *step_dirs(folder)]

    found = [launched for folder in folders if (launched := last_launch(launches_dir(folder))) is not None]

    if not found:
        what = "holds no launch" if folder.is_dir() else "does not exist"

        raise UserInputError(f"'{folder}' {what}", hint="give the folder OUT of codec-s2st launch, or a job's id")

    return found


def step_dirs(folder: Path) -> list[Path]:
    """Returns the folders of a pipeline's steps, in the order of their last launches."""
    return sorted(folder.glob("steps/*"), key=lambda path: (path.stat().st_mtime, path.name))


def last_launch(parent: Path) -> Launched | None:
    """Returns the last launch below ``parent``; ``None`` if there is none.

    One that was not yet submitted when its process died has no ``launch.json``, and counts as none.
    """
    for record in reversed(read_records(parent)):
        if record.is_complete:
            return record, record.read_info()

    return None


def remember_job(job_id: str, folder: Path) -> None:
    """Keeps in the cache which folder a job works for."""
    file = _job_file(job_id)

    file.parent.mkdir(parents=True, exist_ok=True)

    write_whole(file, f"{folder}\n")


def _folder_of_job(job_id: str) -> Path:
    try:
        return Path(_job_file(job_id).read_text(encoding="utf-8").rstrip("\n"))
    except OSError:
        raise UserInputError(
            f"job {job_id} was not launched by this user with codec-s2st launch", hint="name the folder of its run"
        ) from None


def _job_file(job_id: str) -> Path:
    return cache_dir() / "launch" / job_id
