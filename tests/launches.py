"""Launches that nothing runs: a SLURM of scripts, and records."""

from __future__ import annotations

from pathlib import Path

from codec_s2st.launch.record import LaunchInfo


def make_info(**changes: object) -> LaunchInfo:
    values: dict[str, object] = {
        "name": "cpt-out",
        "command": ["-m", "codec_s2st"],
        "cluster": "slurm",
        "job_id": "7",
        "array": None,
        "num_tasks": 2,
        "fingerprint": "f",
        "launched": "2026-01-01T00:00:00+00:00",
        "host": "here",
        "pid": 1,
        "pid_start": 2,
        "preset": {"name": "x"},
    }

    return LaunchInfo(**{**values, **changes})  # type: ignore[arg-type]


class FakeSlurm:
    """SLURM's programs as scripts that answer with the content of files and write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

        self.answer("sbatch", "Submitted batch job 7")
        self.answer("srun", "")
        self.answer("squeue", "")
        self.answer("scancel", "")
        self.answer("scontrol", "")

    def answer(self, program: str, stdout: str = "", *, stderr: str = "", code: int = 0) -> None:
        for kind, text in (("out", stdout), ("err", stderr)):
            self._folder.joinpath(f"{program}.{kind}").write_text(text + "\n" if text else "")

        script = self._folder / program

        here = self._folder / program

        script.write_text(
            f'#!/bin/sh\necho "$@" >> {here}.calls\nenv > {here}.env\ncat {here}.out\ncat {here}.err >&2\nexit {code}\n'
        )

        script.chmod(0o755)

    def queue(self, *rows: tuple[str, str, str, str, int, str]) -> None:
        """Lets squeue answer with rows of job id, state, reason, time, restarts and nodes."""
        widths = (40, 20, 50, 20, 10, 200)

        lines = ["".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]

        self.answer("squeue", "\n".join(lines))

    def calls(self, program: str) -> list[str]:
        file = self._folder / f"{program}.calls"

        return file.read_text().splitlines() if file.exists() else []

    def environment(self, program: str) -> dict[str, str]:
        lines = self._folder.joinpath(f"{program}.env").read_text().splitlines()

        return dict(line.split("=", 1) for line in lines if "=" in line)
