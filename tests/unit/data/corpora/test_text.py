"""Text alone, and parallel text."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path

import pytest

from codec_s2st.data.corpora.text import NO_FIELD
from codec_s2st.data.preparation.text_files import CUT_SHORT, NOT_TEXT
from codec_s2st.errors import UserInputError
from tests.corpora import prepare, reasons, write_text


class TestDamagedArchives:
    @pytest.mark.parametrize("damage", ["cut", "flipped"])
    @pytest.mark.parametrize("reader", ["line", "document", "jsonl", "two", "csv"])
    def test_one_line(self, tmp_path: Path, damage: str, reader: str) -> None:
        rng = random.Random(0)

        lines = [f'{{"text": "{rng.random()}"}}' for _ in range(5000)]

        content = bytearray(gzip.compress("\n".join(lines).encode()))

        if damage == "cut":
            del content[len(content) // 2 :]
        else:
            for idx in range(len(content) // 2, len(content) // 2 + 40):
                content[idx] ^= 0xA5

        file = tmp_path / {"jsonl": "a.jsonl.gz", "csv": "a.csv.gz"}.get(reader, "a.txt.gz")

        file.write_bytes(content)

        with pytest.raises(UserInputError, match=re.escape(file.name)):
            if reader == "two":
                prepare("parallel-text", file, OPTIONS | {"target": file})
            elif reader == "csv":
                prepare("table", file, {"names": "source_text", "constant": "source_lang=eng"})
            else:
                prepare("text", file, {"lang": "eng"} | ({} if reader == "jsonl" else {"unit": reader}))


class TestText:
    def test_lines(self, tmp_path: Path) -> None:
        write_text(tmp_path / "src" / "a.txt", b"\xef\xbb\xbfone\r\n\r\n  two\x0bhalves \r\ncaf\xe9\r\n")
        (tmp_path / "src" / "sub").mkdir()
        (tmp_path / "src" / "sub" / "b.txt.gz").write_bytes(gzip.compress("ñandú\n".encode()))
        write_text(tmp_path / "src" / "other.md", "not taken")

        rows, summary = prepare("text", tmp_path / "src", {"lang": "en"})

        assert {id_: (row.source_text, row.source_lang, row.split) for id_, row in rows.items()} == {
            "a.txt-00000001": ("one", "eng", "train"),
            "a.txt-00000002": ("two halves", "eng", "train"),
            "sub-b.txt.gz-00000001": ("ñandú", "eng", "train"),
        }

        assert reasons(summary) == {NOT_TEXT: 1}

    @pytest.mark.parametrize(("unit", "texts"), [("paragraph", ["a b", "c"]), ("document", ["a b c"])])
    def test_units(self, tmp_path: Path, unit: str, texts: list[str]) -> None:
        file = write_text(tmp_path / "src" / "book", "a\r\nb\r\n \r\n\r\nc\r\n")

        rows, _ = prepare("text", file, {"lang": "eng", "unit": unit, "as-split": "valid"})

        assert [row.source_text for row in rows.values()] == texts

        assert {row.split for row in rows.values()} == {"valid"}

    def test_jsonl(self, tmp_path: Path) -> None:
        file = write_text(
            tmp_path / "src" / "c.jsonl", '{"body": "one"}\n{"text": "two"}\n{"body": 3}\n{"body": " "}\n'
        )

        rows, summary = prepare("text", file, {"lang": "eng", "field": "body"})

        assert [row.source_text for row in rows.values()] == ["one"]

        assert reasons(summary) == {NO_FIELD: 3}

    def test_latin_1(self, tmp_path: Path) -> None:
        file = write_text(tmp_path / "src" / "a.txt", b"caf\xe9\n")

        for unit in ("line", "document"):
            rows, _ = prepare("text", file, {"lang": "fra", "encoding": "latin-1", "unit": unit})

            assert [row.source_text for row in rows.values()] == ["café"]

    def test_wide_characters(self, tmp_path: Path) -> None:
        file = write_text(tmp_path / "src" / "a.txt", "uno\ndos\n".encode("utf-16"))

        with pytest.raises(UserInputError, match=r"files in 'utf-16' are not read \(iconv -f utf-16 -t utf-8"):
            prepare("text", file, {"lang": "spa", "encoding": "utf-16"})

        with pytest.raises(UserInputError, match="there is no encoding 'utf-99'"):
            prepare("text", file, {"lang": "spa", "encoding": "utf-99"})

    def test_unknown_language(self, tmp_path: Path) -> None:
        file = write_text(tmp_path / "src" / "a.txt", "x\n")

        with pytest.raises(UserInputError, match="'klingon' is no language that is known here"):
            prepare("text", file, {"lang": "klingon"})

        with pytest.raises(UserInputError, match=r"--lang is not given"):
            prepare("text", file)


OPTIONS = {"source-lang": "spa", "target-lang": "en"}


class TestParallelText:
    def test_two_files(self, tmp_path: Path) -> None:
        source = write_text(tmp_path / "c.es-en.es", b"\xef\xbb\xbfuno\r\n\r\ntres\r\ncinco\r\n")
        target = write_text(tmp_path / "c.es-en.en", b"one\ntwo\n\xff\nfive")

        rows, summary = prepare("parallel-text", source, OPTIONS | {"target": target})

        assert {id_: (row.source_text, row.target_text, row.target_lang) for id_, row in rows.items()} == {
            "c.es-en.es-00000001": ("uno", "one", "eng"),
            "c.es-en.es-00000004": ("cinco", "five", "eng"),
        }

        assert reasons(summary) == {NOT_TEXT: 1, "source_text is empty": 1}

    def test_unequal_files(self, tmp_path: Path) -> None:
        source = write_text(tmp_path / "a.es", "uno\ndos\n")
        target = write_text(tmp_path / "a.en", "one\n")

        with pytest.raises(UserInputError, match=r"a\.en ends after line 1, but .*a\.es goes on"):
            prepare("parallel-text", source, OPTIONS | {"target": target})

    def test_tsv(self, tmp_path: Path) -> None:
        file = write_text(tmp_path / "a.tsv", 'Ve.\tGo.\tCC-BY 2.0\t#1\r\n"Hola\tHi".\r\nsolo\r\nx\t\r\n')

        rows, summary = prepare("parallel-text", file, OPTIONS)

        assert [(row.source_text, row.target_text) for row in rows.values()] == [("Ve.", "Go."), ('"Hola', 'Hi".')]

        assert reasons(summary) == {CUT_SHORT: 1, "target_text is empty": 1}

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="is not a file"):
            prepare("parallel-text", tmp_path, OPTIONS)
