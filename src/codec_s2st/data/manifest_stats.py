"""What a manifest holds: rows, hours and speakers by split and language, and how long its recordings are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from codec_s2st.data.files import atomic_path
from codec_s2st.data.manifest import SIDES
from codec_s2st.data.manifest_scan import scan_manifest
from codec_s2st.errors import UserInputError

BIN_SECONDS: Final = 0.5
"""The width of a bar of the histogram."""

MAX_BINS: Final = 120
"""The last bar holds what is longer than a minute."""

NUM_SPEAKERS: Final = 10

_PART_KEYS: Final = ["split", "side", "lang"]

_SPEAKER_KEYS: Final = [*_PART_KEYS, "speaker"]

_BIN_KEYS: Final = [*_PART_KEYS, "bin"]

_COLUMNS: Final = [
    "split",
    *(f"{side}_{field}" for side in SIDES for field in ("audio", "text", "lang", "speaker", "seconds")),
]


@dataclass(frozen=True, kw_only=True)
class PartStats:
    """One side, split and language."""

    split: str
    side: str
    lang: str
    num_spoken: int
    num_written: int
    num_unmeasured: int
    """Recordings without a duration, which the hours leave out."""
    num_speakers: int
    hours: float
    min_seconds: float | None
    median_seconds: float | None
    max_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class ManifestStats:
    path: str
    num_rows: int
    parts: list[PartStats]

    speakers: dict[str, float]
    """Hours of those who speak most."""

    histogram: dict[str, list[int]]
    """Recordings by duration, in bars of :data:`BIN_SECONDS`, for each side and language."""


def compute_stats(path: Path) -> ManifestStats:
    """Counts what the manifest at ``path`` holds, a piece at a time.

    :raises UserInputError: see :func:`scan_manifest`.
    """
    num_rows = 0

    by_speaker, bins = _Sums(_SPEAKER_KEYS), _Sums(_BIN_KEYS)

    for frame in scan_manifest(path, _COLUMNS):
        num_rows += len(frame)

        sides = pl.concat([_select_side(frame, side) for side in SIDES]).filter(pl.col("audio") | pl.col("text"))

        seconds = pl.col("seconds").filter(pl.col("audio"))

        by_speaker.add(
            sides.group_by(_SPEAKER_KEYS).agg(
                pl.col("audio").sum().alias("num_spoken"),
                pl.col("text").sum().alias("num_written"),
                (pl.col("audio") & pl.col("seconds").is_null()).sum().alias("num_unmeasured"),
                (seconds.sum() / 3600).alias("hours"),
                seconds.min().alias("min_seconds"),
                seconds.max().alias("max_seconds"),
            )
        )

        bin_ = (pl.col("seconds") / BIN_SECONDS).floor().clip(0, MAX_BINS).cast(pl.Int64).alias("bin")

        spoken = sides.filter(pl.col("audio") & pl.col("seconds").is_not_null())

        bins.add(spoken.with_columns(bin_).group_by(_BIN_KEYS).agg(pl.len().cast(pl.Int64).alias("count")))

    if num_rows == 0:
        raise UserInputError(f"manifest {path} holds no rows")

    binned = bins.total().sort(_BIN_KEYS)

    counted = by_speaker.total()

    is_speaker = pl.col("speaker").is_not_null()

    parts = _sum_up(counted.with_columns(is_speaker.cast(pl.Int64).alias("num_speakers")).drop("speaker"), _PART_KEYS)

    most = _sum_up(counted.filter(is_speaker).select("speaker", "hours"), ["speaker"])

    most = most.sort(["hours", "speaker"], descending=[True, False]).head(NUM_SPEAKERS)

    return ManifestStats(
        path=str(path),
        num_rows=num_rows,
        parts=[
            PartStats(median_seconds=_median(binned.filter(**{key: row[key] for key in _PART_KEYS}), row), **row)
            for row in parts.sort(_PART_KEYS).iter_rows(named=True)
        ],
        speakers=dict(most.iter_rows()),
        histogram={
            f"{side} {lang}": _bars(group) for (side, lang), group in sorted(binned.group_by("side", "lang"))
        },
    )  # fmt: skip


class _Sums:
    """Adds up tables of groups, of which there are far fewer than rows."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys
        self._parts: list[pl.DataFrame] = []

    def add(self, part: pl.DataFrame) -> None:
        self._parts.append(part)

        if len(self._parts) == 32:
            self._parts = [self.total()]

    def total(self) -> pl.DataFrame:
        return _sum_up(pl.concat(self._parts), self._keys)


