from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codec_s2st.data.alignment import AlignedSpan
from codec_s2st.data.shard_format import CODEC_KEY, PROVENANCE_KEY, Quarantined, shard_name
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shards import ShardRow, ShardSet, Side, find_shards, write_shard
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint

CODEC = CodecFingerprint("codec_s2st_tiny", "ab" * 32, (16, 8, 4), 320, 16000)

PROVENANCE = {"manifest_sha256": "00", "tool": "codec_s2st test"}


def make_codes(rng: np.random.Generator, num_frames: int, sizes: tuple[int, ...] = CODEC.codebook_sizes) -> Any:
    return np.stack([rng.integers(0, size, num_frames) for size in sizes], axis=1)


def make_rows(num_rows: int = 5, seed: int = 0) -> list[ShardRow]:
    rng = np.random.default_rng(seed)

    rows = []

    for idx in range(num_rows):
        source = Side(make_codes(rng, int(rng.integers(1, 9))), f"texto {idx}", "spa", "ana")

        # Every third row has a target of text only, every fourth none at all.
        target_codes = None if idx % 3 == 2 else make_codes(rng, int(rng.integers(1, 9)))

        target = Side() if idx % 4 == 3 else Side(target_codes, f"text {idx}", "eng", None)

        rows.append(ShardRow(f"u{idx}", "train", source, target))

    return rows


def assert_equal_rows(actual: ShardRow, wanted: ShardRow, num_streams: int = 3) -> None:
    assert (actual.id, actual.split) == (wanted.id, wanted.split)

    for one, two in ((actual.source, wanted.source), (actual.target, wanted.target)):
        assert (one.text, one.lang, one.speaker) == (two.text, two.lang, two.speaker)

        assert one.alignment == two.alignment

        if two.codes is None:
            assert one.codes is None
        else:
            assert one.codes is not None

            np.testing.assert_array_equal(one.codes, two.codes[:, :num_streams])


def aligned_rows() -> list[ShardRow]:
    """Returns rows of which some have an alignment; a span may have no frame."""
    rows = make_rows()

    alignment = (AlignedSpan("tex", 0, 0), AlignedSpan("to", 0, 1))

    rows[1] = replace(rows[1], source=replace(rows[1].source, alignment=alignment))
    rows[4] = replace(rows[4], source=replace(rows[4].source, alignment=alignment[1:]))
    rows[4] = replace(rows[4], target=replace(rows[4].target, alignment=alignment))

    return rows


class TestAlignments:
    def test_rows_are_read_as_written(self, tmp_path: Path) -> None:
        path = tmp_path / shard_name(0, 1)

        write_shard(path, aligned_rows(), CODEC, PROVENANCE)

        shards = ShardSet.open([path], codec=None)

        for i, row in enumerate(aligned_rows()):
            assert_equal_rows(shards.row(i), row)

        assert shards.has_alignment("source").tolist() == [False, True, False, False, True]
        assert shards.has_alignment("target").tolist() == [False] * 4 + [True]

    def test_shards_without_go_with_shards_with(self, tmp_path: Path) -> None:
        for i, rows in enumerate((make_rows(), aligned_rows())):
            write_shard(tmp_path / shard_name(i, 2), rows, CODEC, PROVENANCE)

        shards = ShardSet.open([tmp_path], codec=None)

        assert shards.has_alignment("source").tolist() == [False] * 6 + [True, False, False, True]

    def test_shards_without_are_as_before_there_were_any(self, tmp_path: Path) -> None:
        path = tmp_path / shard_name(0, 1)

        write_shard(path, make_rows(), CODEC, PROVENANCE)

        assert not [name for name in pq.read_schema(path).names if "alignment" in name]

    @pytest.mark.parametrize(
        ("spans", "message"),
        [
            ([], "source_alignment is empty"),
            ([{"text": None, "begin": 0, "end": 1}], "holds a span without text, begin or end"),
            ([{"text": "a", "begin": None, "end": 1}], "holds a span without text, begin or end"),
            ([None], "holds a span without text, begin or end"),
            ([{"text": "a", "begin": -1, "end": 1}], "spans that are not in order within its frames"),
            ([{"text": "a", "begin": 1, "end": 0}], "spans that are not in order within its frames"),
            ([{"text": "a", "begin": 0, "end": 99}], "spans that are not in order within its frames"),
            (
                [{"text": "a", "begin": 1, "end": 1}, {"text": "b", "begin": 0, "end": 1}],
                "spans that are not in order within its frames",
            ),
        ],
    )
    def test_damaged_ones_are_refused(self, tmp_path: Path, spans: list[Any], message: str) -> None:
        path = tmp_path / shard_name(0, 1)

        write_shard(path, aligned_rows(), CODEC, PROVENANCE)

        table = pq.read_table(path)

        values = table.column("source_alignment").to_pylist()

        values[1] = spans

        idx = table.schema.get_field_index("source_alignment")

        field = table.schema.field(idx)

        pq.write_table(table.set_column(idx, field, pa.array(values, type=field.type)), path)

        with pytest.raises(UserInputError, match=f"row group 0, utterance 'u1': .*{message}"):
            ShardSet.open([path], codec=None)

    def test_one_of_a_row_without_codes_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / shard_name(0, 1)

        rows = aligned_rows()

        rows[2] = replace(rows[2], target=replace(rows[2].target, alignment=rows[1].source.alignment))

        write_shard(path, rows, CODEC, PROVENANCE)

        with pytest.raises(UserInputError, match="utterance 'u2': target_alignment is there, but codes are not"):
            ShardSet.open([path], codec=None)


