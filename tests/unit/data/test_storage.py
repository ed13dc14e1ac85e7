"""Storage that goes away is not mistaken for files that do not exist."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from codec_s2st.data import files, storage
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.storage import StorageWatch
from codec_s2st.data.tokenize import tokenize_manifest
from codec_s2st.errors import CodecS2STError, UserInputError
from tests.tokenization import LoudnessCodec, contents, write_corpus


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time."""
    slept: list[float] = []

    monkeypatch.setattr(storage.time, "sleep", slept.append)

    return slept


def read_from(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return path.read_bytes()
        except OSError as ex:
            raise UserInputError(f"audio file '{path}' cannot be read") from ex

    return read


class TestStorageWatch:
    def test_error_of_the_storage_is_survived(self, tmp_path: Path, sleeps: list[float]) -> None:
        failures = [errno.EIO, errno.ESTALE, errno.ETIMEDOUT]

        def read() -> str:
            if failures:
                raise UserInputError("bad") from OSError(failures.pop(), "failed")

            return "read"

        assert StorageWatch().read("source", tmp_path / "a", read) == "read"

        assert tuple(sleeps) == files.RETRY_DELAYS[:3]

    def test_lasting_error_is_the_machines_fault(self, tmp_path: Path, sleeps: list[float]) -> None:
        def read() -> None:
            raise UserInputError("bad") from OSError(errno.EIO, "Input/output error")

        with pytest.raises(CodecS2STError, match="a cannot be read after 5 tries: Input/output error") as info:
            StorageWatch().read("source", tmp_path / "a", read)

        assert info.value.exit_code == 1

        assert tuple(sleeps) == files.RETRY_DELAYS

    def test_bad_file_is_not_read_again(self, tmp_path: Path, sleeps: list[float]) -> None:
        def read() -> None:
            raise UserInputError("not audio")

        with pytest.raises(UserInputError, match="not audio"):
            StorageWatch().read("source", tmp_path / "a", read)

        assert not sleeps

    def test_missing_file_is_missing_while_others_are_there(self, tmp_path: Path, sleeps: list[float]) -> None:
        watch = StorageWatch()

        (tmp_path / "a").write_bytes(b"a")

        watch.read("source", tmp_path / "a", read_from(tmp_path / "a"))

        for path in (tmp_path / "b", tmp_path / "no folder" / "b"):
            with pytest.raises(UserInputError):
                watch.read("source", path, read_from(path))

        watch.check_suspects()

        assert not sleeps

    @pytest.mark.parametrize("comes_back", [False, True])
    def test_missing_file_is_the_storages_fault_when_others_went_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_back: bool
    ) -> None:
        watch, mount = StorageWatch(), tmp_path / "mount"

        mount.mkdir()

        for name in "ab":
            (mount / name).write_bytes(b"a")

        watch.read("source", mount / "a", read_from(mount / "a"))

        mount.rename(tmp_path / "away")

        monkeypatch.setattr(
            storage.time, "sleep", lambda _: comes_back and not mount.exists() and (tmp_path / "away").rename(mount)
        )

        if comes_back:
            assert watch.read("source", mount / "b", read_from(mount / "b")) == b"a"
        else:
            with pytest.raises(CodecS2STError, match="after 5 tries: No such file") as info:
                watch.read("source", mount / "b", read_from(mount / "b"))

            assert info.value.exit_code == 1

    @pytest.mark.parametrize("make_folder", [False, True])
    def test_first_file_is_a_suspect_if_its_folder_is_missing_or_empty(self, tmp_path: Path, make_folder: bool) -> None:
        watch, path = StorageWatch(), tmp_path / "mount" / "a"

        if make_folder:
            path.parent.mkdir()

        with pytest.raises(UserInputError):
            watch.read("source", path, read_from(path))

        with pytest.raises(CodecS2STError, match="its storage may not be mounted") as info:
            watch.check_suspects()

        assert info.value.exit_code == 1

        watch.check_suspects()

    def test_suspect_is_cleared_by_a_file_of_its_kind(self, tmp_path: Path) -> None:
        watch, good = StorageWatch(), tmp_path / "good"

        good.write_bytes(b"a")

        def suspect() -> None:
            with pytest.raises(UserInputError):
                watch.read("source", tmp_path / "none" / "a", read_from(tmp_path / "none" / "a"))

        suspect()

        watch.read("target", good, read_from(good))

        with pytest.raises(CodecS2STError, match="may not be mounted"):
            watch.check_suspects()

        suspect()

        watch.read("source", good, read_from(good))

        watch.check_suspects()


class TestTokenize:
    @pytest.fixture
    def manifest(self, tmp_path: Path) -> Path:
        write_corpus(tmp_path / "mount")

        rows = [
            ManifestRow(id=f"u{i}", split="train", source_audio=f"{tmp_path}/mount/source-{i}.wav", source_lang="spa")
            for i in range(7)
        ]

        return write_manifest(manifest_frame(rows), tmp_path)

    def tokenize(self, manifest: Path, out: Path, **kwargs: object) -> None:
        tokenize_manifest(manifest, out, LoudnessCodec(), rows_per_shard=2, **kwargs)  # type: ignore[arg-type]

    def test_storage_that_is_not_there_makes_no_shards(self, tmp_path: Path, manifest: Path) -> None:
        (tmp_path / "mount").rename(tmp_path / "away")

        with pytest.raises(CodecS2STError, match="its storage may not be mounted") as info:
            self.tokenize(manifest, tmp_path / "out")

        assert info.value.exit_code == 1

        assert not list((tmp_path / "out").glob("shard-*"))

    def test_storage_that_goes_away_ends_the_run_and_the_next_one_makes_the_rest(
        self, tmp_path: Path, manifest: Path
    ) -> None:
        self.tokenize(manifest, tmp_path / "clean")

        out = tmp_path / "out"

        def unmount(rows: int, seconds: float) -> None:
            if list(out.glob("shard-*")) and (tmp_path / "mount").exists():
                (tmp_path / "mount").rename(tmp_path / "away")

        with pytest.raises(CodecS2STError, match=r"source-\d\.wav cannot be read after 5 tries: No such file"):
            self.tokenize(manifest, out, progress=unmount)

        left = {name: digest for name, digest in contents(out).items() if name.startswith("shard-")}

        assert 1 <= len(left) < 4

        assert left.items() < contents(tmp_path / "clean").items()

        (tmp_path / "away").rename(tmp_path / "mount")

        self.tokenize(manifest, out)

        assert contents(out) == contents(tmp_path / "clean")

        assert pq.read_table(out / "quarantine.parquet").num_rows == 0

    def test_rows_without_a_folder_stay_in_quarantine_when_nothing_else_is_read(
        self, tmp_path: Path, manifest: Path
    ) -> None:
        rows = [
            ManifestRow(id=f"u{i}", split="train", source_audio=path, source_lang="spa")
            for i, path in enumerate(["gone/1.wav", "mount/source-1.wav", "gone/2.wav"])
        ]

        write_manifest(manifest_frame(rows), tmp_path)

        tokenize_manifest(tmp_path, tmp_path / "out", LoudnessCodec())

        before = contents(tmp_path / "out")

        assert pq.read_table(tmp_path / "out" / "quarantine.parquet")["id"].to_pylist() == ["u0", "u2"]

        # The second run has nothing to read but what is missing.
        tokenize_manifest(tmp_path, tmp_path / "out", LoudnessCodec())

        assert contents(tmp_path / "out") == before
