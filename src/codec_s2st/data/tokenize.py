"""Manifest -> token shards. Shard k holds the rows k * R .. (k + 1) * R - 1, whoever makes it, and however often.

Every shard carries what it was made from, so that a run that was interrupted makes only what is missing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from codec_s2st import __version__
from codec_s2st.codecs.codec import Codec
from codec_s2st.data.array import ArrayTask
from codec_s2st.data.encode import RowEncoder
from codec_s2st.data.files import sha256_of, temporary_path
from codec_s2st.data.heap import keep_freed_memory
from codec_s2st.data.loading import WHOLE_SECONDS, AudioSettings
from codec_s2st.data.manifest import iter_rows, manifest_path, read_manifest
from codec_s2st.data.parquet import write_table
from codec_s2st.data.shard_format import MAX_SHARDS, Quarantined, ShardRow, parse_shard_name, shard_name
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shard_writer import write_shard
from codec_s2st.data.shared_folder import hold_folder, join_folder, part_lock
from codec_s2st.data.tokenize_summary import QUARANTINE_FILE, TokenizeSummary, check_strict
from codec_s2st.errors import UserInputError

DEFAULT_ROWS_PER_SHARD: Final = 1000

DEFAULT_MAX_SECONDS: Final = 120.0

DEFAULT_SETTINGS: Final = AudioSettings(max_seconds=DEFAULT_MAX_SECONDS)

ProgressHook = Callable[[int, float], None]
"""Called with a number of rows that are done and the seconds of audio that were encoded for them."""


class Tokenization:
    """The making of the token shards of one manifest, by one process or several."""

    def __init__(
        self,
        manifest: Path,
        out: Path,
        codec: Codec | None,
        *,
        rows_per_shard: int = DEFAULT_ROWS_PER_SHARD,
        settings: AudioSettings = DEFAULT_SETTINGS,
        num_readers: int = 1,
    ) -> None:
        """
        :param manifest: a manifest's file or its folder.
        :param out: the folder of the shards.
        :param codec: may be ``None`` for a manifest of texts.
        :param settings: what becomes of recordings before they are encoded.
        :param num_readers: the number of threads that read audio while the codec encodes.
        :raises UserInputError: the manifest cannot be used, or a value is out of range.
        """
        numbers = {"rows_per_shard": rows_per_shard, "max_seconds": settings.max_seconds, "num_readers": num_readers}

        for name, value in numbers.items():
            if not value > 0:
                raise UserInputError(f"{name} must be positive, but is {value}")

        self._file = manifest_path(manifest)
        self._out = out
        self._codec = codec
        self._rows_per_shard = rows_per_shard

        self._frame = read_manifest(self._file)

        if self.num_shards > MAX_SHARDS:
            raise UserInputError(
                f"rows_per_shard is {rows_per_shard}, which makes {self.num_shards} shards of {len(self._frame)} rows, "
                f"but {MAX_SHARDS} is the most",
                hint=f"set rows_per_shard={-(-len(self._frame) // MAX_SHARDS)} or more",
            )

        self._provenance: dict[str, object] = {
            "tool": f"codec_s2st {__version__}",
            "manifest_sha256": sha256_of(self._file),
            "num_manifest_rows": len(self._frame),
            "rows_per_shard": rows_per_shard,
            "codec": None if codec is None else codec.fingerprint.digest,
            **settings.provenance,
        }

        # Where all recordings are encoded as a whole, it does not matter.
        if codec is not None and codec.encoder_context is not None and settings.max_seconds > WHOLE_SECONDS:
            self._provenance["chunk_seconds"] = WHOLE_SECONDS

        self._encoder = RowEncoder(self._file, codec, settings, num_readers=num_readers)

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

    def shards_of(self, task: ArrayTask, rank: int = 0, world_size: int = 1) -> range:
        """Returns the shards that a rank of a task of an array makes.

        Tasks may have different numbers of ranks: together they make each shard once.
        """
        return range(task.index + rank * task.count, self.num_shards, task.count * world_size)

    def num_rows_of(self, shards: range) -> int:
        """Returns how many rows of the manifest ``shards`` hold."""
        return sum(self._num_rows_in(shard) for shard in shards)

    @contextmanager
    def at_work(self, task: ArrayTask) -> Iterator[None]:
        """Locks the folder: a run that is no array has it alone, the tasks of one array share it.

        :raises UserInputError: another run is at work there, or ``out`` cannot be written.
        """
        if task.count > 1:
            with join_folder(self._out, self._plan(task), task.index):
                yield

            return

        with hold_folder(self._out, self._plan(task)) as is_alone:
            if not is_alone:
                raise UserInputError(
                    f"another run is writing to {self._out}", hint="wait for it, or choose another folder"
                )

            yield

    def run(
        self,
        shards: range,
        *,
        progress: ProgressHook | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> bool:
        """Makes those of ``shards`` that are not there.

        :param should_stop: asked after each row; the shard that is being made is given up then.
        :returns: ``False`` if it was stopped.
        :raises UserInputError: ``out`` cannot be written.
        :raises CodecS2STError: the machine failed; what was made stays.
        """
        keep_freed_memory()

        begin = time.monotonic()

        try:
            for shard in shards:
                if not self._make(shard, progress or (lambda rows, seconds: None), should_stop or (lambda: False)):
                    return False
        finally:
            self._wall_seconds += time.monotonic() - begin

        return True

    def missing_shards(self) -> list[str]:
        """Returns the names of the shards that are not there, or were made from something else.

        :raises CodecS2STError: the folder cannot be read.
        """
        # Listed, because shared file systems remember for a while that a file did not exist.
        present = set(os.listdir(self._out)) if self._out.is_dir() else set()

        names = (shard_name(shard, self.num_shards) for shard in range(self.num_shards))

        return [name for shard, name in enumerate(names) if name not in present or not self._is_ours(shard)]

    def finish_array(self, task: ArrayTask) -> TokenizeSummary | None:
        """Does what :meth:`finish` does, if this is the last task of the array; else returns ``None``.

        To be called by every task when it is through, and no longer at work. Of the tasks that made all shards
        together, at least one finds the folder its own, as each looks after it gave up its lock.
        """
        with hold_folder(self._out, self._plan(task)) as is_alone:
            if not is_alone or self.missing_shards():
                return None

            for part in range(task.count):
                part_lock(self._out, part).unlink(missing_ok=True)

            return self.finish()

    def finish(self) -> TokenizeSummary:
        """Writes the quarantine table and removes what other runs left behind. To be called by one process, after all.

        :raises UserInputError: a shard is missing, or all utterances with audio were quarantined.
        """
        num_rows, num_frames, trimmed_seconds, quarantined = 0, 0, 0.0, list[Quarantined]()

        for shard in range(self.num_shards):
            with closing(ShardReader(self._path(shard))) as reader:
                num_rows += reader.num_rows

                quarantined += reader.metadata.quarantined

                num_frames += reader.count_frames()

                trimmed_seconds += reader.count_trimmed_seconds()

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
            trimmed_seconds=trimmed_seconds,
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
            # They were missing before, when others of their shard were there.
            self._encoder.storage.forget_suspects()

            return True

        self._encoder.storage.check_suspects()

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
                if not self._fits(reader, shard):
                    return None

                quarantined = reader.metadata.quarantined

                rows: dict[str, ShardRow] = {}

                # All is read, and so checked, but kept only where it is needed again.
                for group in reader.row_groups():
                    if quarantined:
                        rows.update((row.id, row) for row in group.rows())

                return rows, quarantined
        except UserInputError:
            # Damaged, or no shard at all.
            return None

    def _is_ours(self, shard: int) -> bool:
        try:
            with closing(ShardReader(self._path(shard))) as reader:
                return self._fits(reader, shard)
        except UserInputError:
            return False

    def _fits(self, reader: ShardReader, shard: int) -> bool:
        wanted = {**self._provenance, "shard": shard, "num_rows": reader.num_rows}

        # Another version of the tool makes the same shards.
        wanted["tool"] = reader.metadata.provenance.get("tool")

        return reader.metadata.provenance == wanted and reader.num_rows + len(
            reader.metadata.quarantined
        ) == self._num_rows_in(shard)

    def _remove_leftovers(self) -> None:
        """Removes the shards of a run with another number of them, and what killed processes were writing."""
        for path in self._out.iterdir():
            parsed = parse_shard_name(path.name)

            if parsed is not None and parsed[1] != self.num_shards:
                path.unlink()

            final = path.with_name(path.name[1:].removesuffix(".tmp"))

            if path == temporary_path(final) and (parse_shard_name(final.name) or final.name == QUARANTINE_FILE):
                path.unlink()

    def _plan(self, task: ArrayTask) -> dict[str, object]:
        return {**self._provenance, "array_count": task.count}

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
    settings: AudioSettings = DEFAULT_SETTINGS,
    strict: bool = False,
    task: ArrayTask | None = None,
    progress: ProgressHook | None = None,
) -> TokenizeSummary | None:
    """Makes the token shards of ``manifest`` in the folder ``out``; what is there already and valid stays.

    :param strict: whether a quarantined utterance is an error; the shards are made nevertheless.
    :param task: which of several processes that share the work this one is.
    :returns: the summary; ``None`` of a task of an array that others go on with.
    :raises UserInputError: see :class:`Tokenization`; with ``strict``, the first quarantined utterance is named.
    """
    tokenization = Tokenization(manifest, out, codec, rows_per_shard=rows_per_shard, settings=settings)

    task = task or ArrayTask()

    summary: TokenizeSummary | None = None

    with tokenization.at_work(task):
        tokenization.run(tokenization.shards_of(task), progress=progress)

        if task.count == 1:
            summary = tokenization.finish()

    if task.count > 1:
        summary = tokenization.finish_array(task)

    if strict and summary is not None:
        check_strict(summary, out)

    return summary
