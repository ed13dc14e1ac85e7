from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from codec_s2st.data.corpora.table import BAD_BOUNDS, LEAVES
from codec_s2st.data.preparation.json_files import NOT_JSON
from codec_s2st.data.preparation.probe import MISSING, OUTSIDE
from codec_s2st.data.preparation.text_files import NOT_TEXT
from codec_s2st.errors import UserInputError
from tests.corpora import prepare, reasons, tsv, write_speech, write_text

COLUMNS = ["source_text=spanish", "target_text=english", "source_audio=wav"]

CONSTANTS = ["source_lang=spa", "target_lang=en"]

OPTIONS = {"column": COLUMNS, "constant": CONSTANTS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for idx in (1, 2):
        write_speech(tmp_path / "src" / "wavs" / f"{idx}.wav", 0.5)

    return tmp_path / "src"


def test_tsv_has_no_quoting(folder: Path) -> None:
    table = tsv(
        ("spanish", "english", "wav", "part"),
        ('"hola', 'he said "hello', "wavs/1.wav", "dev"),
        ("adiós", "bye", "", "train", "surplus"),
        ("uno", "one", "wavs/9.wav", "train"),
        ("dos", "two", "../wavs/1.wav", "train"),
        ("tres",),
    )

    write_text(folder / "corpus.tsv", table)

    rows, summary = prepare(
        "table",
        folder / "corpus.tsv",
        OPTIONS | {"column": [*COLUMNS, "split=part"], "replace": "split:dev=valid"},
    )

    assert {id_: (row.split, row.source_text, row.target_text, row.source_seconds) for id_, row in rows.items()} == {
        "corpus-00000001": ("valid", '"hola', 'he said "hello', 0.5),
        "corpus-00000002": ("train", "adiós", "bye", None),
        "corpus-00000005": ("train", "tres", None, None),
    }

    assert rows["corpus-00000001"].target_lang == "eng"

    assert reasons(summary) == {LEAVES: 1, MISSING: 1}


def test_csv_is_quoted(folder: Path) -> None:
    content = '\ufeffspanish,english,wav\r\n"hola, ""tú""","two\nlines",wavs/1.wav\r\n\r\nadiós,bye,wavs/2.wav\r\n'

    write_text(folder / "corpus.csv", content)

    rows, _ = prepare("table", folder / "corpus.csv", OPTIONS)

    assert [(row.source_text, row.target_text) for row in rows.values()] == [
        ('hola, "tú"', "two lines"),
        ("adiós", "bye"),
    ]


def test_latin_1(folder: Path) -> None:
    write_text(folder / "corpus.csv", "spanish,english\nbuenos días,good morning\n".encode("latin-1"))

    options = {"column": COLUMNS[:2], "constant": CONSTANTS}

    with pytest.raises(UserInputError, match=r"is not in utf-8, after line \d \(say what it is in: --encoding\)"):
        prepare("table", folder / "corpus.csv", options)

    rows, _ = prepare("table", folder / "corpus.csv", options | {"encoding": "latin-1"})

    assert [row.source_text for row in rows.values()] == ["buenos días"]

    write_text(folder / "corpus.tsv", b"spanish\tenglish\nd\xedas\tdays\nhola\thello\n")

    rows, summary = prepare("table", folder / "corpus.tsv", options)

    assert [row.source_text for row in rows.values()] == ["hola"]

    assert reasons(summary) == {NOT_TEXT: 1}

    with pytest.raises(UserInputError, match="there is no encoding 'klingon'"):
        prepare("table", folder / "corpus.tsv", options | {"encoding": "klingon"})


def test_jsonl(folder: Path) -> None:
    lines = [
        '{"id": "a", "source_text": "hola", "source_lang": "es", "extra": [1]}',
        '{"id": "b", "source_text": null, "source_lang": "es", "source_audio": "wavs/1.wav"}',
        '{"id": "c", "source_text": "x"',
        '["d"]',
        '{"id": "e", "source_text": "hola", "source_lang": "unheard of"}',
        '{"id": "f/g", "source_text": "hola", "source_lang": "es"}',
    ]

    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))

    # Columns that are called as the manifest's need no option.
    rows, summary = prepare("table", folder / "corpus.jsonl.gz")

    assert {id_: (row.source_text, row.source_lang, row.source_audio is None) for id_, row in rows.items()} == {
        "a": ("hola", "spa", True),
        "b": (None, "spa", False),
    }

    assert reasons(summary) == {
        NOT_JSON: 2,
        "id is not usable as a file name": 1,
        "language is not an ISO 639-3 code": 1,
    }


def test_parquet_with_segments(folder: Path) -> None:
    write_speech(folder / "long.opus", 5.0, 48000)

    frame = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "source_audio": ["long.opus"] * 4,
            "source_begin": [0.0, 1.25, 4.0, 3.0],
            "source_end": [1.0, 2.5, 6.0, 3.0],
            "source_lang": ["spa"] * 4,
            "source_speaker": [7, None, None, None],
        }
    )

    frame.write_parquet(folder / "corpus.parquet")

    rows, summary = prepare("table", folder / "corpus.parquet")

    assert {id_: (row.source_audio, row.source_seconds, row.source_speaker) for id_, row in rows.items()} == {
        "a": (f"{folder}/long.opus#t=0,1", 1.0, "7"),
        "b": (f"{folder}/long.opus#t=1.25,2.5", 1.25, None),
    }

    assert reasons(summary) == {BAD_BOUNDS: 1, OUTSIDE: 1}


def test_no_header_and_another_root(folder: Path) -> None:
    write_text(folder / "tables" / "corpus.txt", "1.wav|hola\n2.wav|a|b\n")

    rows, _ = prepare(
        "table",
        folder / "tables" / "corpus.txt",
        {
            "names": "wav, spanish",
            "separator": "|",
            "audio-root": folder / "wavs",
            "column": [COLUMNS[0], COLUMNS[2]],
            "constant": CONSTANTS,
        },
    )

    assert [row.source_text for row in rows.values()] == ["hola", "a|b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"has no column of a manifest \(it has: spanish, english\) \(map some"),
        ({"column": "source_text=spansh"}, r"has no column 'spansh' \(it has: spanish, english\)"),
        ({"column": "source_txt=spanish"}, "unknown column of a manifest 'source_txt': did you mean 'source_text'"),
        ({"column": "source_text"}, "--column is 'source_text', but must be FIELD=VALUE"),
        ({"replace": "split=dev"}, "--replace is 'split=dev', but must be FIELD:OLD=NEW"),
        ({"colum": "a=b"}, "unknown option 'colum'"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, object], message: str) -> None:
    write_text(folder / "corpus.tsv", "spanish\tenglish\nhola\thello\n")

    with pytest.raises(UserInputError, match=message):
        prepare("table", folder / "corpus.tsv", options)


def test_no_language(folder: Path) -> None:
    write_text(folder / "corpus.tsv", "source_text\nhola\n")

    with pytest.raises(UserInputError, match=r"language is not given .* \(e\.g\. --constant source_lang=spa"):
        prepare("table", folder / "corpus.tsv")


@pytest.mark.parametrize("name", ["corpus.xlsx", "empty.tsv", "folder.tsv", "bad.parquet", "none.tsv"])
def test_bad_tables(folder: Path, name: str) -> None:
    write_text(folder / "corpus.xlsx", "x")
    write_text(folder / "empty.tsv", "\n")
    write_text(folder / "bad.parquet", "PAR1 no more")
    (folder / "folder.tsv").mkdir()

    with pytest.raises(UserInputError, match=name):
        prepare("table", folder / name, OPTIONS)
