from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("espeakng_loader")

from codec_s2st.cli import main as cli_main
from codec_s2st.data.manifest import iter_rows, read_manifest
from codec_s2st.demo.corpus import iter_demo_utterances, write_corpus
from codec_s2st.demo.espeak import HELD_OUT_VOICES, LARGE_TARGET_VOICES, SOURCE_VOICES, TARGET_VOICES
from codec_s2st.demo.grammar import sample_pairs, sample_second_text
from codec_s2st.demo.utterances import speak
from codec_s2st.errors import UserInputError


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes_whatever_the_jobs(tmp_path: Path) -> None:
    for name, jobs in (("a", 1), ("b", 3)):
        write_corpus(tmp_path / name, split="train", num=10, text_only=5, seed=3, jobs=jobs)

    write_corpus(tmp_path / "c", split="train", num=10, text_only=5, seed=4)

    assert _files(tmp_path / "a") == _files(tmp_path / "b")
    assert _files(tmp_path / "a") != _files(tmp_path / "c")


def test_manifest_describes_the_files(tmp_path: Path) -> None:
    frame = read_manifest(write_corpus(tmp_path, split="train", num=6, text_only=4, seed=1))

    assert len(frame) == 10

    pairs = sample_pairs("train", 6, seed=1)

    for row, pair in zip(frame.head(6).iter_rows(named=True), pairs, strict=True):
        assert (row["id"], row["source_text"], row["target_text"]) == (pair.id, pair.spa, pair.eng)

        for side in ("source", "target"):
            info = soundfile.info(tmp_path / row[f"{side}_audio"])

            assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
            assert info.duration == row[f"{side}_seconds"]

    for row in frame.tail(4).iter_rows(named=True):
        assert row["source_audio"] is row["target_audio"] is row["source_speaker"] is None
        assert row["source_text"] and row["target_text"]

    assert {path.name for path in (tmp_path / "wav").iterdir()} == {
        f"{pair.id}.{lang}.wav" for pair in pairs for lang in ("spa", "eng")
    }


def test_alignments_are_added_and_change_nothing_else(tmp_path: Path) -> None:
    plain = write_corpus(tmp_path / "a", split="train", num=5, text_only=2, seed=3)

    aligned = write_corpus(tmp_path / "b", split="train", num=5, text_only=2, seed=3, alignments=True)

    frame = read_manifest(aligned)

    assert frame.drop("source_alignment", "target_alignment").equals(read_manifest(plain))

    for row in iter_rows(frame.head(5)):
        for spans, text, seconds in (
            (row.source_alignment, row.source_text, row.source_seconds),
            (row.target_alignment, row.target_text, row.target_seconds),
        ):
            assert spans is not None and seconds is not None

            assert " ".join(span.text for span in spans) == text and spans[-1].end <= seconds

    assert [row.source_alignment for row in iter_rows(frame.tail(2))] == [None, None]


def test_channel_changes_the_spanish_speech_alone(tmp_path: Path) -> None:
    plain, noisy = (
        write_corpus(tmp_path / channel, split="test", num=3, seed=3, channel=channel) for channel in ("clean", "noise")
    )

    assert read_manifest(plain).equals(read_manifest(noisy))

    files, noisy_files = _files(plain.parent), _files(noisy.parent)

    assert {name for name in files if files[name] != noisy_files[name]} == {n for n in files if n.endswith(".spa.wav")}

    with pytest.raises(UserInputError, match="channel 'fax'"):
        write_corpus(tmp_path / "fax", split="test", num=3, seed=3, channel="fax")

    assert not (tmp_path / "fax").exists()


def test_unseen_voices_are_unseen() -> None:
    seen = {u.source_speaker for u in iter_demo_utterances("test", 60, seed=1)}
    unseen = {u.source_speaker for u in iter_demo_utterances("test-unseen-voice", 20, seed=1)}

    assert seen == {voice.name for voice in SOURCE_VOICES}
    assert unseen == {voice.name for voice in HELD_OUT_VOICES}


