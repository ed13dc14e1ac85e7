from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from codec_s2st.codecs import load_codec
from tests.factories import toy_rows, write_toy_shards, write_toy_tokenizer
from tests.toy_runs import Toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    folder = tmp_path_factory.mktemp("toy")

    fingerprint = load_codec("demo_codec").fingerprint.first(2)

    write_toy_shards(folder / "shards", toy_rows(120, num_valid=20), fingerprint)

    write_toy_tokenizer(folder / "assets", "another_tokenizer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(folder / "assets"))

        yield Toy(folder)


@pytest.fixture(scope="module")
def cpt_run(toy: Toy) -> Path:
    """The uninterrupted run that others are compared with."""
    run = toy.folder / "cpt"

    assert toy.cpt(run) == 0

    return run


@pytest.fixture
def run(cpt_run: Path, tmp_path: Path) -> Path:
    """A copy of a run of 60 steps, with a checkpoint every tenth."""
    return shutil.copytree(cpt_run, tmp_path / "run")
