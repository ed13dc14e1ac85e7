from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st import _libsndfile


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records what is loaded; the system has no libsndfile, a path can be loaded."""
    names: list[str] = []

    def load(name: str) -> bool:
        names.append(name)

        return Path(name).is_absolute()

    monkeypatch.setattr(_libsndfile, "_load", load)

    return names


def preload() -> Path | None:
    return _libsndfile.preload_libsndfile.__wrapped__()


def test_bundled_copy_is_that_of_the_wheel() -> None:
    path = _libsndfile.find_bundled_libsndfile()

    assert path is not None
    assert path.parent.name == "_soundfile_data"


def test_preload_falls_back_to_the_wheel(loaded: list[str]) -> None:
    path = preload()

    assert path == _libsndfile.find_bundled_libsndfile()
    assert loaded == [_libsndfile.library_name(), str(path)]


def test_preload_prefers_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_libsndfile, "_load", lambda name: True)

    assert preload() is None


def test_preload_raises_nothing_when_there_is_no_library(monkeypatch: pytest.MonkeyPatch, loaded: list[str]) -> None:
    monkeypatch.setattr(_libsndfile, "find_bundled_libsndfile", lambda: None)

    assert preload() is None
