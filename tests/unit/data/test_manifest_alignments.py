"""Alignments, from a manifest to token shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import soundfile

from codec_s2st.cli import main
from codec_s2st.data.alignment import AlignedSpan, TimedSpan
from codec_s2st.data.loading import AudioSettings
from codec_s2st.data.manifest import ManifestRow, iter_rows, manifest_frame, read_manifest, write_manifest
from codec_s2st.data.manifest_scan import scan_manifest
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.tokenize import tokenize_manifest
from codec_s2st.errors import UserInputError
from tests.tokenization import HOP, RATE, LoudnessCodec

WORDS = (TimedSpan("frase", 0.0, 0.1), TimedSpan("uno", 0.15, 0.25))

ROWS = [
    ManifestRow(id="a", split="train", source_audio="a.wav", source_text="frase uno", source_lang="spa"),
    ManifestRow(id="b", split="train", source_audio="b.wav", source_lang="spa", source_alignment=WORDS),
]


class TestManifest:
    def test_rows_come_back_as_they_were(self, tmp_path: Path) -> None:
        write_manifest(manifest_frame(ROWS), tmp_path)

        assert list(iter_rows(read_manifest(tmp_path))) == ROWS

        # A column of nothing but nulls is left out.
        assert "target_alignment" not in read_manifest(tmp_path).columns

    def test_manifests_without_have_no_further_columns(self, tmp_path: Path) -> None:
        file = write_manifest(manifest_frame(ROWS[:1]), tmp_path)

        assert not [name for name in pq.read_schema(file).names if "alignment" in name]

    def test_order_of_fields_and_type_of_numbers_do_not_matter(self, tmp_path: Path) -> None:
        spans = [None, [{"end": 1, "start": 0, "text": "frase"}]]

        frame = manifest_frame([replace(row, source_alignment=None) for row in ROWS])

        file = write_manifest(frame.with_columns(source_alignment=pl.Series(spans)), tmp_path)

        found = [None, (TimedSpan("frase", 0.0, 1.0),)]

        assert [row.source_alignment for row in iter_rows(read_manifest(file))] == found

        pq.write_table(frame.with_columns(source_alignment=pl.Series(spans)).to_arrow(), tmp_path / "raw.parquet")

        for path in (file, tmp_path / "raw.parquet"):
            frames = pl.concat(scan_manifest(path))

            assert [row.source_alignment for row in iter_rows(frames)] == found

    @pytest.mark.parametrize(
        "spans",
        [
            ["frase", None],
            [[1.0], None],
            [[{"text": "a", "start": 0.0}], None],
            [[{"text": 1, "start": 0.0, "end": 1.0}], None],
        ],
    )
    def test_other_types_are_refused(self, tmp_path: Path, spans: list[object]) -> None:
        frame = manifest_frame(ROWS[:1] * 2).with_columns(target_alignment=pl.Series(spans))

        with pytest.raises(UserInputError, match=r"'target_alignment': holds .*, must hold lists of structs with text"):
            write_manifest(frame, tmp_path)

    def test_filter_keeps_them(self, tmp_path: Path) -> None:
        write_manifest(manifest_frame(ROWS), tmp_path / "one")

        assert main(["filter", str(tmp_path / "one"), str(tmp_path / "two"), "--split", "train"]) == 0

        assert [row.source_alignment for row in iter_rows(read_manifest(tmp_path / "two"))] == [None, WORDS]


SPOKEN = (TimedSpan("frase", 0.2, 0.38), TimedSpan("uno", 0.4, 0.6))


def tokenize(tmp_path: Path, row: ManifestRow, *, trim_db: float | None = None) -> tuple[ShardSet, list[str]]:
    """Returns the shards of ``row``, whose audio is a tone of 0.4 s amid 0.8 s, and of another; and the quarantine."""
    tone = 0.5 * np.sin(np.arange(int(0.4 * RATE)) * 0.7)

    soundfile.write(tmp_path / "a.wav", np.pad(tone, int(0.2 * RATE)), RATE)

    other = ManifestRow(id="b", split="train", source_audio="a.wav", source_lang="spa")

    manifest = write_manifest(manifest_frame([row, other]), tmp_path)

    settings = AudioSettings(max_seconds=10.0, trim_db=trim_db, trim_margin=0.0)

    tokenize_manifest(manifest, tmp_path / "out", LoudnessCodec(), settings=settings)

    quarantine = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pydict()

    return ShardSet.open([tmp_path / "out"], codec=None), quarantine["reason"]


def aligned(*spans: TimedSpan) -> ManifestRow:
    return ManifestRow(id="a", split="train", source_audio="a.wav", source_lang="spa", source_alignment=spans)


class TestTokenize:
    def test_times_become_frames(self, tmp_path: Path) -> None:
        shards, reasons = tokenize(tmp_path, aligned(*SPOKEN))

        source = shards.row(0).source

        # 40 frames a second.
        assert source.codes is not None and len(source.codes) == 0.8 * RATE / HOP == 32

        assert source.alignment == (AlignedSpan("frase", 8, 15), AlignedSpan("uno", 16, 24))

        assert shards.row(1).source.alignment is None and reasons == []

        assert shards.has_alignment("source").tolist() == [True, False]

    def test_silence_that_is_cut_off_is_taken_off(self, tmp_path: Path) -> None:
        shards, _ = tokenize(tmp_path, aligned(*SPOKEN), trim_db=40.0)

        source = shards.row(0).source

        assert source.codes is not None and len(source.codes) == 16

        assert source.trimmed == pytest.approx((0.2, 0.2))

        assert source.alignment == (AlignedSpan("frase", 0, 7), AlignedSpan("uno", 8, 16))

    @pytest.mark.parametrize("trim_db", [None, 40.0])
    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (aligned(), "source_alignment: holds no span; an alignment that is not known is null"),
            (aligned(TimedSpan("a", 0.1, 0.2), TimedSpan("", 0.2, 0.3)), "source_alignment: span 1 has no text"),
            (
                aligned(TimedSpan("a", 0.5, 0.6), TimedSpan("b", 0.4, 0.6)),
                "source_alignment: span 1 ('b') is said from 0.4 to 0.6 s, after 0.5 s",
            ),
            (aligned(TimedSpan("a", 0.9, 1.0)), "source_alignment: span 0 ('a') begins at 0.9 s, but there are 0.80 s"),
            (
                replace(aligned(TimedSpan("a", 0.1, 0.2)), source_audio=None, source_text="a"),
                "source_alignment: there is no audio that it is of",
            ),
        ],
    )
    def test_what_cannot_be_is_set_aside(
        self, tmp_path: Path, row: ManifestRow, reason: str, trim_db: float | None
    ) -> None:
        shards, reasons = tokenize(tmp_path, row, trim_db=trim_db)

        assert [shards.row(i).id for i in range(len(shards))] == ["b"] and reasons == [reason]
