from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from codec_s2st.data.manifest import (
    MANIFEST_SCHEMA,
    ManifestRow,
    iter_rows,
    manifest_frame,
    manifest_path,
    read_manifest,
    resolve_audio,
    write_manifest,
)
from codec_s2st.data.manifest_checks import check_manifest
from codec_s2st.errors import UserInputError

ROWS = [
    ManifestRow(
        id="pair-1",
        split="train",
        source_audio="wavs/pair-1.wav",
        source_text="buenos días",
        source_lang="spa",
        source_speaker="ana",
        source_seconds=1.25,
        target_text="good morning",
        target_lang="eng",
    ),
    ManifestRow(id="text-1", split="valid", target_text="hello", target_lang="eng"),
    ManifestRow(id="abs-1", split="train", source_audio="/data/abs.wav", source_lang="spa"),
]


class TestRoundTrip:
    def test_rows_come_back_as_they_were(self, tmp_path: Path) -> None:
        file = write_manifest(manifest_frame(ROWS), tmp_path)

        assert file == tmp_path / "manifest.parquet"

        assert list(iter_rows(read_manifest(file))) == ROWS

    def test_folder_and_file_are_the_same(self, tmp_path: Path) -> None:
        file = write_manifest(manifest_frame(ROWS), tmp_path / "other.parquet")

        file.rename(tmp_path / "manifest.parquet")

        assert read_manifest(tmp_path).equals(read_manifest(tmp_path / "manifest.parquet"))

        assert manifest_path(tmp_path) == tmp_path / "manifest.parquet"

    def test_equal_frames_give_equal_bytes(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"

        write_manifest(manifest_frame(ROWS), one)
        write_manifest(manifest_frame(ROWS), two)

        assert one.read_bytes() == two.read_bytes()

        assert sorted(path.name for path in tmp_path.iterdir()) == ["one.parquet", "two.parquet"]

    def test_write_fills_absent_columns_with_nulls(self, tmp_path: Path) -> None:
        frame = pl.DataFrame({"id": ["a"], "split": ["train"], "source_text": ["hola"], "source_lang": ["spa"]})

        write_manifest(frame, tmp_path)

        read = read_manifest(tmp_path)

        assert read.schema == MANIFEST_SCHEMA

        assert read["target_seconds"].to_list() == [None]

    def test_read_leaves_out_further_columns(self, tmp_path: Path) -> None:
        manifest_frame(ROWS).with_columns(pl.lit(1).alias("extra")).write_parquet(tmp_path / "manifest.parquet")

        assert read_manifest(tmp_path).columns == list(MANIFEST_SCHEMA)


class TestResolveAudio:
    def test_relative_is_inside_the_folder_and_absolute_stays(self, tmp_path: Path) -> None:
        file = tmp_path / "manifest.parquet"

        assert resolve_audio(file, "wavs/a.wav") == tmp_path / "wavs" / "a.wav"

        assert resolve_audio(file, "/data/a.wav") == Path("/data/a.wav")


class TestFaults:
    @pytest.mark.parametrize(
        ("column", "value", "words"),
        [
            ("id", None, "is null"),
            ("id", "", "is empty"),
            ("id", "text-1", "occurs a second time"),
            ("id", "../../etc/passwd", "must be usable as a file name"),
            ("id", "..", "must be usable as a file name"),
            ("id", "a\nb", "must be usable as a file name"),
            ("id", "x" * 201, "longer than 200 bytes"),
            ("split", None, "is null"),
            ("split", "a/b", "must be usable as a file name"),
            ("source_audio", "../other/a.wav", "leaves the manifest's folder"),
            ("source_audio", "wavs/../../a.wav", "leaves the manifest's folder"),
            ("target_audio", "..", "leaves the manifest's folder"),
            ("source_audio", "a\0b.wav", "null character"),
            ("source_audio", " ", "is blank"),
            ("source_text", "", "is blank"),
            ("source_lang", "es", "is not an ISO 639-3 code"),
            ("source_lang", "SPA", "is not an ISO 639-3 code"),
            ("source_lang", None, "is null, although the row has a source"),
            ("target_lang", None, "is null, although the row has a target"),
            ("source_seconds", -1.0, "is not a duration"),
            ("source_seconds", float("nan"), "is not a duration"),
            ("target_seconds", float("inf"), "is not a duration"),
        ],
    )
    def test_bad_value_names_file_row_id_and_column(
        self, tmp_path: Path, column: str, value: object, words: str
    ) -> None:
        # The second of two rows; the first one is sound.
        values = {name: getattr(ROWS[0], name) for name in MANIFEST_SCHEMA} | {column: value}

        good = ROWS[1]

        data = {name: [getattr(good, name), values[name]] for name in MANIFEST_SCHEMA}

        pl.DataFrame(data, schema=MANIFEST_SCHEMA).write_parquet(tmp_path / "manifest.parquet")

        with pytest.raises(UserInputError) as info:
            read_manifest(tmp_path)

        message = str(info.value)

        assert words in message

        assert f"{tmp_path / 'manifest.parquet'}, row 1 (id '" in message

        assert f"column '{column}'" in message

        assert "\n" not in message

    def test_rows_of_a_piece_are_counted_on(self) -> None:
        frame = manifest_frame([*ROWS, ManifestRow(id="b/c", split="train", source_text="x", source_lang="spa")])

        with pytest.raises(UserInputError, match=rf"^manifest here, row {100 + len(ROWS)} \(id 'b/c'\), column 'id'"):
            check_manifest(frame, "here", first_row=100)

        frame = manifest_frame([*ROWS, ROWS[0]])

        with pytest.raises(UserInputError, match=rf"^manifest here, row {100 + len(ROWS)} .* occurs a second time"):
            check_manifest(frame, "here", first_row=100)

    def test_row_without_content_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=r"row 0 \(id 'a'\).*the row is empty"):
            write_manifest(manifest_frame([ManifestRow(id="a", split="train")]), tmp_path)

        assert not list(tmp_path.iterdir())

    def test_missing_column_is_named(self, tmp_path: Path) -> None:
        manifest_frame(ROWS).drop("target_lang").write_parquet(tmp_path / "manifest.parquet")

        with pytest.raises(UserInputError, match=r"manifest\.parquet, column 'target_lang': missing"):
            read_manifest(tmp_path)

    def test_wrong_type_is_named(self, tmp_path: Path) -> None:
        frame = manifest_frame(ROWS).with_columns(pl.lit(7).alias("source_text"))

        frame.write_parquet(tmp_path / "manifest.parquet")

        with pytest.raises(UserInputError, match=r"column 'source_text': holds Int32, must hold strings"):
            read_manifest(tmp_path)

    def test_unknown_column_is_not_written(self, tmp_path: Path) -> None:
        frame = manifest_frame(ROWS).rename({"source_text": "text"})

        with pytest.raises(UserInputError, match="column 'text': unknown"):
            write_manifest(frame, tmp_path)

    def test_no_rows_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="holds no rows"):
            write_manifest(manifest_frame([]), tmp_path)

    def test_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=r"manifest .*/manifest\.parquet does not exist"):
            read_manifest(tmp_path)

    def test_damaged_files_are_refused_in_one_line(self, tmp_path: Path) -> None:
        file = write_manifest(manifest_frame(ROWS), tmp_path)

        whole = file.read_bytes()

        damaged = [b"", b"not parquet", whole[:-1], whole[: len(whole) // 2], whole[len(whole) // 2 :]]

        # A flipped bit in the first data page: only the page's checksum can tell.
        damaged.append(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])

        for data in damaged:
            file.write_bytes(data)

            with pytest.raises(UserInputError) as info:
                read_manifest(file)

            assert str(file) in str(info.value)

            assert "\n" not in str(info.value)

    def test_unwritable_path_is_the_users_fault(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")

        with pytest.raises(UserInputError, match="cannot be written"):
            write_manifest(manifest_frame(ROWS), tmp_path / "file" / "out")


class TestSegments:
    @pytest.mark.parametrize(
        "audio", ["a.wav#t=", "a.wav#t=1", "a.wav#t=2,1", "a.wav#t=1,1", "a.wav#t=1,x", "a.wav#t=1,2.wav"]
    )
    def test_malformed(self, tmp_path: Path, audio: str) -> None:
        row = ManifestRow(id="a", split="train", source_audio=audio, source_lang="spa")

        with pytest.raises(UserInputError, match=r"column 'source_audio': 'a\.wav#t=.*' names no stretch of a file"):
            write_manifest(manifest_frame([row]), tmp_path)

    def test_well_formed(self, tmp_path: Path) -> None:
        rows = [
            ManifestRow(id=str(idx), split="train", source_audio=audio, source_lang="spa")
            for idx, audio in enumerate(["a.wav#t=0,1", "a.wav#t=1.5,20.25", "#t/a.wav"])
        ]

        write_manifest(manifest_frame(rows), tmp_path)

        assert list(iter_rows(read_manifest(tmp_path))) == rows
