"""What happens when shards, or the disks that they lie on, are not whole."""

from __future__ import annotations

import errno
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codec_s2st.data.parquet import DamagedFileError, ParquetReader
from codec_s2st.data.shard_format import shard_name
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shards import ShardRow, ShardSet, Side, write_shard
from codec_s2st.errors import CodecS2STError, UserInputError
from tests.factories import toy_fingerprint, toy_rows

PROVENANCE = {"manifest_sha256": "0"}


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes row groups of ten rows."""
    monkeypatch.setattr("codec_s2st.data.shard_writer.ROWS_PER_GROUP", 10)


@pytest.fixture
def folder(tmp_path: Path, small_groups: None) -> Path:
    """Returns a folder with three shards of 25 rows each, in three row groups."""
    rows = toy_rows(75)

    for idx in range(3):
        write_shard(
            tmp_path / "corpus" / shard_name(idx, 3), rows[25 * idx : 25 * idx + 25], toy_fingerprint(), PROVENANCE
        )

    return tmp_path / "corpus"


def flip(path: Path, row_group: int, column: str) -> None:
    """Flips a bit in the middle of a column of a row group."""
    file = pq.ParquetFile(path)

    chunks = [file.metadata.row_group(row_group).column(i) for i in range(file.metadata.num_columns)]

    chunk = next(chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] == column)

    data = bytearray(path.read_bytes())

    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1

    path.write_bytes(data)


def read_all(shards: ShardSet) -> list[str]:
    return [shards.row(idx).id for idx in range(len(shards))]


class TestAnyBit:
    @pytest.mark.parametrize("verify", [True, False])
    def test_that_is_flipped_is_found_or_changes_nothing(self, tmp_path: Path, verify: bool) -> None:
        """It never ends the process, nor gives other rows."""
        path = tmp_path / "x.parquet"

        write_shard(path, toy_rows(30), toy_fingerprint(), PROVENANCE)

        sound = path.read_bytes()

        def read() -> list[str]:
            shards = ShardSet.open([path], codec=None, verify=verify)

            return [repr(shards.row(idx)) for idx in range(len(shards))]

        wanted, chance = read(), random.Random(7)

        num_found = 0

        # Half of them in the footer, which has no checksum.
        for begin, end in ((0, len(sound) // 2), (len(sound) // 2, len(sound))):
            for _ in range(75):
                data = bytearray(sound)

                data[chance.randrange(begin, end)] ^= 1 << chance.randrange(8)

                path.write_bytes(data)

                try:
                    assert read() == wanted
                except UserInputError as ex:
                    assert str(path) in str(ex) and "\n" not in str(ex)

                    num_found += 1

        assert num_found > 50


class TestPolicy:
    def test_damage_is_refused_before_the_first_row(self, folder: Path) -> None:
        flip(folder / shard_name(1, 3), 2, "target_codes")

        with pytest.raises(DamagedFileError, match=rf"^{folder / shard_name(1, 3)}, row group 2: is damaged"):
            ShardSet.open([folder], codec=None)

    @pytest.mark.parametrize("column", ["id", "split", "source_text", "target_codes", "source_num_frames"])
    def test_row_groups_can_be_left_out(self, folder: Path, caplog: pytest.LogCaptureFixture, column: str) -> None:
        flip(folder / shard_name(1, 3), 1, column)

        with caplog.at_level(logging.WARNING, logger="fairseq2"):
            shards = ShardSet.open([folder], codec=None, skip_damaged=True)

        assert read_all(shards) == [f"row{i}" for i in range(75) if not 35 <= i < 45]

        assert "1 row groups or shards are damaged and left out, the first one: " in caplog.text
        assert f"{folder / shard_name(1, 3)}, row group 1" in caplog.text

        # What is asked for by column is that of the same rows.
        assert all(
            shards.num_frames(side)[idx] == len(getattr(shards.row(idx), side).codes)
            for side in ("source", "target")
            for idx in range(len(shards))
        )

    @pytest.mark.parametrize("damage", [lambda data: data[:-6], lambda data: b"RIFF" + data[4:-4] + b"RIFF"])
    def test_shards_can_be_left_out(
        self, folder: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
    ) -> None:
        path = folder / shard_name(0, 3)

        path.write_bytes(damage(path.read_bytes()))

        flip(folder / shard_name(2, 3), 0, "source_codes")

        with caplog.at_level(logging.WARNING, logger="fairseq2"):
            shards = ShardSet.open([folder], codec=None, skip_damaged=True)

        assert read_all(shards) == [f"row{i}" for i in range(25, 75) if not 50 <= i < 60]

        assert f"2 row groups or shards are damaged and left out, the first one: {path}" in caplog.text

    def test_nothing_that_is_whole_is_refused(self, folder: Path) -> None:
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes()[:-1])

        with pytest.raises(UserInputError, match="and the other shards hold no rows"):
            ShardSet.open([folder], codec=None, skip_damaged=True)

    def test_what_is_wrong_but_whole_is_never_left_out(self, folder: Path) -> None:
        pq.write_table(pa.table({"id": ["a"]}), folder / shard_name(1, 3))

        with pytest.raises(UserInputError, match="is not a token shard"):
            ShardSet.open([folder], codec=None, skip_damaged=True)


class TestRowGroups:
    def test_without_rows_is_refused(self, tmp_path: Path, small_groups: None) -> None:
        path = tmp_path / "x.parquet"

        write_shard(path, toy_rows(10), toy_fingerprint(), PROVENANCE)

        table = pq.read_table(path)

        with pq.ParquetWriter(path, table.schema) as writer:
            writer.write_table(table)
            writer.write_table(table.slice(0, 0))

        with pytest.raises(DamagedFileError, match=rf"^{path}, row group 1: holds no rows"):
            ShardSet.open([path], codec=None)

    def test_blank_text_is_refused(self, tmp_path: Path) -> None:
        rows = toy_rows(3)

        rows[1] = ShardRow("odd", "train", rows[1].source, Side(rows[1].target.codes, " ", "eng"))

        write_shard(tmp_path / "x.parquet", rows, toy_fingerprint(), PROVENANCE)

        with pytest.raises(DamagedFileError, match="row group 0, utterance 'odd': target_text is blank"):
            ShardSet.open([tmp_path / "x.parquet"], codec=None)


class TestLate:
    """Without ``verify``, what is damaged is found when it is read."""

    def test_damage_names_its_place(self, folder: Path) -> None:
        flip(folder / shard_name(1, 3), 1, "target_codes")

        shards = ShardSet.open([folder], codec=None, verify=False)

        assert shards.row(34).id == "row34"

        # It is not asked for.
        assert shards.row(35, sides=["source"]).target.codes is None
        assert shards.outline(35).id == "row35"

        for _ in range(2):
            with pytest.raises(DamagedFileError, match=rf"{shard_name(1, 3)}, row group 1: is damaged"):
                shards.row(35)

    @pytest.mark.parametrize("change", ["codes", "texts"])
    def test_a_shard_that_was_exchanged_is_noticed(self, folder: Path, change: str) -> None:
        shards = ShardSet.open([folder], codec=None, verify=False)

        rows = toy_rows(25, seed=1)

        if change == "texts":
            rows = [ShardRow(row.id, row.split, Side(row.source.codes, None, "spa"), row.target) for row in rows]

        write_shard(folder / shard_name(0, 3), rows, toy_fingerprint(), PROVENANCE)

        with pytest.raises(DamagedFileError, match="row group 0: is not what it was when it was opened"):
            shards.row(0)

    def test_so_is_one_that_is_gone(self, folder: Path) -> None:
        shards = ShardSet.open([folder], codec=None, verify=False)

        (folder / shard_name(2, 3)).unlink()

        with pytest.raises(UserInputError, match=rf"{shard_name(2, 3)} cannot be read: No such file"):
            shards.row(74)


class TestStorage:
    @pytest.fixture(autouse=True)
    def no_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("codec_s2st.data.files.time.sleep", lambda seconds: None)

    def fail(self, monkeypatch: pytest.MonkeyPatch, errors: list[OSError]) -> list[object]:
        """Makes reading a row group fail, with ``errors`` from the last to the first; returns the handles used."""
        read, used = pq.ParquetFile.read_row_group, []

        def read_row_group(self: object, *args: Any, **kwargs: Any) -> Any:
            used.append(self)

            if errors:
                raise errors.pop()

            return read(self, *args, **kwargs)

        monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)

        return used

    def test_a_hiccup_is_survived_with_a_new_handle(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shards = ShardSet.open([folder], codec=None, verify=False)

        used = self.fail(monkeypatch, [OSError(errno.EIO, "I/O"), OSError(errno.ESTALE, "stale")])

        assert shards.row(0).id == "row0"

        assert len({id(handle) for handle in used[:3]}) == 3

    def test_a_lasting_failure_ends_the_run(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shards = ShardSet.open([folder], codec=None, verify=False)

        self.fail(monkeypatch, [OSError(errno.EIO, "I/O") for _ in range(20)])

        with pytest.raises(
            CodecS2STError, match=rf"{shard_name(0, 3)} cannot be read after \d+ tries: Input/out"
        ) as info:
            shards.row(0)

        # The machine's fault, not the user's; nor is anything called damaged, and left out, for it.
        assert info.value.exit_code == 1 and not isinstance(info.value, UserInputError)

        with pytest.raises(CodecS2STError, match=r"cannot be read after \d+ tries"):
            ShardSet.open([folder], codec=None, skip_damaged=True)

    def test_damage_is_not_tried_again(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        flip(folder / shard_name(0, 3), 0, "source_codes")

        used = self.fail(monkeypatch, [])

        with pytest.raises(DamagedFileError):
            ShardReader(folder / shard_name(0, 3)).read_codes(0, "source")

        assert len(used) == 1

    def test_reopening_may_fail_too(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reader = ParquetReader(folder / shard_name(0, 3))

        self.fail(monkeypatch, [OSError(errno.EIO, "I/O")])

        failures = [OSError(errno.ENOTCONN, "not connected")]

        def open_again(path: Path) -> Any:
            if failures:
                raise failures.pop()

            return pq.ParquetFile(path)

        monkeypatch.setattr("codec_s2st.data.parquet._open", open_again)

        assert reader.row_group(0, ["id"]).num_rows == 10

        assert not failures


class TestHeld:
    def test_row_groups_hold_about_a_megabyte_of_codes(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)

        codec = toy_fingerprint((1024,) * 8)

        rows = [
            ShardRow(
                f"u{i}", "train", Side(rng.integers(0, 1024, (int(rng.integers(200, 600)), 8)), None, "spa"), Side()
            )
            for i in range(1000)
        ]

        path = tmp_path / "x.parquet"

        write_shard(path, rows, codec, PROVENANCE)

        metadata = pq.ParquetFile(path).metadata

        sizes = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]

        # 400 frames of 8 codes a row: 164 rows have 2**19 codes.
        assert set(sizes[:-1]) == {sizes[0]} and 155 <= sizes[0] <= 175

        stored = sum(
            column.total_compressed_size
            for g in range(metadata.num_row_groups)
            for column in [metadata.row_group(g).column(i) for i in range(metadata.num_columns)]
            if "codes" in column.path_in_schema
        )

        assert stored <= 0.635 * 2 * sum(row.source.codes.size for row in rows if row.source.codes is not None)

        shards = ShardSet.open([path], codec=codec)

        for idx in rng.permutation(1000)[:50]:
            np.testing.assert_array_equal(shards.row(int(idx)).source.codes, rows[idx].source.codes)

    def test_little_is_read_twice_and_little_is_held(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shards = ShardSet.open([folder], codec=None)

        reads: list[tuple[str, int]] = []

        for name in ("read_labels", "read_codes"):
            read = getattr(ShardReader, name)

            def count(self: ShardReader, idx: int, *args: str, read: Any = read, name: str = name) -> Any:
                reads.append((f"{self.path} {name} {args}", idx))

                return read(self, idx, *args)

            monkeypatch.setattr(ShardReader, name, count)

        order = np.random.default_rng(0).permutation(75)

        for idx in [*order, *order]:
            assert shards.row(int(idx)).id == f"row{idx}"

        # Labels, and the codes of two sides, of nine row groups.
        assert len(reads) == len(set(reads)) == 27

        shards.hold(1)

        reads.clear()

        assert read_all(shards) == [f"row{i}" for i in range(75)]

        # Only what was read last is held, and a row needs three.
        assert len(reads) == 25 * 3 * 3

    def test_an_outline_has_the_shape_of_the_row(self, folder: Path) -> None:
        shards = ShardSet.open([folder], codec=None).first(1)

        for idx in (0, 30, 74):
            row, outline = shards.row(idx), shards.outline(idx)

            for side in ("source", "target"):
                one, two = getattr(row, side), getattr(outline, side)

                assert one.codes.shape == two.codes.shape and not two.codes.any()

                assert (one.text, one.lang, one.speaker) == (two.text, two.lang, two.speaker)

        assert shards.outline(3, sides=["target"]).source.codes is None
