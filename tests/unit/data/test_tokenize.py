from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from torch import Tensor
from typing_extensions import override

from codec_s2st.codecs.audio import read_audio
from codec_s2st.codecs.codec import Codec
from codec_s2st.data import loading
from codec_s2st.data.array import ArrayTask
from codec_s2st.data.files import folder_lock
from codec_s2st.data.loading import AudioSettings
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.shard_reader import ShardReader
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.tokenize import Tokenization, tokenize_manifest
from codec_s2st.data.tokenize_summary import TokenizeSummary
from codec_s2st.errors import CodecS2STError, UserInputError
from tests.tokenization import HOP, RATE, LoudnessCodec, contents, write_corpus


def tokenize(
    manifest: Path, out: Path, codec: Codec | None = None, *, strict: bool = False, rows_per_shard: int = 2
) -> TokenizeSummary:
    summary = tokenize_manifest(manifest, out, codec or LoudnessCodec(), rows_per_shard=rows_per_shard, strict=strict)

    assert summary is not None

    return summary


class GroupingCodec(LoudnessCodec):
    """Takes the recordings of three rows at a time."""

    def __init__(self) -> None:
        super().__init__()

        self.group_sizes: list[int] = []

    @property
    @override
    def group_size(self) -> int:
        return 3

    @override
    def _do_encode_each(self, waves: Sequence[Tensor], num_streams: int) -> list[Tensor]:
        self.group_sizes.append(len(waves))

        return super()._do_encode_each(waves, num_streams)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


