"""Token shards as one indexed sequence of rows, for training. Legend: T codec frame, Q stream, N row, G row group."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from codec_s2st.data.order import Layout
from codec_s2st.data.parquet import DamagedFileError
from codec_s2st.data.row_cache import RowCache
from codec_s2st.data.shard_format import SIDES, Codes, parse_shard_name, shard_name
from codec_s2st.data.shard_format import ShardRow as ShardRow
from codec_s2st.data.shard_format import Side as Side
from codec_s2st.data.shard_index import TOKENIZE_AGAIN, RowIndex, check_one_manifest, open_index
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shard_rows import RowLabels, SideCodes
from codec_s2st.data.shard_writer import write_shard as write_shard
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint

DEFAULT_HELD_BYTES: Final = 2 << 30

_NUM_OPEN_FILES: Final = 64


@final
class ShardSet:
    """The rows of some shards, in the order of the shards.

    An index of all rows stays in memory. Texts and codes are read when a row is asked for, a row group at a time, and
    held while there is room. Codes are views on what is held, not copies.
    """

    def __init__(self, index: RowIndex, fingerprint: CodecFingerprint | None, held: RowCache) -> None:
        """Not for users: see :meth:`open`."""
        self._index = index
        self._held = held

        self.fingerprint = fingerprint
        """The codec of the codes; ``None`` if no shard holds any and none was asked for."""

        self._num_streams = 0 if fingerprint is None else len(fingerprint.codebook_sizes)

        self._readers: OrderedDict[int, ShardReader] = OrderedDict()

        longest = max(int(side.num_frames.max(initial=0)) for side in index.sides.values())

        # What stands for codes while only their shape matters.
        self._zeros: Codes = np.zeros((longest, self._num_streams), dtype=np.int16)

        self._zeros.flags.writeable = False

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        *,
        codec: CodecFingerprint | None,
        verify: bool = True,
        skip_damaged: bool = False,
    ) -> ShardSet:
        """Opens token shards.

        :param paths: shards, and folders of shards; a folder must hold all shards of one run of ``tokenize``.
        :param codec: the codec that the reader knows. The codes of each shard must be its own, or hold further code
            books, which are left out then. With ``None``, all codes must be of one codec.
        :param verify: whether everything is read and checked now; if not, damage is found when a row is asked for.
        :param skip_damaged: whether row groups and shards that are damaged are left out, and logged, not refused.
        :raises UserInputError: a shard is missing, damaged or of another codec; file, row group and utterance are
            named.
        """
        folders = {Path(path): list_shards(Path(path)) for path in paths}

        if not folders:
            raise UserInputError("no token shards were given")

        _check_each_once(folders)

        index = open_index(folders, verify=verify, skip_damaged=skip_damaged)

        found: CodecFingerprint | None = None

        for file in index.files:
            if file.fingerprint is None:
                continue

            if codec is not None:
                codec.check_reads(file.fingerprint, where=str(file.path))
            elif found is not None and found.digest != file.fingerprint.digest:
                raise UserInputError(
                    f"{file.path} holds codes of {file.fingerprint.describe()}, but the shards before it hold codes of "
                    f"{found.describe()}",
                    hint="tokenize both with one codec",
                )

            found = found or file.fingerprint

        if len(index) == 0:
            others = " and the other shards" if len(index.files) > 1 else ""

            raise UserInputError(f"{index.files[0].path}{others} hold no rows")

        return cls(index, codec or found, RowCache(DEFAULT_HELD_BYTES))

    def first(self, num_streams: int) -> ShardSet:
        """Returns the same rows with the first ``num_streams`` code books alone.

        :raises ValueError: there are not so many, or no codes at all.
        """
        if self.fingerprint is None:
            raise ValueError("The shards hold no codes.")

        return ShardSet(self._index, self.fingerprint.first(num_streams), self._held)

    def hold(self, num_bytes: int) -> None:
        """Sets how many bytes of texts and codes are held."""
        self._held.resize(num_bytes)

    def __len__(self) -> int:
        return len(self._index)

    def row(self, idx: int, sides: Collection[str] = SIDES) -> ShardRow:
        """Returns row ``idx``, counted from 0.

        :param sides: the sides ("source", "target") whose codes are wanted; the others' are ``None``.
        :raises IndexError: there is no such row.
        :raises DamagedFileError: it was not verified, and turns out to be damaged.
        """
        group, place = self._find(idx)

        codes = (self._codes(group, side).of(place, self._num_streams) if side in sides else None for side in SIDES)

        return self._labels(group).row(place, *codes)

    def outline(self, idx: int, sides: Collection[str] = SIDES) -> ShardRow:
        """Returns what :meth:`row` does, but with zeros for the codes, which are not read."""
        group, place = self._find(idx)

        lengths = (int(self._index.sides[side].num_frames[idx]) if side in sides else 0 for side in SIDES)

        return self._labels(group).row(place, *(self._zeros[:length] if length else None for length in lengths))

    def num_frames(self, side: str) -> NDArray[np.int32]:
        """Returns the number of frames of each row, ``[N]``; 0 where ``side`` ("source" or "target") has no codes."""
        return self._index.sides[side].num_frames

    def has_text(self, side: str) -> NDArray[np.bool_]:
        """Returns which rows have a text on ``side`` ("source" or "target"), ``[N]``."""
        return self._index.sides[side].has_text

    def has_alignment(self, side: str) -> NDArray[np.bool_]:
        """Returns which rows have an alignment on ``side`` ("source" or "target"), ``[N]``."""
        return self._index.sides[side].has_alignment

    def speakers(self, side: str) -> NDArray[np.int64]:
        """Returns a number for the speaker on ``side`` of each row, -1 where none is named, ``[N]``.

        All row groups are read for it. Equal names in two corpora are two speakers.
        """
        known: dict[tuple[str, str], int] = {}

        output = np.full(len(self), -1, dtype=np.int64)

        for group, begin in enumerate(self._index.starts[:-1].tolist()):
            corpus = self._index.files[self._index.group_files[group]].corpus

            labels = self._read_labels(group)

            for idx, name in enumerate(getattr(labels, side).speakers, begin):
                if name is not None:
                    output[idx] = known.setdefault((corpus, name), len(known))

        return output

    def is_in_splits(self, names: Collection[str]) -> NDArray[np.bool_]:
        """Returns which rows belong to one of some splits, ``[N]``."""
        wanted = np.array([name in names for name in self._index.split_names])

        return wanted[self._index.splits]

    @property
    def splits(self) -> list[str]:
        """The names of the splits of the manifests."""
        return sorted(self._index.split_names)

    @property
    def corpora(self) -> list[str]:
        """The names of the folders that the shards lie in, which differ."""
        return list(dict.fromkeys(file.corpus for file in self._index.files))

    def is_of_corpus(self, name: str) -> NDArray[np.bool_]:
        """Returns which rows belong to a corpus, ``[N]``."""
        wanted = np.array([file.corpus == name for file in self._index.files])

        return np.repeat(wanted[self._index.group_files], np.diff(self._index.starts))

    def layout(self, indices: NDArray[np.int64]) -> Layout:
        """Returns where some rows lie.

        :param indices: the rows, in ascending order.
        """
        return Layout(np.searchsorted(indices, self._index.starts), self._index.group_bytes)

    def _find(self, idx: int) -> tuple[int, int]:
        """Returns the row group of a row, and its place in there."""
        if not 0 <= idx < len(self):
            raise IndexError(f"`idx` must be between 0 and {len(self) - 1}, but is {idx} instead.")

        group = self._index.group_of(idx)

        return group, idx - int(self._index.starts[group])

    def _labels(self, group: int) -> RowLabels:
        return self._held.get((group, "labels"), lambda: self._read_labels(group))

    def _codes(self, group: int, side: str) -> SideCodes:
        return self._held.get((group, side), lambda: self._read_codes(group, side))

    def _read_labels(self, group: int) -> RowLabels:
        reader, number = self._open_group(group)

        labels = reader.read_labels(number)

        for side in SIDES:
            has_text = [text is not None for text in getattr(labels, side).texts]

            self._check_unchanged(group, self._index.sides[side].has_text, np.array(has_text))

        return labels

    def _read_codes(self, group: int, side: str) -> SideCodes:
        reader, number = self._open_group(group)

        codes = reader.read_codes(number, side)

        self._check_unchanged(group, self._index.sides[side].num_frames, np.diff(codes.starts))

        return codes

    def _open_group(self, group: int) -> tuple[ShardReader, int]:
        file, number = int(self._index.group_files[group]), int(self._index.group_numbers[group])

        reader = self._readers.get(file) or ShardReader(self._index.files[file].path)

        self._readers[file] = reader

        self._readers.move_to_end(file)

        if len(self._readers) > _NUM_OPEN_FILES:
            self._readers.popitem(last=False)[1].close()

        return reader, number

    def _check_unchanged(self, group: int, known: NDArray[np.generic], found: NDArray[np.generic]) -> None:
        begin, end = self._index.starts[group : group + 2]

        if not np.array_equal(known[begin:end], found):
            path, number = self._index.files[self._index.group_files[group]].path, self._index.group_numbers[group]

            raise DamagedFileError(f"{path}, row group {number}: is not what it was when it was opened")


def list_shards(path: Path) -> list[Path]:
    """Returns the shards at ``path``: the file itself, or those in the folder, in their order.

    :raises UserInputError: the folder holds none, not all of a run, or those of runs with other numbers of shards.
    """
    if not path.is_dir():
        return [path]

    named = {file: parsed for file in path.iterdir() if (parsed := parse_shard_name(file.name)) is not None}

    counts = sorted({num_shards for _, num_shards in named.values()})

    if not counts:
        raise UserInputError(f"folder {path} holds no token shards (shard-00000-of-NNNNN.parquet)")

    if len(counts) > 1:
        raise UserInputError(
            f"folder {path} mixes runs of {' and '.join(map(str, counts))} shards", hint=TOKENIZE_AGAIN
        )

    names = [shard_name(idx, counts[0]) for idx in range(counts[0])]

    present = {file.name for file in named}

    if surplus := sorted(present.difference(names)):
        raise UserInputError(f"{path / surplus[0]} has a number beyond the last", hint="remove the file")

    if missing := sorted(set(names).difference(present)):
        raise UserInputError(
            f"folder {path} lacks {len(missing)} of its {counts[0]} shards, such as {missing[0]}", hint=TOKENIZE_AGAIN
        )

    return [path / name for name in names]


def find_shards(path: Path) -> list[Path]:
    """Returns what :func:`list_shards` does.

    :raises UserInputError: as there; or the shards are of several manifests.
    """
    files = list_shards(path)

    manifests: set[object] = set()

    for file in files:
        with closing(ShardReader(file)) as reader:
            manifests.add(reader.metadata.provenance.get("manifest_sha256"))

    check_one_manifest(path, manifests)

    return files


def _check_each_once(folders: Mapping[Path, Sequence[Path]]) -> None:
    """
    :raises UserInputError: a shard is given twice, whose rows would weigh twice.
    """
    places: set[Path] = set()

    for folder, paths in folders.items():
        home = folder.resolve()

        for path in paths:
            place = home / path.name if home.is_dir() else home

            if place in places:
                raise UserInputError(f"shard {place} is given twice", hint="name each folder of shards once")

            places.add(place)
