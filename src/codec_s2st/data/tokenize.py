"""Manifest -> token shards. Shard k holds the rows k * R .. (k + 1) * R - 1, whoever makes it, and however often.

Every shard carries what it was made from, so that a run that was interrupted makes only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from codec_s2st import __version__
from codec_s2st.codecs.codec import Codec
from codec_s2st.data.encode import RowEncoder
from codec_s2st.data.files import folder_lock, sha256_of, temporary_path
from codec_s2st.data.manifest import iter_rows, manifest_path, read_manifest
from codec_s2st.data.parquet import write_table
from codec_s2st.data.shard_format import Quarantined, ShardRow, parse_shard_name, shard_name
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shard_writer import write_shard
from codec_s2st.errors import UserInputError

QUARANTINE_FILE: Final = "quarantine.parquet"

DEFAULT_ROWS_PER_SHARD: Final = 1000

DEFAULT_MAX_SECONDS: Final = 120.0

ProgressHook = Callable[[int, float], None]
"""Called with a number of rows that are done and the seconds of audio that were encoded for them."""


@dataclass(frozen=True, kw_only=True)
class TokenizeSummary:
    """The outcome of a run, printed as one line."""

    num_rows: int
    """The rows in the shards."""

    num_quarantined: int

    num_shards: int

    audio_seconds: float
    """The duration of all codes in the shards."""

    encoded_seconds: float
    """The duration of the audio that this process encoded; less than the above where shards were there already."""

    wall_seconds: float

    def __str__(self) -> str:
        line = (
            f"{self.num_rows:,} rows in {self.num_shards:,} shard(s), {self.num_quarantined:,} quarantined"
            f"{' (see quarantine.parquet)' if self.num_quarantined else ''}, "
            f"{self.audio_seconds / 3600:.3f} h of audio"
        )

        if not self.encoded_seconds:
            return f"{line}, nothing left to encode"

        return (
            f"{line}, {self.encoded_seconds / 3600:.3f} h encoded in {self.wall_seconds:.1f} s: "
            f"{self.encoded_seconds / max(self.wall_seconds, 1e-9):.1f}x real time"
        )


class Tokenization:
    """The making of the token shards of one manifest, by one process or several."""

    def __init__(
        self,
        manifest: Path,
        out: Path,
        codec: Codec | None,
        *,
        rows_per_shard: int = DEFAULT_ROWS_PER_SHARD,
        max_seconds: float = DEFAULT_MAX_SECONDS,
        num_readers: int = 1,
    ) -> None:
        """
        :param manifest: a manifest's file or its folder.
        :param out: the folder of the shards.
        :param codec: may be ``None`` for a manifest of texts.
        :param max_seconds: utterances that are longer are quarantined.
        :param num_readers: the number of threads that read audio while the codec encodes.
        :raises UserInputError: the manifest cannot be used, or a value is out of range.
        """
        numbers = {"rows_per_shard": rows_per_shard, "max_seconds": max_seconds, "num_readers": num_readers}

        for name, value in numbers.items():
            if not value > 0:
                raise UserInputError(f"{name} must be positive, but is {value}")

        self._file = manifest_path(manifest)
        self._out = out
        self._codec = codec
        self._rows_per_shard = rows_per_shard

        self._frame = read_manifest(self._file)

        self._provenance = {
            "tool": f"codec_s2st {__version__}",
            "manifest_sha256": sha256_of(self._file),
            "num_manifest_rows": len(self._frame),
            "rows_per_shard": rows_per_shard,
            "max_seconds": float(max_seconds),
            "codec": None if codec is None else codec.fingerprint.digest,
        }

        self._encoder = RowEncoder(self._file, codec, max_seconds=max_seconds, num_readers=num_readers)

        self._encoded_seconds = 0.0
        self._wall_seconds = 0.0

    @property
    def num_rows(self) -> int:
        """The number of rows of the manifest."""
        return len(self._frame)

    @property
    def num_shards(self) -> int:
        return -(-len(self._frame) // self._rows_per_shard)

    @property
    def encoded_seconds(self) -> float:
        """The duration of the audio that this process encoded so far."""
        return self._encoded_seconds

    def num_rows_of(self, rank: int, world_size: int) -> int:
        """Returns how many rows of the manifest the shards of ``rank`` hold."""
        return sum(self._num_rows_in(shard) for shard in range(rank, self.num_shards, world_size))

    def run(
        self,
        *,
        rank: int = 0,
        world_size: int = 1,
        progress: ProgressHook | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> bool:
        """Makes those of the shards ``rank, rank + world_size, ...`` that are not there.

        :param should_stop: asked after each row; the shard that is being made is given up then.
        :returns: ``False`` if it was stopped.
        :raises UserInputError: ``out`` cannot be written.
        :raises CodecS2STError: the machine failed; what was made stays.
        """
        begin = time.monotonic()

        try:
            for shard in range(rank, self.num_shards, world_size):
                if not self._make(shard, progress or (lambda rows, seconds: None), should_stop or (lambda: False)):
                    return False
        finally:
            self._wall_seconds += time.monotonic() - begin

        return True

    def finish(self) -> TokenizeSummary:
        """Writes the quarantine table and removes what other runs left behind. To be called by one process, after all.

        :raises UserInputError: a shard is missing, or all utterances with audio were quarantined.
        """
        num_rows, num_frames, quarantined = 0, 0, list[Quarantined]()

        for shard in range(self.num_shards):
            with closing(ShardReader(self._path(shard))) as reader:
                num_rows += reader.num_rows

                quarantined += reader.metadata.quarantined

                num_frames += reader.count_frames()

        table = pa.table(
            {"id": [item.id for item in quarantined], "reason": [item.reason for item in quarantined]},
            schema=pa.schema([("id", pa.string()), ("reason", pa.string())]),
        )

        write_table(table, self._out / QUARANTINE_FILE)

        self._remove_leftovers()

        if quarantined and not num_frames:
            raise UserInputError(
                f"none of the {len(quarantined)} utterances of {self._file} could be encoded; "
                f"the first one, '{quarantined[0].id}': {quarantined[0].reason}"
            )

        spec = None if self._codec is None else self._codec.spec

        return TokenizeSummary(
            num_rows=num_rows,
            num_quarantined=len(quarantined),
            num_shards=self.num_shards,
            audio_seconds=0.0 if spec is None else num_frames * spec.hop_length / spec.sample_rate,
            encoded_seconds=self._encoded_seconds,
            wall_seconds=self._wall_seconds,
        )

    def _make(self, shard: int, progress: ProgressHook, should_stop: Callable[[], bool]) -> bool:
        path = self._path(shard)

        found = self._read_valid(path, shard)

        if found is not None and not found[1]:
            progress(self._num_rows_in(shard), 0.0)

            return True

        # Rows that were quarantined get another chance: what was wrong with them may have been mended since.
        known = {} if found is None else found[0]

        start = shard * self._rows_per_shard

        manifest_rows = list(iter_rows(self._frame[start : start + self._rows_per_shard]))

        rows, quarantined = dict(known), list[Quarantined]()

        progress(len(known), 0.0)

        for encoded in self._encoder.encode(row for row in manifest_rows if row.id not in known):
            if isinstance(encoded.result, Quarantined):
                quarantined.append(encoded.result)
            else:
                rows[encoded.result.id] = encoded.result

            self._encoded_seconds += encoded.seconds

            progress(1, encoded.seconds)

            if should_stop():
                return False

        if found is not None and found[1] == tuple(quarantined):
            return True

        write_shard(
            path,
            [rows[row.id] for row in manifest_rows if row.id in rows],
            None if self._codec is None else self._codec.fingerprint,
            {**self._provenance, "shard": shard},
            quarantined=quarantined,
        )

        return True

    def _read_valid(self, path: Path, shard: int) -> tuple[dict[str, ShardRow], tuple[Quarantined, ...]] | None:
        """Returns rows and quarantine of the shard at ``path`` if it is what this run would make."""
        if not path.exists():
            return None

        try:
            with closing(ShardReader(path)) as reader:
                wanted = {**self._provenance, "shard": shard, "num_rows": reader.num_rows}

                # Another version of the tool makes the same shards.
                wanted["tool"] = reader.metadata.provenance.get("tool")

                quarantined = reader.metadata.quarantined

                if reader.metadata.provenance != wanted:
                    return None

                if reader.num_rows + len(quarantined) != self._num_rows_in(shard):
                    return None

                rows: dict[str, ShardRow] = {}

                # All is read, and so checked, but kept only where it is needed again.
                for group in reader.row_groups():
                    if quarantined:
                        rows.update((row.id, row) for row in group.rows())

                return rows, quarantined
        except UserInputError:
            # Damaged, or no shard at all.
            return None

    def _remove_leftovers(self) -> None:
        """Removes the shards of a run with another number of them, and what killed processes were writing."""
        for path in self._out.iterdir():
            parsed = parse_shard_name(path.name)

            if parsed is not None and parsed[1] != self.num_shards:
                path.unlink()

            final = path.with_name(path.name[1:].removesuffix(".tmp"))

            if path == temporary_path(final) and (parse_shard_name(final.name) or final.name == QUARANTINE_FILE):
                path.unlink()

    def _num_rows_in(self, shard: int) -> int:
        return min(self._rows_per_shard, len(self._frame) - shard * self._rows_per_shard)

    def _path(self, shard: int) -> Path:
        return self._out / shard_name(shard, self.num_shards)


def tokenize_manifest(
    manifest: Path,
    out: Path,
    codec: Codec | None,
    *,
    rows_per_shard: int = DEFAULT_ROWS_PER_SHARD,
    max_seconds: float = DEFAULT_MAX_SECONDS,
    strict: bool = False,
    rank: int = 0,
    world_size: int = 1,
    progress: ProgressHook | None = None,
) -> TokenizeSummary | None:
    """Makes the token shards of ``manifest`` in the folder ``out``; what is there already and valid stays.

    :param strict: whether a quarantined utterance is an error; the shards are made nevertheless.
    :param rank: which of the ``world_size`` processes that share the work this one is.
    :returns: the summary; ``None`` with several processes, where one of them calls :meth:`Tokenization.finish` (or this
        function alone) when all are done.
    :raises UserInputError: see :class:`Tokenization`; with ``strict``, the first quarantined utterance is named.
    """
    tokenization = Tokenization(manifest, out, codec, rows_per_shard=rows_per_shard, max_seconds=max_seconds)

    with folder_lock(out) if rank == 0 else nullcontext():
        tokenization.run(rank=rank, world_size=world_size, progress=progress)

        if world_size > 1:
            return None

        summary = tokenization.finish()

    if strict:
        check_strict(summary, out)

    return summary


def check_strict(summary: TokenizeSummary, out: Path) -> None:
    """
    :raises UserInputError: an utterance was quarantined.
    """
    if summary.num_quarantined:
        raise UserInputError(
            f"{summary.num_quarantined} utterance(s) were quarantined, and strict is set",
            hint=f"reasons are in {out / QUARANTINE_FILE}",
        )