def test_target_voices_are_those_of_the_world_and_leave_the_source_as_it_is() -> None:
    for world, voices in (("small", TARGET_VOICES[:1]), ("demo", TARGET_VOICES[:1]), ("large", LARGE_TARGET_VOICES)):
        spoken = {u.target_speaker for u in iter_demo_utterances("test", 40, seed=1, world=world)}

        assert spoken == {voice.name for voice in voices}

    # Who speaks Spanish decides who speaks English.
    pairs = {(u.source_speaker, u.target_speaker) for u in iter_demo_utterances("test", 60, seed=1, world="large")}

    assert len(pairs) == len({source for source, _ in pairs}) == len(SOURCE_VOICES)

    assert {target for source, target in pairs if "-f" in source} == {"eng-en-us-f1"}
    assert "eng-en-us-f1" not in {target for source, target in pairs if "-m" in source}

    pair = sample_pairs("test", 1, seed=1)[0]

    one, many = speak(pair, "test", 1), speak(pair, "test", 1, world="large")

    assert one.source_speaker == many.source_speaker and np.array_equal(one.source, many.source)


def test_iterator_can_be_left_early_and_does_not_depend_on_jobs() -> None:
    one = iter_demo_utterances("valid", 40, seed=2)
    two = iter_demo_utterances("valid", 40, seed=2, jobs=2)

    for _ in range(5):
        first, second = next(one), next(two)

        assert first.pair == second.pair
        assert np.array_equal(first.source, second.source)
        assert np.array_equal(first.target, second.target)

    two.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, "did you mean 'test'"),
        ({"num": -1}, "nothing to write"),
        ({"num": 0}, "nothing to write"),
        ({"jobs": 0}, "number of jobs is 0"),
        ({"split": "test", "text_only": 3}, "only the split 'train'"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"split": "train", "num": 1, "seed": 1, **options}

    with pytest.raises(UserInputError, match=message):
        write_corpus(tmp_path / "out", **arguments)  # type: ignore[arg-type]

    assert not (tmp_path / "out").exists()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["demo-corpus", str(tmp_path / "out"), "--split", "test", "--num", "2", "--seed", "7"]

    assert cli_main(arguments) == 0

    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "manifest.parquet")


def test_command_writes_held_out_text_of_the_second_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_main(["demo-corpus", str(tmp_path), "--split", "test", "--num", "0", "--second-text", "50"]) == 0

    path = tmp_path / "second-text.txt"

    assert capsys.readouterr().out.strip() == str(path)

    lines = path.read_text().splitlines()

    assert len(set(lines)) == 50 and set(lines).isdisjoint(sample_second_text(5_000, seed=1))

    assert not (tmp_path / "manifest.parquet").exists()


def test_command_speaks_of_the_world_that_is_named(tmp_path: Path) -> None:
    assert cli_main(["demo-corpus", str(tmp_path), "--world", "large", "--num", "3", "--seed", "2"]) == 0

    expected = sample_pairs("train", 3, seed=2, world="large")

    assert read_manifest(tmp_path / "manifest.parquet")["source_text"].to_list() == [pair.spa for pair in expected]


def test_command_with_a_bad_folder_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")

    assert cli_main(["demo-corpus", str(tmp_path / "file" / "out"), "--split", "test", "--num", "1"]) == 2

    error = capsys.readouterr().err

    assert error.count("\n") == 1
    assert "cannot be written" in error


def test_full_disk_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_bytes(path: Path, data: bytes) -> int:
        path.touch()

        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)

    assert cli_main(["demo-corpus", str(tmp_path), "--split", "test", "--num", "1"]) == 1

    assert "cannot be written: No space left on device" in capsys.readouterr().err

    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]


def test_file_in_the_place_of_the_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()

    assert cli_main(["demo-corpus", str(tmp_path / "file"), "--split", "test", "--num", "1"]) == 2

    assert f"{tmp_path / 'file'} cannot be written: it is a file, not a folder" in capsys.readouterr().err
