from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.data.preparation.probe import MISSING, UNREADABLE
from codec_s2st.data.preparation.text_files import NOT_TEXT
from codec_s2st.errors import UserInputError
from tests.corpora import prepare, reasons, write_speech, write_text


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "src" / "LibriSpeech"

    for subset, chapter, num in (("train-clean-100", "103-1240", 3), ("dev-clean", "84-121123", 1)):
        speaker, _, book = chapter.partition("-")

        folder = root / subset / speaker / book

        lines = [f"{chapter}-{idx:04d} THE TEXT OF {idx}" for idx in range(num)]

        write_text(folder / f"{chapter}.trans.txt", "\n".join(lines) + "\n")

        for idx in range(num):
            write_speech(folder / f"{chapter}-{idx:04d}.flac", 0.25 * (idx + 1))

    # The test set of quirks.
    folder = root / "test-other" / "367" / "130732"

    write_text(
        folder / "367-130732.trans.txt",
        b"\xef\xbb\xbf367-130732-0000 ONE\r\n"  # a byte order mark, CR LF
        b"367-130732-0001 MISSING\r\n"
        b"367-130732-0002 \r\n"  # an empty transcript
        b"367-130732-0003 CAF\xc9\r\n"  # latin-1
        b"367-130732-0004 NOT AUDIO\r\n"
        b"367-130732-0000 ONE AGAIN\r\n"
        b"../../../secret OUTSIDE\r\n"
        b"367-130732-0006 NO SAMPLES\r\n"
        b"\r\n"
        b"damaged\r\n",
    )

    for idx in (0, 2, 3):
        write_speech(folder / f"367-130732-{idx:04d}.flac", sample_rate=22050)

    write_speech(folder / "367-130732-0006.flac", seconds=0)
    write_text(folder / "367-130732-0004.flac", "this is no audio")

    # As macOS leaves it in archives.
    write_text(folder / "._367-130732.trans.txt", b"\x00\x05\x16\x07")

    write_speech(tmp_path / "secret.flac")

    return tmp_path / "src"


def test_rows(corpus: Path) -> None:
    rows, _ = prepare("librispeech", corpus, {"subset": ["train-clean-100", "dev-clean"]})

    assert sorted(rows) == ["103-1240-0000", "103-1240-0001", "103-1240-0002", "84-121123-0000"]

    row = rows["103-1240-0001"]

    assert (row.split, row.source_text, row.source_lang) == ("train", "THE TEXT OF 1", "eng")

    assert (row.source_speaker, row.source_seconds, row.target_lang) == ("103", 0.5, None)

    assert row.source_audio == str(corpus / "LibriSpeech/train-clean-100/103/1240/103-1240-0001.flac")

    assert rows["84-121123-0000"].split == "valid"


def test_quirks(corpus: Path) -> None:
    rows, summary = prepare("librispeech", corpus / "LibriSpeech", {"subset": "test-other"}, out=corpus.parent / "out")

    assert {id_: row.source_text for id_, row in rows.items()} == {"367-130732-0000": "ONE"}

    assert rows["367-130732-0000"].split == "test-other"

    assert reasons(summary) == {
        "id is not usable as a file name": 1,
        "id occurs a second time": 1,
        "line has too few columns": 1,
        "source_text is empty": 1,
        MISSING: 1,
        NOT_TEXT: 1,
        # libsndfile does not take a flac file without samples for one.
        UNREADABLE: 2,
    }


def test_incomplete_rows_are_kept_on_request(corpus: Path) -> None:
    rows, _ = prepare("librispeech", corpus, {"subset": "test-other"}, keep_incomplete=True)

    assert rows["367-130732-0002"].source_text is None

    assert rows["367-130732-0002"].source_lang == "eng"


def test_other_folder(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()

    with pytest.raises(UserInputError, match="holds nothing of librispeech") as info:
        prepare("librispeech", tmp_path / "src")

    assert "SPEAKER-CHAPTER.trans.txt" in str(info.value)

    assert not (tmp_path / "out" / "manifest.parquet").exists()


def test_absent_subset_beside_another(corpus: Path) -> None:
    with pytest.raises(UserInputError, match=r"--subset is 'dev-other', but .* holds only dev-clean, test-other"):
        prepare("librispeech", corpus, {"subset": ["dev-clean", "dev-other"]})


def test_absent_split(corpus: Path) -> None:
    with pytest.raises(UserInputError, match=r"split was not asked for .* of train.* \(leave --split out"):
        prepare("librispeech", corpus, {"subset": "train-clean-100"}, splits=("dev",))
