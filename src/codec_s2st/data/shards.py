"""Token shards as one indexed sequence of rows, for training. Legend: T codec frame, Q stream, N row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from codec_s2st.data.shard_format import ShardRow as ShardRow
from codec_s2st.data.shard_format import Side as Side
from codec_s2st.data.shard_format import parse_shard_name, shard_name
from codec_s2st.data.shard_reader import RowGroup, ShardReader
from codec_s2st.data.shard_writer import write_shard as write_shard
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint


@final
class ShardSet:
    """The rows of some shards, in the order of the shards; checked as a whole before the first row is given out.

    The rows stay in memory as Arrow buffers; codes are views on these, not copies.
    """

    def __init__(
        self, row_groups: Sequence[RowGroup], corpora: Sequence[str], fingerprint: CodecFingerprint | None
    ) -> None:
        """Not for users: see :meth:`open`."""
        self._row_groups = row_groups

        self._corpora = corpora

        self._starts: list[int] = [0]

        for row_group in row_groups:
            self._starts.append(self._starts[-1] + len(row_group))

        self.fingerprint = fingerprint
        """The codec of the codes; ``None`` if no shard holds any and none was asked for."""

        self._num_streams = 0 if fingerprint is None else len(fingerprint.codebook_sizes)

    @classmethod
    def open(cls, paths: Sequence[Path], *, codec: CodecFingerprint | None) -> ShardSet:
        """Opens token shards.

        :param paths: shards, and folders of shards; a folder must hold all shards of one run of ``tokenize``.
        :param codec: the codec that the reader knows. The codes of each shard must be its own, or hold further code
            books, which are left out then. With ``None``, all codes must be of one codec.
        :raises UserInputError: a shard is missing, damaged or of another codec; file, row group and utterance are
            named.
        """
        files = {file: _corpus_of(Path(path)) for path in paths for file in find_shards(Path(path))}

        if not files:
            raise UserInputError("no token shards were given")

        found: CodecFingerprint | None = None

        row_groups: list[RowGroup] = []

        corpora: list[str] = []

        for file, corpus in files.items():
            with closing(ShardReader(file)) as reader:
                made_by = reader.metadata.fingerprint

                if made_by is not None:
                    if codec is not None:
                        codec.check_reads(made_by, where=str(file))
                    elif found is not None and found.digest != made_by.digest:
                        raise UserInputError(
                            f"{file} holds codes of {made_by.describe()}, but the shards before it hold codes of "
                            f"{found.describe()}",
                            hint="tokenize both with one codec",
                        )

                    found = found or made_by

                row_groups.extend(reader.row_groups())

            corpora += [corpus] * (len(row_groups) - len(corpora))

        if not row_groups:
            raise UserInputError(f"{next(iter(files))}{' and the other shards' if len(files) > 1 else ''} hold no rows")

        return cls(row_groups, corpora, codec or found)

    def first(self, num_streams: int) -> ShardSet:
        """Returns the same rows with the first ``num_streams`` code books alone.

        :raises ValueError: there are not so many, or no codes at all.
        """
        if self.fingerprint is None:
            raise ValueError("The shards hold no codes.")

        return ShardSet(self._row_groups, self._corpora, self.fingerprint.first(num_streams))

    def __len__(self) -> int:
        return self._starts[-1]

    def row(self, idx: int) -> ShardRow:
        """Returns row ``idx``, counted from 0.

        :raises IndexError: there is no such row.
        """
        if not 0 <= idx < len(self):
            raise IndexError(f"`idx` must be between 0 and {len(self) - 1}, but is {idx} instead.")

        group = bisect_right(self._starts, idx) - 1

        return self._row_groups[group].row(idx - self._starts[group], self._num_streams)

    def num_frames(self, side: str) -> NDArray[np.int64]:
        """Returns the number of frames of each row, ``[N]``; 0 where ``side`` ("source" or "target") has no codes."""
        return np.concatenate([np.diff(getattr(group, side).starts) for group in self._row_groups])

    def has_text(self, side: str) -> NDArray[np.bool_]:
        """Returns which rows have a text on ``side`` ("source" or "target"), ``[N]``."""
        return np.concatenate(
            [getattr(group, side).strings[0].is_valid().to_numpy(zero_copy_only=False) for group in self._row_groups]
        )

    def has_alignment(self, side: str) -> NDArray[np.bool_]:
        """Returns which rows have an alignment on ``side`` ("source" or "target"), ``[N]``."""
        return np.concatenate([getattr(group, side).has_alignment() for group in self._row_groups])

    def speakers(self, side: str) -> NDArray[np.int64]:
        """Returns a number for the speaker on ``side`` of each row, -1 where none is named, ``[N]``.

        Equal names in two corpora are two speakers.
        """
        known: dict[tuple[str, str], int] = {}

        output = []

        for corpus, group in zip(self._corpora, self._row_groups, strict=True):
            encoded = getattr(group, side).strings[2].dictionary_encode()

            names = encoded.dictionary.to_pylist()

            numbers = [known.setdefault((corpus, name), len(known)) for name in names]

            places = encoded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)

            output.append(np.array([*numbers, -1], dtype=np.int64)[places])

        return np.concatenate(output)

    def splits(self) -> NDArray[np.str_]:
        """Returns the split of each row, ``[N]``."""
        return np.array([split for group in self._row_groups for split in group.splits.to_pylist()])

    def corpora(self) -> NDArray[np.str_]:
        """Returns the corpus of each row, ``[N]``: the name of the folder that its shard lies in."""
        return np.repeat(np.array(self._corpora), [len(group) for group in self._row_groups])


def _corpus_of(path: Path) -> str:
    path = path.resolve()

    return path.name if path.is_dir() else path.parent.name


def find_shards(path: Path) -> list[Path]:
    """Returns the shards at ``path``: the file itself, or those in the folder, in their order.

    :raises UserInputError: the folder holds none, not all of a run, or those of several runs.
    """
    if not path.is_dir():
        return [path]

    named = {file: parsed for file in path.iterdir() if (parsed := parse_shard_name(file.name)) is not None}

    counts = sorted({num_shards for _, num_shards in named.values()})

    again = "run the same codec-s2st tokenize once more to complete it"

    if not counts:
        raise UserInputError(f"folder {path} holds no token shards (shard-00000-of-NNNNN.parquet)")

    if len(counts) > 1:
        raise UserInputError(f"folder {path} mixes runs of {' and '.join(map(str, counts))} shards", hint=again)

    names = [shard_name(idx, counts[0]) for idx in range(counts[0])]

    present = {file.name for file in named}

    if surplus := sorted(present.difference(names)):
        raise UserInputError(f"{path / surplus[0]} has a number beyond the last", hint="remove the file")

    if missing := sorted(set(names).difference(present)):
        raise UserInputError(
            f"folder {path} lacks {len(missing)} of its {counts[0]} shards, such as {missing[0]}", hint=again
        )

    files = [path / name for name in names]

    manifests: set[object] = set()

    for file in files:
        with closing(ShardReader(file)) as reader:
            manifests.add(reader.metadata.provenance.get("manifest_sha256"))

    if len(manifests) > 1:
        raise UserInputError(f"folder {path} holds shards of {len(manifests)} different manifests", hint=again)

    return files
