from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.launches import FakeSlurm


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    folder = tmp_path / "bin"

    folder.mkdir()

    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CODEC_S2ST_CACHE", str(tmp_path / "cache"))

    return FakeSlurm(folder)
