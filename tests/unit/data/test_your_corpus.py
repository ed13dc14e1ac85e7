"""Runs the example of ``docs/guides/your-corpus.md`` as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from codec_s2st.cli import main
from codec_s2st.data.dataset import DataSection
from codec_s2st.data.manifest import iter_rows, read_manifest
from codec_s2st.data.mixture import MixtureEntry

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "your-corpus.md"


GUIDE_MIXTURE = GUIDE.read_text().partition("key of an entry")[2]


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)


def test_example_makes_a_manifest(tmp_path: Path) -> None:
    (table,), (program,) = code_blocks("tsv"), code_blocks("python")

    (tmp_path / "corpus.tsv").write_text(table)

    (tmp_path / "wavs").mkdir()

    for name in re.findall(r"wavs/\S+", table):
        soundfile.write(tmp_path / name, np.zeros(8000), 16000)

    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr

    assert run.stdout == "manifest.parquet\n"

    rows = list(iter_rows(read_manifest(tmp_path)))

    assert [row.id for row in rows] == ["0001", "0002", "0003", "0004"]

    assert rows[1].source_text == "¿dónde está?"

    assert rows[1].source_lang == "spa"

    assert (rows[1].target_audio, rows[1].target_seconds) == ("wavs/0002.eng.wav", 0.5)

    assert (rows[3].split, rows[3].target_audio, rows[3].target_seconds) == ("train", None, None)


def test_mixture_is_one() -> None:
    (example,) = code_blocks("yaml")

    values = yaml.safe_load(example)["data"]

    entries = [MixtureEntry(**entry) for entry in values.pop("mixture")]

    assert not DataSection(mixture=entries, **values).validate().has_error()

    # Every key of an entry is explained.
    explained = re.findall(r"^\| `(\w+)` \|", GUIDE_MIXTURE, re.MULTILINE)

    assert {field.name for field in fields(MixtureEntry)} == set(explained)


def test_command_makes_the_same_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (table,), (command,) = code_blocks("tsv"), code_blocks("sh")

    (tmp_path / "corpus.tsv").write_text(table)

    (tmp_path / "wavs").mkdir()

    for name in re.findall(r"wavs/\S+", table):
        soundfile.write(tmp_path / name, np.zeros(8000), 16000)

    monkeypatch.chdir(tmp_path)

    program, *args = shlex.split(command.replace("\\\n", " "))

    assert (program, main(args)) == ("codec-s2st", 0)

    rows = list(iter_rows(read_manifest(tmp_path)))

    assert [row.id for row in rows] == ["0001", "0002", "0003", "0004"]

    assert (rows[1].source_text, rows[1].target_audio, rows[1].split) == ("¿dónde está?", "wavs/0002.eng.wav", "train")

    assert (rows[3].target_text, rows[3].target_audio, rows[3].target_lang) == ("good night", None, "eng")
