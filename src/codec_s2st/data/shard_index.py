"""What is kept in memory of every row of some shards. Legend: N row, G row group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from fairseq2.logging import log
from numpy.typing import NDArray

from codec_s2st.data.parquet import DamagedFileError
from codec_s2st.data.shard_format import SIDES
from codec_s2st.data.shard_reader import Outline, ShardReader, SideOutline
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint

TOKENIZE_AGAIN: Final = "run the same codec-s2st tokenize once more to complete it"

_NUM_THREADS: Final = 8
"""Opening a file on a shared file system is waiting."""

_LABEL_BYTES: Final = 256
"""About what a row takes beside its codes."""


@dataclass(frozen=True)
class ShardFile:
    path: Path

    corpus: str
    """The name of its folder."""

    fingerprint: CodecFingerprint | None
    """The codec of its codes."""

    @property
    def frame_bytes(self) -> int:
        """What a frame takes in memory."""
        if self.fingerprint is None:
            return 0

        sizes = self.fingerprint.codebook_sizes

        return len(sizes) * (2 if max(sizes) <= 1 << 15 else 4)


@dataclass(frozen=True)
class RowIndex:
    """The rows of all shards, one after the other: some 12 bytes a row."""

    files: Sequence[ShardFile]

    group_files: NDArray[np.int32]
    """The place in ``files`` of the shard of each row group. *Shape:* [G]."""

    group_numbers: NDArray[np.int32]
    """The number of each row group in its shard. *Shape:* [G]."""

    starts: NDArray[np.int64]
    """Row group g holds the rows from ``starts[g]`` to ``starts[g + 1]``. *Shape:* [G + 1]."""

    group_bytes: NDArray[np.int64]
    """About what each row group takes in memory. *Shape:* [G]."""

    split_names: Sequence[str]

    splits: NDArray[np.uint16]
    """The place in ``split_names`` of each row's split. *Shape:* [N]."""

    sides: Mapping[str, SideOutline]
    """*Shape:* [N] each."""

    def __len__(self) -> int:
        return int(self.starts[-1])

    def group_of(self, idx: int) -> int:
        return int(np.searchsorted(self.starts, idx, side="right")) - 1


@dataclass(frozen=True)
class _Opened:
    file: ShardFile

    manifests: set[object]
    """The hash of the manifest that it was made from; empty if it could not be opened."""

    outlines: dict[int, Outline]
    """By the number of the row group."""

    damage: list[DamagedFileError]


def open_index(folders: Mapping[Path, Sequence[Path]], *, verify: bool, skip_damaged: bool) -> RowIndex:
    """Reads what is to be known of every row.

    :param folders: the shards of each folder, in their order.
    :param verify: whether all pages are read, and checked.
    :param skip_damaged: whether damaged row groups are left out, and logged, instead of being refused.
    :raises UserInputError: a shard is missing or no shard, or those of a folder are of several manifests.
    :raises DamagedFileError: a shard is damaged; file, row group and utterance are named.
    """
    corpora = name_corpora(folders)

    names = [(path, corpora[folder]) for folder, paths in folders.items() for path in paths]

    with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="open-shards") as pool:
        futures = [pool.submit(_open, path, corpus, verify, skip_damaged) for path, corpus in names]

        try:
            opened = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    damage = [ex for item in opened for ex in item.damage]

    if damage:
        log.warning("{} row groups or shards are damaged and left out, the first one: {}.", len(damage), damage[0].message)  # fmt: skip  # noqa: E501

    begin = 0

    for folder, paths in folders.items():
        check_one_manifest(folder, set().union(*(item.manifests for item in opened[begin : begin + len(paths)])))

        begin += len(paths)

    return _join(opened)


def check_one_manifest(folder: Path, manifests: Set[object]) -> None:
    """
    :param manifests: The hashes of the manifests that its shards were made from.

    :raises UserInputError: there are several.
    """
    if len(manifests) > 1:
        raise UserInputError(
            f"folder {folder} holds shards of {len(manifests)} different manifests", hint=TOKENIZE_AGAIN
        )


def name_corpora(folders: Iterable[Path]) -> dict[Path, str]:
    """Returns the name of the corpus that lies in each: the folder's, or ``cvss/shards`` where another is ``shards``,
    too. A shard belongs to the corpus of its folder."""
    homes = {folder: path if (path := folder.resolve()).is_dir() else path.parent for folder in folders}

    output: dict[Path, str] = {}

    for folder, home in homes.items():
        others = set(homes.values()) - {home}

        depth = 1

        while any(other.parts[-depth:] == home.parts[-depth:] for other in others):
            depth += 1

        output[folder] = "/".join(home.parts[-depth:])

    return output


def _open(path: Path, corpus: str, verify: bool, skip_damaged: bool) -> _Opened:
    outlines: dict[int, Outline] = {}

    damage: list[DamagedFileError] = []

    try:
        reader = ShardReader(path)
    except DamagedFileError as ex:
        if not skip_damaged:
            raise

        return _Opened(ShardFile(path, corpus, None), set(), outlines, [ex])

    with closing(reader):
        for idx in range(reader.num_row_groups):
            try:
                if verify:
                    reader.read_labels(idx)

                    for side in SIDES:
                        reader.read_codes(idx, side)

                outlines[idx] = reader.read_outline(idx)
            except DamagedFileError as ex:
                if not skip_damaged:
                    raise

                damage.append(ex)

        metadata = reader.metadata

    file = ShardFile(path, corpus, metadata.fingerprint)

    return _Opened(file, {metadata.provenance.get("manifest_sha256")}, outlines, damage)


def _join(opened: Sequence[_Opened]) -> RowIndex:
    groups = [(f, idx, outline) for f, item in enumerate(opened) for idx, outline in item.outlines.items()]

    outlines = [outline for _, _, outline in groups]

    split_names = sorted({name for outline in outlines for name in outline.split_names})

    if len(split_names) > 1 << 16:
        raise UserInputError(f"the shards have {len(split_names)} splits, but at most {1 << 16} are possible")

    places = {name: place for place, name in enumerate(split_names)}

    num_bytes = [
        opened[f].file.frame_bytes * sum(int(side.num_frames.sum()) for side in (outline.source, outline.target))
        + _LABEL_BYTES * len(outline)
        for f, _, outline in groups
    ]

    return RowIndex(
        files=[item.file for item in opened],
        group_files=np.array([f for f, _, _ in groups], dtype=np.int32),
        group_numbers=np.array([idx for _, idx, _ in groups], dtype=np.int32),
        starts=np.append(0, np.cumsum([len(outline) for outline in outlines], dtype=np.int64)),
        group_bytes=np.array(num_bytes, dtype=np.int64),
        split_names=split_names,
        splits=_concatenate(
            np.uint16, (np.array([places[name] for name in o.split_names], np.uint16)[o.splits] for o in outlines)
        ),
        sides={side: _join_sides([getattr(outline, side) for outline in outlines]) for side in SIDES},
    )


def _join_sides(sides: Sequence[SideOutline]) -> SideOutline:
    return SideOutline(
        _concatenate(np.int32, (side.num_frames for side in sides)),
        _concatenate(np.bool_, (side.has_text for side in sides)),
        _concatenate(np.bool_, (side.has_alignment for side in sides)),
    )


def _concatenate(dtype: type, arrays: Iterable[Any]) -> Any:
    return np.concatenate([np.empty(0, dtype), *(array.astype(dtype, copy=False) for array in arrays)])
