from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from codec_s2st.data import files
from codec_s2st.data.files import atomic_path, read_retrying, sha256_of
from codec_s2st.errors import CodecS2STError, UserInputError


class TestAtomicPath:
    def test_old_file_stays_until_the_new_one_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "file"

        with atomic_path(path) as temporary:
            temporary.write_text("one")

            assert not path.exists()

        with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
            temporary.write_text("two")

            raise ZeroDivisionError

        assert path.read_text() == "one"

        assert [file.name for file in path.parent.iterdir()] == ["file"]

    def test_full_disk_is_the_machines_fault(self, tmp_path: Path) -> None:
        with pytest.raises(CodecS2STError, match="No space left") as info, atomic_path(tmp_path / "x") as temporary:
            temporary.write_text("half")

            raise OSError(errno.ENOSPC, "No space left on device")

        assert info.value.exit_code == 1

        assert not list(tmp_path.iterdir())


class TestReadRetrying:
    def test_hiccup_is_survived(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "RETRY_DELAYS", (0.0, 0.0))

        failures = [OSError(errno.EIO, "I/O"), OSError(errno.ESTALE, "stale")]

        def read() -> str:
            if failures:
                raise failures.pop()

            return "read"

        assert read_retrying(Path("x"), read) == "read"

    def test_lasting_failure_is_the_machines_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "RETRY_DELAYS", (0.0, 0.0))

        calls = []

        def read() -> None:
            calls.append(1)

            raise OSError(errno.EIO, "I/O")

        with pytest.raises(CodecS2STError, match="x cannot be read after 3 tries") as info:
            read_retrying(Path("x"), read)

        assert info.value.exit_code == 1

        assert len(calls) == 3

    def test_missing_file_is_not_retried(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="No such file"):
            sha256_of(tmp_path / "none")


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1_000_000)

    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