class TestRoundTrip:
    def test_rows_come_back_as_they_were(self, tmp_path: Path) -> None:
        rows = make_rows(2500)

        write_shard(tmp_path / "x.parquet", rows, CODEC, PROVENANCE)

        shards = ShardSet.open([tmp_path / "x.parquet"], codec=CODEC)

        assert len(shards) == len(rows)

        # 1,024 rows a group: three groups.
        assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 3

        for idx in np.random.default_rng(1).permutation(len(rows)):
            assert_equal_rows(shards.row(int(idx)), rows[idx])

    def test_columns_describe_the_rows(self, tmp_path: Path) -> None:
        rows = make_rows(9)

        write_shard(tmp_path / "x.parquet", rows, CODEC, PROVENANCE)

        shards = ShardSet.open([tmp_path / "x.parquet"], codec=CODEC)

        wanted = [0 if row.target.codes is None else len(row.target.codes) for row in rows]

        assert shards.num_frames("target").tolist() == wanted

        assert shards.has_text("target").tolist() == [row.target.text is not None for row in rows]

        assert shards.is_in_splits(["train"]).tolist() == [True] * 9

    def test_codes_are_read_only_views(self, tmp_path: Path) -> None:
        write_shard(tmp_path / "x.parquet", make_rows(), CODEC, PROVENANCE)

        codes = ShardSet.open([tmp_path / "x.parquet"], codec=CODEC).row(1).source.codes

        assert codes is not None

        assert codes.base is not None

        assert not codes.flags.writeable

    @pytest.mark.parametrize(
        ("size", "value_type"), [(16, pa.int16()), (1 << 15, pa.int16()), ((1 << 15) + 1, pa.int32())]
    )
    def test_smallest_integer_type_holds_the_codes(self, tmp_path: Path, size: int, value_type: Any) -> None:
        codec = CodecFingerprint("wide", "cd" * 32, (4, size), 320, 16000)

        codes = np.array([[0, size - 1], [3, 0]])

        write_shard(tmp_path / "x.parquet", [ShardRow("a", "train", Side(codes), Side())], codec, PROVENANCE)

        assert pq.read_schema(tmp_path / "x.parquet").field("source_codes").type.value_type == value_type

        read = ShardSet.open([tmp_path / "x.parquet"], codec=codec).row(0).source.codes

        assert read is not None

        np.testing.assert_array_equal(read, codes)

    def test_reader_of_fewer_code_books_gets_the_first(self, tmp_path: Path) -> None:
        rows = make_rows()

        write_shard(tmp_path / "x.parquet", rows, CODEC, PROVENANCE)

        shards = ShardSet.open([tmp_path / "x.parquet"], codec=CODEC.first(2))

        assert shards.fingerprint == CODEC.first(2)

        for idx, row in enumerate(rows):
            assert_equal_rows(shards.row(idx), row, num_streams=2)

    def test_text_only_shards_can_be_mixed_in(self, tmp_path: Path) -> None:
        text = [ShardRow("t0", "train", Side(), Side(None, "hello", "eng", None))]

        write_shard(tmp_path / "text.parquet", text, CODEC, PROVENANCE)

        assert CODEC_KEY not in pq.read_schema(tmp_path / "text.parquet").metadata

        write_shard(tmp_path / "speech.parquet", make_rows(2), CODEC, PROVENANCE)

        shards = ShardSet.open([tmp_path / "text.parquet", tmp_path / "speech.parquet"], codec=None)

        assert shards.fingerprint == CODEC

        assert [shards.row(idx).id for idx in range(3)] == ["t0", "u0", "u1"]

        assert_equal_rows(shards.row(0), text[0])

        assert ShardSet.open([tmp_path / "text.parquet"], codec=None).fingerprint is None

    def test_index_out_of_range_is_refused(self, tmp_path: Path) -> None:
        write_shard(tmp_path / "x.parquet", make_rows(2), CODEC, PROVENANCE)

        shards = ShardSet.open([tmp_path / "x.parquet"], codec=CODEC)

        for idx in (-1, 2):
            with pytest.raises(IndexError):
                shards.row(idx)