def _sum_up(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    values = [name for name in frame.columns if name not in keys]

    aggregates = {"min_seconds": pl.Expr.min, "max_seconds": pl.Expr.max}

    return frame.group_by(keys).agg(aggregates.get(name, pl.Expr.sum)(pl.col(name)) for name in values)


def _select_side(frame: pl.DataFrame, side: str) -> pl.DataFrame:
    return frame.select(
        "split",
        pl.lit(side).alias("side"),
        pl.col(f"{side}_lang").fill_null("-").alias("lang"),
        pl.col(f"{side}_audio").is_not_null().alias("audio"),
        pl.col(f"{side}_text").is_not_null().alias("text"),
        pl.col(f"{side}_speaker").alias("speaker"),
        pl.col(f"{side}_seconds").alias("seconds"),
    )


def _median(bins: pl.DataFrame, part: Mapping[str, Any]) -> float | None:
    """Returns the middle of the bar that the median falls into, or of what the recordings of ``part`` fill of it: an
    exact one would hold all durations in memory."""
    total, seen = int(bins["count"].sum()), 0

    for bin_, count in bins.sort("bin").select("bin", "count").iter_rows():
        seen += count

        if 2 * seen >= total:
            begin, end = max(bin_ * BIN_SECONDS, part["min_seconds"]), (bin_ + 1) * BIN_SECONDS

            # The last bar has no end of its own.
            return float(begin + (part["max_seconds"] if bin_ == MAX_BINS else min(end, part["max_seconds"]))) / 2

    return None


def _bars(bins: pl.DataFrame) -> list[int]:
    bars = [0] * (MAX_BINS + 1)

    for bin_, count in bins.select("bin", "count").iter_rows():
        bars[bin_] += count

    return bars


def format_stats(stats: ManifestStats) -> str:
    lines = [
        f"{stats.path}: {stats.num_rows:,} rows",
        "",
        f"{'split':20} {'side':8} {'lang':5} {'spoken':>12} {'written':>12} {'speakers':>9} {'hours':>11}  seconds",
    ]

    for part in stats.parts:
        lengths = (part.min_seconds, part.median_seconds, part.max_seconds)

        seconds = "" if None in lengths else "{:.1f} / {:.1f} / {:.1f}".format(*lengths)

        lines.append(
            f"{part.split:20} {part.side:8} {part.lang:5} {part.num_spoken:12,} {part.num_written:12,} "
            f"{part.num_speakers:9,} {part.hours:11,.2f}  {seconds}".rstrip()
        )

    lines.append(f"{'':83}shortest / median (within {BIN_SECONDS} s) / longest")

    num_unmeasured = sum(part.num_unmeasured for part in stats.parts)

    if num_unmeasured:
        lines += ["", f"{num_unmeasured:,} recordings have no duration in the manifest, and no hours here"]

    if stats.speakers:
        lines += ["", "who speaks most, in hours:"]

        lines += [f"  {hours:11,.2f}  {speaker}" for speaker, hours in stats.speakers.items()]

    return "\n".join(lines)


def draw_stats(stats: ManifestStats, path: Path) -> None:
    """Writes a picture: a histogram of durations for each side and language."""
    from matplotlib.figure import Figure

    names = list(stats.histogram) or ["no recordings"]

    figure = Figure(figsize=(8, 0.6 + 2.2 * len(names)), layout="constrained")

    for name, axes in zip(names, figure.subplots(len(names), 1, squeeze=False)[:, 0], strict=True):
        bars = stats.histogram.get(name, [])

        axes.bar([BIN_SECONDS * (i + 0.5) for i in range(len(bars))], bars, width=BIN_SECONDS, color="#0072b2")

        last = max((i for i, count in enumerate(bars) if count), default=1)

        axes.set_xlim(0, BIN_SECONDS * (last + 2))
        axes.set_title(f"{name}: {sum(bars):,} recordings", loc="left", fontsize=9)
        axes.set_xlabel("seconds", fontsize=8)

    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix.removeprefix("."))