class TestShards:
    def test_codes_and_texts_are_those_of_the_manifest(self, tmp_path: Path, manifest: Path) -> None:
        codec = LoudnessCodec()

        summary = tokenize(manifest, tmp_path / "out", codec)

        shards = ShardSet.open([tmp_path / "out"], codec=codec.fingerprint)

        assert [shards.row(idx).id for idx in range(9)] == ["u0", "u1", "u2", "t2", "u3", "u4", "u5", "t5", "u6"]

        num_frames = 0

        for idx in range(len(shards)):
            row = shards.row(idx)

            for name, side in (("source", row.source), ("target", row.target)):
                if row.id.startswith("t"):
                    assert side.codes is None

                    continue

                wave = read_audio(manifest.parent / f"{name}-{row.id[1:]}.wav", sample_rate=RATE)

                assert side.codes is not None

                np.testing.assert_array_equal(side.codes, codec.encode(wave[None])[0].T.numpy())

                num_frames += len(side.codes)

        assert shards.row(1).source.text == "frase 1"

        assert shards.row(3).target.text == "text 2"

        assert shards.row(3).split == "valid"

        assert (summary.num_rows, summary.num_quarantined, summary.num_shards) == (9, 0, 5)

        assert summary.audio_seconds == pytest.approx(num_frames * HOP / RATE)

        assert "9 rows in 5 shard(s), 0 quarantined" in str(summary)

        assert "audio-hours an hour" in str(summary)

        assert pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pydict() == {"id": [], "reason": []}

    def test_metadata_say_how_the_shard_was_made(self, tmp_path: Path, manifest: Path) -> None:
        tokenize(manifest, tmp_path / "out")

        provenance = ShardReader(tmp_path / "out" / "shard-00004-of-00005.parquet").metadata.provenance

        assert provenance["manifest_sha256"] == hashlib.sha256(manifest.read_bytes()).hexdigest()

        assert str(provenance["tool"]).startswith("codec_s2st ")

        assert (provenance["shard"], provenance["num_rows"]) == (4, 1)

    def test_number_of_ranks_does_not_matter(self, tmp_path: Path, manifest: Path) -> None:
        tokenize(manifest, tmp_path / "one")

        for rank in (2, 0, 1):
            tokenization = Tokenization(manifest, tmp_path / "three", LoudnessCodec(), rows_per_shard=2)

            assert tokenization.run(tokenization.shards_of(ArrayTask(), rank, 3))

        tokenization.finish()

        assert contents(tmp_path / "three") == contents(tmp_path / "one")

    def test_readers_do_not_change_the_order(self, tmp_path: Path, manifest: Path) -> None:
        tokenize(manifest, tmp_path / "one")

        tokenization = Tokenization(manifest, tmp_path / "many", LoudnessCodec(), rows_per_shard=2, num_readers=5)

        (tmp_path / "many").mkdir()

        tokenization.run(tokenization.shards_of(ArrayTask()))
        tokenization.finish()

        assert contents(tmp_path / "many") == contents(tmp_path / "one")

    @pytest.mark.parametrize("whole_seconds", [60.0, 0.2])
    def test_what_is_encoded_together_does_not_matter(
        self, tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch, whole_seconds: float
    ) -> None:
        """Also where an utterance amid the others is long, and one cannot be read."""
        monkeypatch.setattr("codec_s2st.data.encode.WHOLE_SECONDS", whole_seconds)

        (manifest.parent / "target-3.wav").write_bytes(b"no wav")

        tokenize(manifest, tmp_path / "one", rows_per_shard=9)

        codec = GroupingCodec()

        tokenize(manifest, tmp_path / "groups", codec, rows_per_shard=9)

        assert contents(tmp_path / "groups") == contents(tmp_path / "one")

        # Of u0 to u2; of t2, which is a text, u3, which is not read, and u4; of u5, t5 and u6.
        assert whole_seconds < 1 or codec.group_sizes == [6, 2, 4]

    def test_groups_end_where_they_hold_much_audio(
        self, tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("codec_s2st.data.encode._GROUP_SECONDS", 0.05)

        codec = GroupingCodec()

        tokenize(manifest, tmp_path / "out", codec, rows_per_shard=9)

        assert codec.group_sizes == [2] * 7

    def test_texts_need_no_codec(self, tmp_path: Path) -> None:
        rows = [ManifestRow(id=f"t{idx}", split="train", target_text="hi", target_lang="eng") for idx in range(3)]

        write_manifest(manifest_frame(rows), tmp_path)

        summary = tokenize_manifest(tmp_path, tmp_path / "out", None)

        assert summary is not None

        assert (summary.num_rows, summary.audio_seconds) == (3, 0.0)

        assert ShardSet.open([tmp_path / "out"], codec=None).fingerprint is None

    def test_audio_needs_a_codec(self, tmp_path: Path, manifest: Path) -> None:
        with pytest.raises(UserInputError, match=r"row 'u0' of manifest .* has audio, but no codec was given"):
            tokenize_manifest(manifest, tmp_path / "out", None)


class TestQuarantine:
    def test_bad_audio_is_set_aside_with_its_reason(self, tmp_path: Path, manifest: Path) -> None:
        (manifest.parent / "source-1.wav").write_bytes(b"not audio at all")
        (manifest.parent / "target-4.wav").unlink()
        soundfile.write(manifest.parent / "source-5.wav", np.full(400, np.nan), RATE, subtype="FLOAT")
        soundfile.write(manifest.parent / "source-6.wav", np.zeros(0), RATE)

        summary = tokenize(manifest, tmp_path / "out")

        assert (summary.num_rows, summary.num_quarantined) == (5, 4)

        table = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pydict()

        assert table["id"] == ["u1", "u4", "u5", "u6"]

        words = ["source_audio: ", "target_audio: ", "NaN", "no samples"]

        for word, reason in zip(words, table["reason"], strict=True):
            assert word in reason

        # Shard 4 held u6 only: it is there, and empty.
        shards = ShardSet.open([tmp_path / "out"], codec=LoudnessCodec().fingerprint)

        assert [shards.row(idx).id for idx in range(len(shards))] == ["u0", "u2", "t2", "u3", "t5"]

    def test_samples_whose_sum_is_not_finite_are_set_aside(self, tmp_path: Path, manifest: Path) -> None:
        wave = np.full((400, 8), 3e38, dtype=np.float32)

        soundfile.write(manifest.parent / "source-0.wav", wave, RATE, subtype="FLOAT")

        tokenize(manifest, tmp_path / "out")

        [row] = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()

        assert row["id"] == "u0"
        assert "source-0.wav' holds samples that are NaN or infinite" in row["reason"]

    def test_long_audio_is_set_aside(self, tmp_path: Path, manifest: Path) -> None:
        soundfile.write(manifest.parent / "source-1.wav", np.zeros(2 * RATE), RATE)

        summary = tokenize_manifest(
            manifest, tmp_path / "out", LoudnessCodec(), settings=AudioSettings(max_seconds=1.5)
        )

        assert summary is not None

        assert summary.num_quarantined == 1

        assert "1.5 s" in pq.read_table(tmp_path / "out" / "quarantine.parquet")["reason"][0].as_py()

    def test_strict_fails_after_all_is_done(self, tmp_path: Path, manifest: Path) -> None:
        (manifest.parent / "source-1.wav").unlink()

        with pytest.raises(UserInputError, match=r"1 utterance\(s\) were quarantined.*quarantine\.parquet") as info:
            tokenize(manifest, tmp_path / "out", strict=True)

        assert info.value.exit_code == 2

        assert len(ShardSet.open([tmp_path / "out"], codec=None)) == 8

    def test_mended_audio_is_taken_in(self, tmp_path: Path, manifest: Path) -> None:
        tokenize(manifest, tmp_path / "sound")

        path = manifest.parent / "source-1.wav"

        data = path.read_bytes()

        path.unlink()

        tokenize(manifest, tmp_path / "out")

        path.write_bytes(data)

        codec = LoudnessCodec()

        assert tokenize(manifest, tmp_path / "out", codec).num_quarantined == 0

        # Source and target of the one utterance; the other one of the shard is kept.
        assert codec.num_calls == 2

        assert contents(tmp_path / "out") == contents(tmp_path / "sound")

    def test_nothing_but_bad_audio_is_an_error(self, tmp_path: Path, manifest: Path) -> None:
        for path in manifest.parent.glob("*.wav"):
            path.unlink()

        with pytest.raises(UserInputError, match=r"none of the 7 utterances .* 'u0': source_audio"):
            tokenize(manifest, tmp_path / "out")

    def test_failing_storage_is_not_the_utterances_fault(
        self, tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read_audio(path: Path, **kwargs: object) -> Tensor:
            raise UserInputError(f"audio file '{path}' cannot be read") from OSError(5, "Input/output error")

        monkeypatch.setattr(loading, "read_audio", read_audio)
        monkeypatch.setattr("codec_s2st.data.files.RETRY_DELAYS", (0.0,))

        with pytest.raises(CodecS2STError, match=r"source-0\.wav cannot be read after 2 tries") as info:
            tokenize(manifest, tmp_path / "out")

        assert info.value.exit_code == 1


class TestAgain:
    def test_second_run_encodes_nothing_and_changes_nothing(self, tmp_path: Path, manifest: Path) -> None:
        (manifest.parent / "source-3.wav").unlink()

        tokenize(manifest, tmp_path / "out")

        before = contents(tmp_path / "out")

        written = {path: path.stat().st_mtime_ns for path in tmp_path.joinpath("out").glob("shard-*")}

        codec = LoudnessCodec()

        summary = tokenize(manifest, tmp_path / "out", codec)

        assert codec.num_calls == 0

        assert "nothing left to encode" in str(summary)

        assert contents(tmp_path / "out") == before

        assert {path: path.stat().st_mtime_ns for path in written} == written

    @pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "other codec", "other manifest"])
    def test_what_is_not_valid_is_made_again(self, tmp_path: Path, manifest: Path, damage: str) -> None:
        out = tmp_path / "out"

        tokenize(manifest, out)

        wanted = contents(out)

        path = out / "shard-00001-of-00005.parquet"

        data = path.read_bytes()

        if damage == "missing":
            path.unlink()
        elif damage == "truncated":
            path.write_bytes(data[:-9])
        elif damage == "flipped":
            # In a page of the second column.
            offset = pq.ParquetFile(path).metadata.row_group(0).column(2).data_page_offset + 20

            path.write_bytes(data[:offset] + bytes([data[offset] ^ 4]) + data[offset + 1 :])
        elif damage == "other codec":
            other = tmp_path / "other"

            tokenize(manifest, other, LoudnessCodec("cd" * 32))

            path.write_bytes((other / path.name).read_bytes())
        else:
            other = tmp_path / "other"

            tokenize(write_corpus(tmp_path / "corpus-2", num_pairs=8), other)

            path.write_bytes((other / path.name).read_bytes())

        codec = LoudnessCodec()

        tokenize(manifest, out, codec)

        # Of the two rows of shard 1, one is a text: the other one has two sides.
        assert codec.num_calls == 2

        assert contents(out) == wanted

    def test_another_number_of_shards_replaces_the_old_ones(self, tmp_path: Path, manifest: Path) -> None:
        tokenize(manifest, tmp_path / "out", rows_per_shard=2)
        tokenize(manifest, tmp_path / "out", rows_per_shard=4)

        assert sorted(contents(tmp_path / "out")) == [
            "quarantine.parquet",
            *(f"shard-0000{idx}-of-00003.parquet" for idx in range(3)),
        ]

    # The child kills itself: after row 4, i.e. in the middle of shard 1; and when shard 2 is written, but not renamed.
    @pytest.mark.parametrize("where", ["row 4", "rename 3"])
    def test_killed_run_is_completed_byte_for_byte(self, tmp_path: Path, manifest: Path, where: str) -> None:
        tokenize(manifest, tmp_path / "wanted")

        kind, number = where.split()

        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])}

        command = [sys.executable, "-c", _KILLED_RUN, str(manifest), str(tmp_path / "out"), kind, number]

        child = subprocess.run(command, env=env, capture_output=True, check=False)

        assert child.returncode == -signal.SIGKILL, child.stderr.decode()

        left = contents(tmp_path / "out")

        whole = {name for name in left if name.startswith("shard-")}

        assert len(whole) == (1 if kind == "row" else 2)

        wanted = contents(tmp_path / "wanted")

        assert all(left[name] == wanted[name] for name in whole)

        assert [name for name in left if name.endswith(".tmp")] == (
            [] if kind == "row" else [".shard-00002-of-00005.parquet.tmp"]
        )

        tokenize(manifest, tmp_path / "out")

        assert contents(tmp_path / "out") == wanted

    def test_stopped_run_leaves_no_half_shard(self, tmp_path: Path, manifest: Path) -> None:
        (tmp_path / "out").mkdir()

        tokenization = Tokenization(manifest, tmp_path / "out", LoudnessCodec(), rows_per_shard=2)

        num_asked = 0

        def should_stop() -> bool:
            nonlocal num_asked

            num_asked += 1

            return num_asked == 3

        assert not tokenization.run(range(5), should_stop=should_stop)

        assert list(contents(tmp_path / "out")) == ["shard-00000-of-00005.parquet"]

        with pytest.raises(UserInputError, match="shard-00001-of-00005"):
            tokenization.finish()

    def test_second_run_at_a_time_is_refused(self, tmp_path: Path, manifest: Path) -> None:
        with (
            folder_lock(tmp_path / "out"),
            pytest.raises(UserInputError, match="another run is writing to"),
        ):
            tokenize(manifest, tmp_path / "out")

        tokenize(manifest, tmp_path / "out")