class TestFormat:
    def test_bytes_metadata_and_dictionary(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)

        codec = CodecFingerprint("even", "cd" * 32, (1024,) * 8, 320, 24000)

        rows = [
            ShardRow(f"u{idx}", "train", Side(make_codes(rng, 200, codec.codebook_sizes)), Side()) for idx in range(300)
        ]

        path = tmp_path / "x.parquet"

        quarantined = [Quarantined("bad", "is empty")]

        write_shard(path, rows, codec, PROVENANCE, quarantined=quarantined)

        first = path.read_bytes()

        write_shard(path, rows, codec, PROVENANCE, quarantined=quarantined)

        assert path.read_bytes() == first

        file = pq.ParquetFile(path)

        column = file.metadata.row_group(0).column(file.schema_arrow.names.index("source_codes"))

        assert "RLE_DICTIONARY" in column.encodings

        # 10 of 16 bits are the entropy of these codes.
        assert column.total_compressed_size / (300 * 200 * 8 * 2) < 0.635

        metadata = file.schema_arrow.metadata

        assert CodecFingerprint.from_json(metadata[CODEC_KEY].decode()) == codec

        assert json.loads(metadata[PROVENANCE_KEY]) == {**PROVENANCE, "num_rows": 300}

        assert ShardReader(path).metadata.quarantined == tuple(quarantined)

    def test_codes_are_flat_and_frame_major(self, tmp_path: Path) -> None:
        codes = np.array([[1, 2, 3], [4, 5, 0]])

        write_shard(tmp_path / "x.parquet", [ShardRow("a", "train", Side(codes), Side())], CODEC, PROVENANCE)

        row = pq.read_table(tmp_path / "x.parquet").to_pylist()[0]

        assert row["source_codes"] == [1, 2, 3, 4, 5, 0]

        assert row["source_num_frames"] == 2

        assert row["target_codes"] is None

    @pytest.mark.parametrize(
        "codes",
        [np.zeros((0, 3)), np.zeros((2, 4)), np.zeros(3), np.array([[16, 0, 0]]), np.array([[0, 0, -1]])],
        ids=["no frames", "four streams", "flat", "too large", "negative"],
    )
    def test_codes_that_do_not_fit_are_not_written(self, tmp_path: Path, codes: Any) -> None:
        rows = [*make_rows(1), ShardRow("odd", "train", Side(), Side(codes.astype(np.int64)))]

        with pytest.raises(ValueError, match="target codes of utterance 'odd'"):
            write_shard(tmp_path / "x.parquet", rows, CODEC, PROVENANCE)

        assert not list(tmp_path.iterdir())


def damage(path: Path, change: Callable[[dict[str, Any]], None], *, row: int = 3) -> None:
    """Rewrites a shard with one row changed, metadata and all."""
    table = pq.read_table(path)

    rows = table.to_pylist()

    change(rows[row])

    # The element of a sound shard cannot be null; that of a foreign writer can.
    schema = table.schema

    for name in ("source_codes", "target_codes"):
        idx = schema.get_field_index(name)

        schema = schema.set(idx, pa.field(name, pa.list_(schema.field(idx).type.value_type)))

    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=2)


