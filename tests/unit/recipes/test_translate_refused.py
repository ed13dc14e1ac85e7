"""What ``codec-s2st translate`` refuses of many recordings, and what it goes on after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec_s2st.cli import main
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.errors import UserInputError
from codec_s2st.translator import SpeechTranslator
from tests.published import contents, publish_random_model, write_speech


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a random model for s2st and s2tt from Spanish to English."""
    return publish_random_model(tmp_path_factory.mktemp("model"), "tiny_translator")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)

    write_speech(Path("in/a.wav"), seconds=0.3)
    write_speech(Path("in/b.wav"), seconds=0.3)

    return tmp_path


def run(*args: str | Path) -> int:
    return main(["translate", *map(str, args)])


def test_samples_whose_sum_is_not_finite_are_one_recordings_fault(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write("in/c.wav", np.full(8000, 3e38, dtype=np.float32), 16_000, subtype="FLOAT")

    assert run("in", "out", "--model", model) == 2

    assert sorted(contents(folder / "out")) == ["a.wav", "b.wav"]

    error = capsys.readouterr().err

    assert "left out: 'in/c.wav' holds samples that are not finite, or above 1e+30" in error
    assert "1 of 3 recordings could not be translated" in error

    translator = SpeechTranslator.from_card(str(model))

    with pytest.raises(UserInputError, match="the recording holds samples that are not finite"):
        translator.translate(torch.full((8, 8000), 3e38), sample_rate=16_000)


def test_manifest_of_another_target_language_is_refused_unless_it_is_chosen(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ManifestRow(id=lang, split="test", source_audio="a.wav", source_lang="spa", target_text="x", target_lang=lang)
        for lang in ("eng", "fra")
    ]

    write_manifest(manifest_frame(rows), Path("in"))

    assert run("in", "out", "--model", model) == 2

    assert sorted(contents(folder / "out")) == ["eng.wav"]
    assert "'in/a.wav' is to become fra, but is translated to eng (if that is meant" in capsys.readouterr().err

    assert run("in", "chosen", "--model", model, "--target", "eng") == 0

    assert sorted(contents(folder / "chosen")) == ["eng.wav", "fra.wav"]


def test_full_disk_ends_the_run_and_keeps_what_was_written(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.write_bytes

    def write_bytes(path: Path, data: bytes) -> int:
        if "b.wav" not in path.name:
            return original(path, data)

        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)

    write_speech(Path("in/c.wav"), seconds=0.3)

    assert run("in", "out", "--model", model) == 1

    assert sorted(contents(folder / "out")) == ["a.wav"]

    [error] = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]

    assert error.startswith("codec-s2st: error: 'out/b.wav'")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["in", "nowhere"], "'nowhere' cannot be written: the link leads nowhere"),
        (["in", "loop"], "'loop' cannot be written: the link leads nowhere"),
        (["in/a.wav", "loop.wav"], "Symlink loop from"),
        (["in/a.wav", "out.wav", "--task", "s2tt"], "'out.wav' is to be a recording, but the task ends in text"),
        (["in", "out", "--task", "nope"], "unknown task 'nope': known: s2st, s2tt"),
        (["twins", "out"], "'twins/a.flac' and 'twins/a.wav' would both be translated to 'out/a.wav'"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    Path("nowhere").symlink_to("absent/folder")

    for name in ("loop", "loop.wav"):
        Path(name).symlink_to(name)

    for name in ("a.wav", "a.flac"):
        write_speech(Path("twins", name), seconds=0.3)

    before = sorted(path.name for path in folder.rglob("*"))

    assert run(*args, "--model", model) == 2

    output = capsys.readouterr()

    assert output.out == ""
    assert message in output.err
    assert output.err.count("\n") == 1
    assert sorted(path.name for path in folder.rglob("*")) == before
