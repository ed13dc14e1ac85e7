"""The rows that all benchmarks write, how ways are timed beside each other, and the options that all scripts have.

A script holds its parts by name (``P1``, ``P2``), each a function that returns rows (``P1a``, ``P1b``), and ends with::

    parser = make_parser(__doc__, PARTS)

    args = parser.parse_args(argv)

    return run_parts({"P1": lambda: measure_packed(args.rounds)}, args)
"""

from __future__ import annotations

import argparse
import gc
import json
import operator
import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

_GOAL: Final = re.compile(r"(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)")

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What a row is compared with, and its figure in the row's unit."""

    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What the machine allows at best, in the row's unit, and how that was measured or computed."""

    value: float
    how: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number."""

    id: str

    what: str

    unit: str
    """Of ``value``, of the peer's figure and of the limit."""

    value: float | None
    """``None`` where it could not be measured; ``error`` says why."""

    goal: str | None = None
    """``<= 0.6`` or ``>= 5``; holds for ``ratio`` where there is one, else for ``value``."""

    peer: Peer | None = None

    ratio: float | None = None
    """How many times better than the peer, or how much of the peer's; ``what`` says which."""

    limit: Limit | None = None

    equal: str = ""
    """What is the same on both sides."""

    not_equal: str = ""
    """What is not, and so must be known to judge the ratio."""

    reason: str = ""
    """Why the goal is missed, from a profile; written only where it is."""

    note: str = ""
    """Other figures of the same measurement."""

    error: str = ""

    busy: bool = False
    """Others worked on the machine: the figure is no score."""

    def __post_init__(self) -> None:
        if self.goal is not None and _GOAL.fullmatch(self.goal) is None:
            raise ValueError(f"the goal of {self.id} must be a comparison such as '>= 5', but is {self.goal!r}")

        if (self.value is None) != bool(self.error):
            raise ValueError(f"{self.id} must have either a value or an error")

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; ``None`` without a goal."""
        if self.goal is None:
            return None

        judged = self.value if self.ratio is None else self.ratio

        if self.error or judged is None:
            return False

        match = _GOAL.fullmatch(self.goal)

        assert match is not None

        return bool(_COMPARISONS[match[1]](judged, float(match[2])))

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)

        fields["met"] = self.met

        fields["reason"] = (self.reason or "not looked into") if self.met is False and not self.error else ""

        return fields


def row_from_json(fields: Mapping[str, Any]) -> Row:
    """The inverse of :meth:`Row.to_json`; ``met`` is computed anew."""
    known = {name: value for name, value in fields.items() if name != "met"}

    for name, kind in (("peer", Peer), ("limit", Limit)):
        if known.get(name) is not None:
            known[name] = kind(**known[name])

    return Row(**known)


def failed_row(id_: str, error: str) -> Row:
    """A part that could not be measured, which is never a goal that is met."""
    return Row(id=id_, what="could not be measured", unit="", value=None, goal="> 0", error=error)


@dataclass(frozen=True, kw_only=True)
class Times:
    """The seconds of one way, one of each round."""

    wall: tuple[float, ...]

    cpu: tuple[float, ...]
    """Of this process, in all threads."""

    def least(self, clock: str = "cpu") -> float:
        return min(self._of(clock))

    def middle(self, clock: str = "cpu") -> float:
        return median(self._of(clock))

    def speedup_over(self, other: Times, clock: str = "cpu") -> float:
        """How many times as long ``other`` takes: the median of the rounds' ratios, which ran side by side."""
        return median(b / a for a, b in zip(self._of(clock), other._of(clock), strict=True))

    def _of(self, clock: str) -> tuple[float, ...]:
        return {"wall": self.wall, "cpu": self.cpu}[clock]


def interleave(ways: Mapping[str, Callable[[], object]], *, rounds: int, warmups: int = 1) -> dict[str, Times]:
    """Runs all ways in turn, so that whatever else the machine does meets all of them; neither is always the first."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}

    names = list(ways)

    for round_ in range(-warmups, rounds):
        for name in names if round_ % 2 == 0 else reversed(names):
            gc.collect()

            wall, cpu = time.perf_counter(), time.process_time()

            ways[name]()

            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu

            if round_ >= 0:
                seconds[name].append((wall, cpu))

    return {
        name: Times(wall=tuple(w for w, _ in all_), cpu=tuple(c for _, c in all_)) for name, all_ in seconds.items()
    }


def make_parser(doc: str | None, parts: Iterable[str], *, rounds: int = 5) -> argparse.ArgumentParser:
    """Makes the options that all scripts have; a script may add its own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)

    parser.add_argument("--only", nargs="+", choices=list(parts), metavar="ID", help="these parts: " + ", ".join(parts))
    parser.add_argument("--rounds", type=int, default=rounds, help=f"how often each way is measured ({rounds})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file too")

    return parser


def run_parts(parts: Mapping[str, Callable[[], Iterable[Row]]], args: argparse.Namespace) -> int:
    """Measures the wanted parts, prints their rows and writes them; one that fails is a row, and the others go on.

    :returns: 1 where a part failed, else 0. A goal that is missed is a result, and no failure.
    """
    rows: list[Row] = []

    for name, measure in parts.items():
        if args.only and name not in args.only:
            continue

        try:
            rows += measure()
        except Exception as ex:
            traceback.print_exc()

            rows.append(failed_row(name, f"{type(ex).__name__}: {ex}"))

        # What is measured stays, should the next part end the process.
        if args.json:
            write_rows(rows, args.json)

    print_rows(rows)

    return 1 if any(row.error for row in rows) else 0


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    for row in [header, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    print()


def format_number(value: float | None) -> str:
    """Three significant digits, or all digits before the point."""
    if value is None:
        return "-"

    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:#.3g}".rstrip(".")


def print_rows(rows: Sequence[Row]) -> None:
    lines = []

    for row in rows:
        peer = "-" if row.peer is None else f"{format_number(row.peer.value)} {row.peer.name}"

        limit = "-" if row.limit is None else format_number(row.limit.value)

        met = {None: "", True: "yes", False: "no"}[row.met] + (" (busy)" if row.busy else "")

        value = "failed" if row.error else f"{format_number(row.value)} {row.unit}".strip()

        ratio = format_number(row.ratio)

        lines.append([row.id, value, peer, ratio, row.goal or "-", limit, met, row.error or row.what])

    print_table(["id", "value", "peer", "ratio", "goal", "limit", "met", "what"], lines)

    for row in rows:
        if row.met is False and not row.error:
            print(f"{row.id} is missed: {row.reason or 'not looked into'}")


def write_rows(rows: Sequence[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    # Other kinds of numbers than Python's become floats.
    text = json.dumps([row.to_json() for row in rows], indent=2, default=float)

    path.write_text(f"{text}\n", encoding="utf-8")