class TestArguments:
    @pytest.mark.parametrize("name", ["rows_per_shard", "max_seconds", "num_readers"])
    def test_value_that_is_not_positive_is_refused(self, tmp_path: Path, manifest: Path, name: str) -> None:
        with pytest.raises(UserInputError, match=f"{name} must be positive, but is 0"):
            if name == "max_seconds":
                Tokenization(manifest, tmp_path / "out", LoudnessCodec(), settings=AudioSettings(max_seconds=0))
            else:
                Tokenization(manifest, tmp_path / "out", LoudnessCodec(), **{name: 0})  # type: ignore[arg-type]

    def test_progress_adds_up(self, tmp_path: Path, manifest: Path) -> None:
        steps: list[tuple[int, float]] = []

        summary = tokenize_manifest(
            manifest, tmp_path / "out", LoudnessCodec(), progress=lambda *step: steps.append(step)
        )

        assert summary is not None

        assert sum(rows for rows, _ in steps) == 9

        assert sum(seconds for _, seconds in steps) == pytest.approx(summary.encoded_seconds)

    def test_unwritable_folder_is_the_users_fault(self, tmp_path: Path, manifest: Path) -> None:
        (tmp_path / "file").write_text("in the way")

        with pytest.raises(UserInputError, match="cannot be written"):
            tokenize(manifest, tmp_path / "file")


_KILLED_RUN = """
import os, signal, sys
from pathlib import Path

from codec_s2st.data import files
from codec_s2st.data.tokenize import tokenize_manifest
from tests.tokenization import LoudnessCodec

manifest, out, kind, number = sys.argv[1:]

calls = 0

def count(wanted):
    global calls

    if kind == wanted:
        calls += 1

        if calls == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

def replace(source, target, *, replace=os.replace):
    count("rename")

    replace(source, target)

files.os.replace = replace

tokenize_manifest(
    Path(manifest), Path(out), LoudnessCodec(), rows_per_shard=2, progress=lambda rows, _: rows and count("row")
)
"""
