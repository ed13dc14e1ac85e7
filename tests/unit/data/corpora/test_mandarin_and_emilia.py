"""AISHELL-1, AISHELL-2 and Emilia."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codec_s2st.data.preparation.json_files import NOT_JSON
from codec_s2st.data.preparation.probe import MISSING
from codec_s2st.errors import UserInputError
from tests.corpora import prepare, reasons, write_speech, write_text


class TestAISHELL:
    def test_rows(self, tmp_path: Path) -> None:
        root = tmp_path / "src" / "data_aishell"

        lines = [
            "BAC009S0002W0122 而 对 楼市 成交 抑制 作用 最 大 的 限 购",
            "BAC009S0724W0121 广州市 ＡＰＰ 应用\r",
            "BAC009S0764W0121 ",
            "BAC009S9999W0001 没有 录音",
            "BAC009S0002W0122 再次",
        ]

        write_text(root / "transcript" / "aishell_transcript_v0.8.txt", "\n".join(lines))

        for split, id_ in (
            ("train", "BAC009S0002W0122"),
            ("train", "BAC009S0002W0199"),  # no transcript
            ("dev", "BAC009S0724W0121"),
            ("test", "BAC009S0764W0121"),  # an empty transcript
        ):
            write_speech(root / "wav" / split / id_[6:11] / f"{id_}.wav")

        rows, summary = prepare("aishell", tmp_path / "src")

        assert {id_: (row.split, row.source_text, row.source_speaker) for id_, row in rows.items()} == {
            "BAC009S0002W0122": ("train", "而对楼市成交抑制作用最大的限购", "S0002"),
            "BAC009S0724W0121": ("valid", "广州市 APP 应用", "S0724"),
        }

        assert reasons(summary) == {
            "(transcript has no recording)": 1,
            "source_text is empty": 2,
            "transcript occurs a second time": 1,
        }

        rows, _ = prepare("aishell", root, out=tmp_path / "out", keep_incomplete=True)

        assert len(rows) == 4

    def test_still_packed(self, tmp_path: Path) -> None:
        write_text(tmp_path / "data_aishell" / "transcript" / "aishell_transcript_v0.8.txt", "a b\n")
        write_text(tmp_path / "data_aishell" / "wav" / "S0002.tar.gz", b"\x1f\x8b")

        with pytest.raises(UserInputError, match="are still packed"):
            prepare("aishell", tmp_path)

    def test_no_transcripts(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=r"transcript/aishell_transcript_v0\.8\.txt cannot be read: No such"):
            prepare("aishell", tmp_path)


class TestAISHELL2:
    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Path:
        sets = {
            "AISHELL-2/iOS/data": ["IC0001W0001\t厨房 用品", "IC0001W0002\t没有录音", "IC0001W0003\t听beat it"],
            "AISHELL-DEV-TEST-SET/iOS/dev": ["ID0011W0001\t开发集\t"],
            "AISHELL-DEV-TEST-SET/iOS/test": ["IT0011W0001\t测试集"],
            "AISHELL-DEV-TEST-SET/Mic/test": ["IT0011W0001\t测试集"],
        }

        for name, lines in sets.items():
            folder = tmp_path / "src" / name

            write_text(folder / "trans.txt", "\ufeff" + "\r\n".join(lines) + "\r\n")

            ids = [line.split("\t")[0] for line in lines]

            # The table of paths, in one of the sets only.
            if name.endswith("data"):
                write_text(folder / "wav.scp", "".join(f"{id_}\twav/{id_[1:6]}/{id_}.wav\n" for id_ in ids))

            for id_ in ids:
                if id_ != "IC0001W0002":
                    write_speech(folder / "wav" / id_[1:6] / f"{id_}.wav")

        return tmp_path / "src"

    def test_rows(self, corpus: Path) -> None:
        rows, summary = prepare("aishell2", corpus)

        assert {id_: (row.split, row.source_text, row.source_speaker) for id_, row in rows.items()} == {
            "IC0001W0001": ("train", "厨房用品", "C0001"),
            "IC0001W0003": ("train", "听beat it", "C0001"),
            "ID0011W0001": ("valid", "开发集", "D0011"),
            "IT0011W0001": ("test", "测试集", "T0011"),
            "IT0011W0001.mic": ("test-mic", "测试集", "T0011"),
        }

        assert reasons(summary) == {MISSING: 1}

    def test_one_archive(self, corpus: Path) -> None:
        rows, _ = prepare("aishell2", corpus / "AISHELL-2", out=corpus.parent / "out")

        assert len(rows) == 2


class TestEmilia:
    def entry(self, id_: str, **more: object) -> dict[str, object]:
        batch, speaker, _ = id_.rsplit("_", 2)[0], id_.rsplit("_", 1)[0], 0

        wav = f"{batch}/{speaker}/mp3/{id_}.mp3"

        return {
            "id": id_,
            "wav": wav,
            "text": " Und es gibt  auch.",
            "duration": 3.2,
            "speaker": speaker,
            "language": "de",
            "dnsmos": 3.36,
        } | more

    def test_tables(self, tmp_path: Path) -> None:
        entries = [
            self.entry("DE_B00000_S00000_W000000"),
            self.entry("DE_B00000_S00000_W000001", text='Zeile\n„eins“ "zwei"'),
            self.entry("DE_B00000_S00000_W000002", dnsmos=2.9),
            self.entry("DE_B00000_S00000_W000003", wav="../../../etc/passwd"),
            self.entry("DE_B00000_S00000_W000004", wav="DE_B00000/gone.mp3"),
            {"id": "DE_B00000_S00000_W000005"},
        ]

        lines = [json.dumps(entry, ensure_ascii=False) for entry in entries] + ["{cut"]

        write_text(tmp_path / "src" / "raw" / "DE" / "DE_B00000.jsonl", "\n".join(lines))

        for entry in entries[:3]:
            write_speech(tmp_path / "src" / "raw" / "DE" / str(entry["wav"]), 0.5, 24000)

        write_text(tmp_path / "src" / "raw" / "DE" / "DE_B00000.tar.gz", b"")

        rows, summary = prepare("emilia", tmp_path / "src", {"min-dnsmos": "3.2"})

        assert {id_: (row.source_text, row.source_lang, row.source_speaker) for id_, row in rows.items()} == {
            "DE_B00000_S00000_W000000": ("Und es gibt auch.", "deu", "DE_B00000_S00000"),
            "DE_B00000_S00000_W000001": ('Zeile „eins“ "zwei"', "deu", "DE_B00000_S00000"),
        }

        assert reasons(summary) == {
            "(quality is below the limit)": 1,
            MISSING: 1,
            NOT_JSON: 1,
            "audio is not below the corpus's folders": 1,
            "entry lacks something": 1,
        }

        # What most were left out for, although it was asked for.
        (tmp_path / "src" / "raw" / "DE" / "DE_B00000.jsonl").write_text("{}\n" + "\n".join(lines[:3]))

        with pytest.raises(UserInputError, match=r"none of the 4 utterances .* 3 of them: quality is below the limit"):
            prepare("emilia", tmp_path / "src", {"min-dnsmos": "4"})

    def test_absent_language_beside_another(self, tmp_path: Path) -> None:
        write_text(tmp_path / "DE" / "DE_B00000.jsonl", json.dumps(self.entry("DE_B00000_S00000_W000000")))

        with pytest.raises(UserInputError, match=r"--lang is 'ja', but .* holds only de"):
            prepare("emilia", tmp_path, {"lang": ["de", "ja"]})

    def test_unpacked_archives(self, tmp_path: Path) -> None:
        folder = tmp_path / "src" / "Emilia-YODAS" / "EN" / "EN-B000000"

        for number, id_key in ((0, "id"), (1, "_id")):
            id_ = f"EN_B00000_S00000_W00000{number}"

            entry = self.entry(id_, language="en")
            entry[id_key] = entry.pop("id")

            write_text(folder / f"{id_}.json", json.dumps(entry))
            write_speech(folder / f"{id_}.mp3", 0.5, 24000)

        write_text(folder / "bad.json", b"\xff")

        rows, summary = prepare("emilia", tmp_path / "src")

        assert list(rows) == ["EN_B00000_S00000_W000000", "EN_B00000_S00000_W000001"]

        assert reasons(summary) == {NOT_JSON: 1}

    def test_still_packed(self, tmp_path: Path) -> None:
        write_text(tmp_path / "Emilia" / "EN" / "EN-B000000.tar", b"")

        with pytest.raises(UserInputError, match=r"EN holds archives \(unpack them there: tar xf EN-B000000\.tar\)"):
            prepare("emilia", tmp_path)
