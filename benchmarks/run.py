"""Runs all benchmarks, one script after the other, each in a process of its own, and writes what they measured.

``make bench`` prints one table and writes ``benchmarks/results/DATE.json``. Where others work on the machine, nothing
is measured, and a line says so; ``--force`` measures all the same, and marks every row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from busy import MAX_OTHERS, cpu_times, processors_of_others, watch_others, why_busy
from rows import Row, failed_row, print_rows, row_from_json

FOLDER = Path(__file__).resolve().parent

PACKAGES = ("codec_s2st", "encodec", "fairseq2", "torch", "torchaudio", "transformers")


@dataclass(frozen=True)
class Script:
    """A file of benchmarks."""

    file: str

    parts: tuple[str, ...]
    """What its ``--only`` takes."""

    arguments: tuple[str, ...] = ()
    """Sizes with which all scripts together take a quarter of an hour on two cores."""


SCRIPTS = (
    Script("training.py", ("P1", "P2", "P3", "P4")),
    Script("decoding.py", ("P5", "P6", "P7", "P8", "P9")),
    Script("tokenization.py", ("memory", "P10"), ("--seconds", "600", "--corpus-seconds", "40", "--rounds", "3")),
    Script("loader.py", ("opening", "P11"), ("--shard-rows", "200000", "--batches", "100", "--rounds", "3")),
    Script("data.py", ("manifests", "P12", "P13"), ("--manifest-rows", "1000000")),
    Script("checkpoint.py", ("P14",), ("--rounds", "7")),
    Script("load_model.py", ("load",), ("--rounds", "3")),
    Script("plan_check.py", ("plan",), ("--rounds", "3")),
)

GPU_SCRIPTS = (Script("gpu.py", ("G1", "G2")),)


def run_script(script: Script, only: Sequence[str], out: Path, timeout: float) -> list[Row]:
    """Returns the rows of a script; whatever becomes of it is a row too."""
    file = out / f"{Path(script.file).stem}.json"

    command = [sys.executable, str(FOLDER / script.file), "--json", str(file), *script.arguments]

    if only:
        command += ["--only", *only]

    error = None

    try:
        # The tables of the scripts go to where errors go: one table is left of all in the end.
        run = subprocess.run(command, stdout=2, timeout=timeout, env={"OMP_NUM_THREADS": "1", **os.environ})
    except subprocess.TimeoutExpired:
        error = f"{script.file} was ended after {timeout:g} s"
    else:
        if run.returncode != 0:
            error = f"{script.file} ended with {run.returncode}"

    rows = read_rows(file)

    if error is not None and not any(row.error for row in rows):
        rows.append(failed_row(Path(script.file).stem, error))

    if not rows:
        rows.append(failed_row(Path(script.file).stem, f"{script.file} wrote no rows"))

    return rows


def read_rows(file: Path) -> list[Row]:
    if not file.is_file():
        return []

    return [row_from_json(fields) for fields in json.loads(file.read_text(encoding="utf-8"))]


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}

    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", "-C", str(FOLDER), *arguments], capture_output=True, text=True)

        return run.stdout.strip() if run.returncode == 0 else "unknown"

    return found | {"commit": git("rev-parse", "HEAD"), "changed_files": git("diff", "--name-only", "HEAD", "--", "..")}


def describe_machine() -> dict[str, Any]:
    """In a process of its own: memory of this one would count as that of the scripts."""
    code = "import json, machine; print(json.dumps(machine.describe_machine()))"

    environment = {"OMP_NUM_THREADS": "1", **os.environ}

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER, env=environment, capture_output=True, text=True, check=True
    )

    machine: dict[str, Any] = json.loads(run.stdout)

    return machine


def has_gpu() -> bool:
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"

    return subprocess.run([sys.executable, "-c", code]).returncode == 0


def run_scripts(
    scripts: Sequence[Script], only: Sequence[str], timeout: float, *, forced_because: str | None
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Returns the rows of all scripts, and what others did on the machine while each of them ran.

    :param forced_because: Why the machine was busy before the first part, if it was.
    """
    rows, loads = [], []

    with tempfile.TemporaryDirectory(prefix="codec_s2st-bench-") as folder:
        for script in scripts:
            wanted = [part for part in script.parts if part in only]

            if only and not wanted:
                continue

            before, begin = os.getloadavg()[0], cpu_times()

            measured = run_script(script, wanted, Path(folder), timeout)

            end = cpu_times()

            others = processors_of_others(begin, end)

            busy = forced_because is not None or others > MAX_OTHERS

            rows += [replace(row, busy=busy) for row in measured]

            loads.append(
                {
                    "script": script.file,
                    "seconds": round(end.clock - begin.clock, 1),
                    "load_before": before,
                    "load_after": os.getloadavg()[0],
                    "processors_of_others": round(others, 3),
                }
            )

    return rows, loads


def main(argv: Sequence[str] | None = None, scripts: Sequence[Script] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    parts = [part for script in scripts or (*SCRIPTS, *GPU_SCRIPTS) for part in script.parts]

    parser.add_argument("--only", nargs="+", choices=parts, default=[], metavar="ID", help=", ".join(parts))
    parser.add_argument("--gpu", action="store_true", help="the benchmarks of a GPU, instead of those of processors")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine; every row is marked")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds after which a script is ended")
    parser.add_argument("--watch", type=float, default=5.0, help="for so many seconds others are watched before")
    parser.add_argument("--results", type=Path, default=FOLDER / "results", help="the folder of the results")

    args = parser.parse_args(argv)

    if args.gpu and not has_gpu():
        print("bench: this needs an NVIDIA GPU, and torch finds none on this machine", file=sys.stderr)

        return 1

    others, load = watch_others(args.watch), os.getloadavg()[0]

    busy = why_busy(others, load, os.cpu_count() or 1)

    if busy is not None and not args.force:
        print(f"bench: the machine is busy: {busy}; nothing was measured (--force: all the same)", file=sys.stderr)

        return 1

    start, started_at = time.perf_counter(), datetime.now().astimezone()

    machine = describe_machine()

    chosen = scripts or (GPU_SCRIPTS if args.gpu else SCRIPTS)

    rows, loads = run_scripts(chosen, args.only, args.timeout, forced_because=busy)

    results = {
        "started_at": started_at.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start, 1),
        "machine": machine,
        "versions": versions(),
        "load": {"before": load, "processors_of_others_before": round(others, 3), "busy": busy, "scripts": loads},
        "metrics": [row.to_json() for row in rows],
    }

    path = args.results / f"{started_at:%Y-%m-%d-%H%M%S}.json"

    path.parent.mkdir(parents=True, exist_ok=True)

    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")

    print_rows(rows)

    with_goal = [row for row in rows if row.met is not None]

    print(f"{sum(row.met is True for row in with_goal)} of {len(with_goal)} goals are met; {path}")

    return 1 if any(row.error for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
