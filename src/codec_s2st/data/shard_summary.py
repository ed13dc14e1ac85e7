"""What token shards hold, counted one row group at a time. Legend: T codec frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codec_s2st.data.shard_format import SIDES, ShardRow
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shard_rows import SideLabels
from codec_s2st.data.shards import find_shards, list_shards
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint

_NUM_THREADS: Final = 8


@dataclass(frozen=True)
class SideCount:
    """What the rows of one split hold of one language on one side."""

    split: str
    side: str
    lang: str
    spoken: int
    """The rows with codes."""

    written: int
    """The rows with a text."""

    speakers: int
    hours: float


@dataclass(frozen=True, kw_only=True)
class ShardSummary:
    path: str
    num_shards: int
    num_rows: int
    num_bytes: int
    codec: CodecFingerprint | None
    made_by: dict[str, object]
    """The provenance of the first shard, less what differs from shard to shard."""

    num_quarantined: int
    reasons: dict[str, int]
    """Why rows were left out, the most frequent reason first."""

    counts: list[SideCount]


@dataclass
class _Tally:
    spoken: int = 0
    written: int = 0
    frames: int = 0
    speakers: set[str] = field(default_factory=set)


def summarise(path: Path, files: Sequence[Path] | None = None) -> ShardSummary:
    """Counts what a shard, or a folder of shards, holds.

    :param files: The shards of ``path``; by default they are found.

    :raises UserInputError: the folder is not complete, or a shard is damaged.
    """
    files = find_shards(path) if files is None else files

    tallies: dict[tuple[str, str, str], _Tally] = {}

    reasons: Counter[str] = Counter()

    codec: CodecFingerprint | None = None

    made_by: dict[str, object] | None = None

    num_rows = num_quarantined = 0

    for file in files:
        with closing(ShardReader(file)) as reader:
            codec = codec or reader.metadata.fingerprint

            provenance = {k: v for k, v in reader.metadata.provenance.items() if k not in ("shard", "num_rows")}

            made_by = provenance if made_by is None else made_by

            num_quarantined += len(reader.metadata.quarantined)

            reasons.update(item.reason for item in reader.metadata.quarantined)

            for idx in range(reader.num_row_groups):
                labels, outline = reader.read_labels(idx), reader.read_outline(idx)

                num_rows += len(labels)

                for name in SIDES:
                    _add(tallies, name, labels.splits, getattr(labels, name), getattr(outline, name).num_frames)

    return ShardSummary(
        path=str(path),
        num_shards=len(files),
        num_rows=num_rows,
        num_bytes=sum(file.stat().st_size for file in files),
        codec=codec,
        made_by=made_by or {},
        num_quarantined=num_quarantined,
        reasons=dict(reasons.most_common()),
        counts=[
            SideCount(*key, item.spoken, item.written, len(item.speakers), _hours(item.frames, codec))
            for key, item in sorted(tallies.items())
        ],
    )


def _add(
    tallies: dict[tuple[str, str, str], _Tally],
    name: str,
    splits: Sequence[str],
    side: SideLabels,
    num_frames: NDArray[np.int32],
) -> None:
    """Counts one side of the rows of a row group."""
    for split, frames, text, lang, speaker in zip(
        splits, num_frames.tolist(), side.texts, side.langs, side.speakers, strict=True
    ):
        if frames == 0 and text is None:
            continue

        tally = tallies.setdefault((split, name, lang or ""), _Tally())

        tally.spoken += frames > 0
        tally.written += text is not None
        tally.frames += frames

        if speaker is not None:
            tally.speakers.add(speaker)


def _hours(num_frames: int, codec: CodecFingerprint | None) -> float:
    return 0.0 if codec is None else num_frames / codec.spec.frame_rate / 3600


def find_faults(path: Path) -> Iterator[tuple[Path, UserInputError | None]]:
    """Reads the shards of ``path``, every page of them, and yields each with the first thing that is wrong with it.

    :raises UserInputError: the folder is not complete, or holds no shards.
    """
    files = list_shards(path)

    with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="verify-shards") as pool:
        yield from zip(files, pool.map(_find_fault, files), strict=True)


def _find_fault(file: Path) -> UserInputError | None:
    try:
        with closing(ShardReader(file)) as reader:
            for _ in reader.row_groups():
                pass
    except UserInputError as ex:
        return ex

    return None


def find_row(path: Path, id_: str) -> tuple[ShardRow, CodecFingerprint | None]:
    """Returns the row of an id, and the codec of its codes.

    :raises UserInputError: there is no such row.
    """
    files = find_shards(path)

    for file in files:
        with closing(ShardReader(file)) as reader:
            for idx in range(reader.num_row_groups):
                labels = reader.read_labels(idx)

                if id_ in labels.ids:
                    place = labels.ids.index(id_)

                    codes = (reader.read_codes(idx, side).of(place) for side in SIDES)

                    return labels.row(place, *codes), reader.metadata.fingerprint

            for item in reader.metadata.quarantined:
                if item.id == id_:
                    raise UserInputError(f"row '{id_}' was left out of {file}: {item.reason}")

    raise UserInputError(f"the {len(files)} shards of {path} hold no row '{id_}'", hint="ids are those of the manifest")