class TestFaults:
    @pytest.fixture
    def shard(self, tmp_path: Path) -> Path:
        path = tmp_path / "x.parquet"

        write_shard(path, make_rows(5), CODEC, PROVENANCE)

        return path

    def refused(self, path: Path, *words: str, codec: CodecFingerprint | None = CODEC) -> None:
        with pytest.raises(UserInputError) as info:
            ShardSet.open([path], codec=codec)

        message = str(info.value)

        assert "\n" not in message

        for word in (str(path), *words):
            assert word in message

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda row: row["source_codes"].__setitem__(4, 8), "source_codes leave code book 1 of size 8"),
            (lambda row: row["source_codes"].__setitem__(0, -1), "source_codes leave code book 0 of size 16"),
            (lambda row: row["source_codes"].__setitem__(2, 32767), "source_codes leave code book 2 of size 4"),
            (lambda row: row["source_codes"].__setitem__(1, None), "source_codes hold a null code"),
            (lambda row: row["source_codes"].pop(), "source_codes are no multiple of 3 code books"),
            (lambda row: row.update(source_num_frames=99), "source_codes disagree with the number of frames"),
            (lambda row: row.update(source_num_frames=None), "codes are there, but the number of frames is null"),
            (lambda row: row.update(source_codes=None), "source_codes are null, but the number of frames is not"),
            (lambda row: row.update(source_codes=[], source_num_frames=0), "source_codes are empty"),
            (lambda row: row.update(target_codes=[0] * 4, target_num_frames=1), "target_codes are no multiple of 3"),
        ],
    )
    def test_bad_codes_name_row_group_and_utterance(
        self, shard: Path, change: Callable[[dict[str, Any]], None], words: str
    ) -> None:
        # A fixed row, long enough for every change.
        rows = make_rows(5)
        rows[3] = ShardRow("u3", "train", Side(np.zeros((4, 3), dtype=np.int64)), Side())

        write_shard(shard, rows, CODEC, PROVENANCE)

        damage(shard, change)

        self.refused(shard, "row group 1", "utterance 'u3'", words)

    def test_sound_rewrite_is_accepted(self, shard: Path) -> None:
        """So that the test above fails for its change, not for the rewrite."""
        damage(shard, lambda row: None)

        assert len(ShardSet.open([shard], codec=CODEC)) == 5

    def test_another_codec_is_refused_with_both_sides(self, shard: Path) -> None:
        other = CodecFingerprint("codec_s2st_other", "cd" * 32, (16, 8, 4), 320, 16000)

        self.refused(shard, "codec_s2st_tiny", "codec_s2st_other", codec=other)

    def test_more_code_books_than_the_shard_has_are_refused(self, shard: Path) -> None:
        wider = CodecFingerprint("codec_s2st_tiny", "ab" * 32, (16, 8, 4, 4), 320, 16000)

        self.refused(shard, "16x8x4x4", codec=wider)

    def test_shards_of_two_codecs_are_refused(self, tmp_path: Path, shard: Path) -> None:
        other = CodecFingerprint("codec_s2st_other", "cd" * 32, (16, 8, 4), 320, 16000)

        write_shard(tmp_path / "y.parquet", make_rows(1), other, PROVENANCE)

        with pytest.raises(UserInputError, match=r"y\.parquet.*codec_s2st_other.*codec_s2st_tiny"):
            ShardSet.open([shard, tmp_path / "y.parquet"], codec=None)

    def test_codes_without_a_codec_are_refused(self, shard: Path) -> None:
        table = pq.read_table(shard)

        metadata = {key: value for key, value in table.schema.metadata.items() if key != CODEC_KEY}

        pq.write_table(table.replace_schema_metadata(metadata), shard)

        self.refused(shard, "row group 0", "utterance 'u0'", "names no codec")

    @pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}'])
    def test_damaged_fingerprint_is_refused(self, shard: Path, text: str) -> None:
        table = pq.read_table(shard)

        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, CODEC_KEY: text}), shard)

        self.refused(shard, "fingerprint")

    @pytest.mark.parametrize("text", ["{", "[]", b"\xff"])
    def test_damaged_provenance_is_refused(self, shard: Path, text: Any) -> None:
        table = pq.read_table(shard)

        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, PROVENANCE_KEY: text}), shard)

        self.refused(shard, "provenance")

    def test_other_parquet_is_refused(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"id": ["a"]}), tmp_path / "x.parquet")

        self.refused(tmp_path / "x.parquet", "is not a token shard")

    def test_missing_column_and_wrong_type_are_refused(self, shard: Path) -> None:
        table = pq.read_table(shard)

        pq.write_table(table.drop_columns(["target_text"]), shard)

        self.refused(shard, "column 'target_text'", "missing")

        idx = table.schema.get_field_index("source_num_frames")

        pq.write_table(table.set_column(idx, "source_num_frames", pa.array(["1"] * 5)), shard)

        self.refused(shard, "column 'source_num_frames'", "holds string")

    def test_null_id_is_refused(self, shard: Path) -> None:
        table = pq.read_table(shard)

        ids = pa.array(["a", None, "c", "d", "e"])

        pq.write_table(table.set_column(0, pa.field("id", pa.string()), ids), shard)

        self.refused(shard, "row group 0", "column 'id'")

    def test_lost_rows_are_refused(self, shard: Path) -> None:
        pq.write_table(pq.read_table(shard).slice(0, 3), shard)

        self.refused(shard, "holds 3 rows, but was written with 5")

    @pytest.mark.parametrize("where", ["empty", "no magic", "cut footer", "cut half", "cut head"])
    def test_truncated_file_is_refused(self, shard: Path, where: str) -> None:
        data = shard.read_bytes()

        cut = {
            "empty": b"",
            "no magic": b"RIFF" + data[4:-4] + b"RIFF",
            "cut footer": data[:-6],
            "cut half": data[: len(data) // 2],
            "cut head": data[len(data) // 2 :],
        }[where]

        shard.write_bytes(cut)

        self.refused(shard)

    def test_flipped_bit_in_a_page_names_the_row_group(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"

        write_shard(path, make_rows(2000), CODEC, PROVENANCE)

        column = pq.ParquetFile(path).metadata.row_group(1).column(2)

        data = bytearray(path.read_bytes())

        # The middle of the codes of row group 1: they are not compressed, so only the checksum can tell.
        data[column.data_page_offset + column.total_compressed_size // 2] ^= 1

        path.write_bytes(data)

        self.refused(path, "row group 1")

    def test_missing_file_is_refused(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none.parquet")

    def test_nothing_but_quarantined_rows_is_refused(self, tmp_path: Path) -> None:
        write_shard(tmp_path / "x.parquet", [], CODEC, PROVENANCE, quarantined=[Quarantined("a", "is empty")])

        assert ShardReader(tmp_path / "x.parquet").num_rows == 0

        self.refused(tmp_path / "x.parquet", "x.parquet hold no rows")


class TestFolders:
    def fill(self, folder: Path, num_shards: int) -> None:
        for idx in range(num_shards):
            write_shard(folder / shard_name(idx, num_shards), make_rows(2, seed=idx), CODEC, PROVENANCE)

    def test_shards_come_in_their_order(self, tmp_path: Path) -> None:
        self.fill(tmp_path, 11)

        (tmp_path / "quarantine.parquet").write_bytes(b"is not read")

        assert [path.name for path in find_shards(tmp_path)] == [shard_name(idx, 11) for idx in range(11)]

        assert len(ShardSet.open([tmp_path], codec=CODEC)) == 22

    def test_folder_by_two_names_is_refused(self, tmp_path: Path) -> None:
        self.fill(tmp_path / "a", 2)

        (tmp_path / "b").symlink_to(tmp_path / "a")

        for other in (tmp_path / "b", tmp_path / "a" / shard_name(1, 2)):
            with pytest.raises(UserInputError, match=r"is given twice \(name each folder"):
                ShardSet.open([tmp_path / "a", other], codec=CODEC)

    def test_incomplete_folder_is_refused(self, tmp_path: Path) -> None:
        self.fill(tmp_path, 3)

        (tmp_path / shard_name(1, 3)).unlink()

        with pytest.raises(UserInputError, match=r"lacks 1 of its 3 shards, such as shard-00001-of-00003"):
            find_shards(tmp_path)

    def test_two_runs_in_a_folder_are_refused(self, tmp_path: Path) -> None:
        self.fill(tmp_path, 2)
        self.fill(tmp_path, 3)

        with pytest.raises(UserInputError, match="mixes runs of 2 and 3 shards"):
            find_shards(tmp_path)

    def test_two_manifests_in_a_folder_are_refused(self, tmp_path: Path) -> None:
        self.fill(tmp_path, 2)

        write_shard(tmp_path / shard_name(1, 2), make_rows(2), CODEC, {**PROVENANCE, "manifest_sha256": "11"})

        with pytest.raises(UserInputError, match="2 different manifests"):
            find_shards(tmp_path)

    def test_surplus_shard_is_refused(self, tmp_path: Path) -> None:
        self.fill(tmp_path, 2)

        (tmp_path / shard_name(1, 2)).rename(tmp_path / shard_name(5, 2))

        with pytest.raises(UserInputError, match="shard-00005-of-00002"):
            find_shards(tmp_path)

    def test_folder_without_shards_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="holds no token shards"):
            find_shards(tmp_path)
