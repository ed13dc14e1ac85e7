"""GigaSpeech, GigaST, GigaS2S and WenetSpeech, whose segments lie in long recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codec_s2st.codecs.audio import read_audio
from codec_s2st.data.corpora.gigaspeech import BAD_SEGMENT, GARBAGE, plain_text
from codec_s2st.data.preparation.probe import MISSING, OUTSIDE
from codec_s2st.errors import UserInputError
from tests.corpora import prepare, reasons, tsv, write_speech, write_text


def segment(sid: str, begin: float, end: float, text: str, *subsets: str, **more: object) -> dict[str, Any]:
    return {
        "sid": sid,
        "speaker": "N/A",
        "begin_time": begin,
        "end_time": end,
        "text_tn": text,
        "subsets": list(subsets),
    } | more


@pytest.fixture
def gigaspeech(tmp_path: Path) -> Path:
    root = tmp_path / "gigaspeech"

    xl, xs = ("{XL}",), ("{XL}", "{L}", "{M}", "{S}", "{XS}")

    audios = [
        {
            "title": "Über “uns”",
            "path": "audio/podcast/P0001/POD1.opus",
            "aid": "POD1",
            "duration": 6.0,
            "segments": [
                segment("POD1_S1", 0.0, 1.5, "HELLO <COMMA> WORLD <PERIOD>", *xs),
                segment("POD1_S2", 1.5, 2.25, "WHO <QUESTIONMARK>", *xl, speaker="anna"),
                segment("POD1_S3", 5.5, 7.0, "BEYOND THE END", *xl),
                segment("POD1_S4", 3.0, 3.0, "NO LENGTH", *xl),
                {"sid": "POD1_S5", "subsets": ["{XL}"]},
                segment("../POD1_S6", 0, 1, "A BAD ID", *xl),
                segment("POD1_S1", 2.0, 2.5, "THE FIRST ID AGAIN", *xl),
            ],
        },
        {
            "path": "audio/youtube/P0002/YOU1.opus",
            "aid": "YOU1",
            "segments": [
                segment("YOU1_S1", 0.0, 1.0, "A TEST <EXCLAMATIONPOINT>", "{TEST}"),
                segment("YOU1_S2", 1.0, 2.0, "<MUSIC>", "{TEST}"),
                segment("YOU1_S3", 2.0, 3.0, "A DEV", "{DEV}"),
            ],
        },
        {"path": "audio/youtube/P0002/GONE.opus", "aid": "GONE", "segments": [segment("GONE_S1", 0, 1, "GONE", *xl)]},
        {"path": "../outside.opus", "aid": "OUT", "segments": [segment("OUT_S1", 0, 1, "OUTSIDE", *xl)]},
        {"aid": "NOPATH", "segments": []},
    ]

    metadata = {"dataset": "GigaSpeech", "language": "EN", "version": "v1.0.0", "audios": audios}

    write_text(root / "GigaSpeech.json", json.dumps(metadata, ensure_ascii=False, indent=1))

    for name in ("audio/podcast/P0001/POD1.opus", "audio/youtube/P0002/YOU1.opus", "../outside.opus"):
        write_speech(root / name, 6.0)

    return root


FLAWS = {
    "entry of a recording has no path or no segments": 1,
    BAD_SEGMENT: 2,
    MISSING: 1,
    OUTSIDE: 1,
    "audio is not below the corpus's folders": 1,
    "id is not usable as a file name": 1,
    "id occurs a second time": 1,
}


class TestGigaSpeech:
    def test_rows(self, gigaspeech: Path) -> None:
        rows, summary = prepare("gigaspeech", gigaspeech)

        assert {id_: (row.split, row.source_text, row.source_seconds) for id_, row in rows.items()} == {
            "POD1_S1": ("train", "HELLO, WORLD.", 1.5),
            "POD1_S2": ("train", "WHO?", 0.75),
            "YOU1_S1": ("test", "A TEST!", 1.0),
            "YOU1_S3": ("valid", "A DEV", 1.0),
        }

        row = rows["POD1_S2"]

        assert row.source_audio == f"{gigaspeech}/audio/podcast/P0001/POD1.opus#t=1.5,2.25"

        assert (row.source_speaker, rows["POD1_S1"].source_speaker) == ("anna", None)

        # What the manifest names can be read.
        assert read_audio(row.source_audio, sample_rate=16000).shape == (1, 12000)

        assert reasons(summary) == FLAWS | {f"({GARBAGE})": 1}

    def test_subset(self, gigaspeech: Path) -> None:
        rows, _ = prepare("gigaspeech", gigaspeech, {"subset": "XS", "no-punctuation": True}, lowercase=True)

        assert {id_: row.source_text for id_, row in rows.items()} == {
            "POD1_S1": "hello world",
            "YOU1_S1": "a test",
            "YOU1_S3": "a dev",
        }

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, r"GigaSpeech\.json cannot be read: No such file"),
            ('{"audios": [{"path": "x"', r"GigaSpeech\.json is not JSON at character 12"),
            ('{"audio": []}', r"GigaSpeech\.json has no 'audios'"),
            ("[1]", r"GigaSpeech\.json is not JSON at character 0: '{' expected"),
            ('{"audios": [1]}', "'audios' holds something else than objects"),
            (b'{"audios": [{"path": "\xff"}]}', r"GigaSpeech\.json is not in UTF-8"),
            ('{"audios": []}', r"holds nothing of gigaspeech \(expected: GigaSpeech\.json"),
        ],
    )
    def test_bad_metadata(self, tmp_path: Path, content: str | bytes | None, message: str) -> None:
        (tmp_path / "src").mkdir()

        if content is not None:
            write_text(tmp_path / "src" / "GigaSpeech.json", content)

        with pytest.raises(UserInputError, match=message):
            prepare("gigaspeech", tmp_path / "src")

    def test_tags(self) -> None:
        assert plain_text("A <COMMA> B<PERIOD>", punctuation=False) == "A B"

        assert plain_text("YES <SIL>", punctuation=True) is None


class TestGigaST:
    @pytest.fixture
    def gigast(self, tmp_path: Path) -> Path:
        root = tmp_path / "gigast"

        for lang, texts in (("zh", ("你好，世界。", "谁？", "测试！")), ("de", ("Hallo, Welt.", "Wer?", "Ein Test!"))):
            segments = [
                {"sid": sid, "text_raw": text, "extra": {"alignment_score": score}}
                for sid, text, score in zip(("POD1_S1", "POD1_S2"), texts, (8.21, 3.5), strict=False)
            ]

            # A test segment, which people translated; one that GigaSpeech does not have; one without a text.
            segments += [{"sid": "YOU1_S1", "text_raw": texts[2]}, {"sid": "POD9_S9", "text_raw": "?"}, {"sid": "X"}]

            audios = [{"segments": segments[:1]}, {}, {"segments": segments[1:]}]

            write_text(root / f"GigaST.{lang}.json", json.dumps({"dataset": "GigaST", "audios": audios}))

        return root

    def test_rows(self, gigast: Path, gigaspeech: Path) -> None:
        rows, summary = prepare("gigast", gigast, {"gigaspeech": gigaspeech, "lang": "zh"})

        assert {id_: (row.split, row.source_text, row.target_text, row.target_lang) for id_, row in rows.items()} == {
            "POD1_S1": ("train", "HELLO, WORLD.", "你好，世界。", "cmn"),
            "POD1_S2": ("train", "WHO?", "谁？", "cmn"),
            "YOU1_S1": ("test", "A TEST!", "测试！", "cmn"),
        }

        # Of what is not translated, nothing else matters.
        assert reasons(summary)["(segment has no translation)"] == 6

    def test_both_languages_and_a_limit(self, gigast: Path, gigaspeech: Path) -> None:
        rows, _ = prepare("gigast", gigast, {"gigaspeech": gigaspeech, "min-alignment": 5})

        assert {id_: row.target_lang for id_, row in rows.items()} == {
            "POD1_S1.zh": "cmn",
            "YOU1_S1.zh": "cmn",
            "POD1_S1.de": "deu",
            "YOU1_S1.de": "deu",
        }

    def test_bad_arguments(self, gigast: Path, gigaspeech: Path) -> None:
        with pytest.raises(UserInputError, match="--min-alignment is 'high', but must be a number"):
            prepare("gigast", gigast, {"gigaspeech": gigaspeech, "min-alignment": "high"})

        with pytest.raises(UserInputError, match=r"--lang is 'fr', but must be one of zh, de"):
            prepare("gigast", gigast, {"gigaspeech": gigaspeech, "lang": "fr"})

        with pytest.raises(UserInputError, match=r"gigast/GigaSpeech\.json cannot be read"):
            prepare("gigast", gigast, {"gigaspeech": gigast})


class TestGigaS2S:
    def test_rows(self, tmp_path: Path, gigaspeech: Path) -> None:
        root = tmp_path / "gigas2s"

        write_text(
            root / "train.tsv",
            tsv(
                ("id", "src_text", "tgt_text"),
                ("POD1_S1", "HELLO", "你好，世界。"),
                ("POD1_S2", "WHO", "谁？"),
                ("YOU1_S3",),
            ),
        )

        write_speech(root / "train" / "0" / "POD1_S1_ZH.wav", 0.5, 24000)
        write_speech(root / "train" / "0" / "YOU1_S3.wav", 0.5, 24000)

        rows, summary = prepare("gigas2s", root, {"gigaspeech": gigaspeech})

        (row,) = rows.values()

        assert (row.id, row.source_text, row.target_text) == ("POD1_S1", "HELLO, WORLD.", "你好，世界。")

        assert (row.source_seconds, row.target_seconds, row.target_lang) == (1.5, 0.5, "cmn")

        assert row.target_audio == str(root / "train/0/POD1_S1_ZH.wav")

        found = reasons(summary)

        assert (found["(translation is not spoken)"], found["line has too few columns"]) == (1, 1)

    def test_no_table(self, tmp_path: Path, gigaspeech: Path) -> None:
        (tmp_path / "src").mkdir()

        with pytest.raises(UserInputError, match=r"src/train\.tsv is not there"):
            prepare("gigas2s", tmp_path / "src", {"gigaspeech": gigaspeech})


class TestWenetSpeech:
    def test_rows(self, tmp_path: Path) -> None:
        root = tmp_path / "src"

        def entry(sid: str, begin: float, text: str, *subsets: str) -> dict[str, Any]:
            return segment(sid, begin, begin + 1, "", *subsets) | {"text": text, "confidence": 1.0}

        audios = [
            {
                "aid": "Y0_1",
                "path": "audio/train/youtube/B00000/Y0_1.opus",
                "segments": [
                    entry("Y0_1_S0", 0.0, "怎么 样 these days 这些 日子", "L", "M", "S"),
                    entry("Y0_1_S1", 1.0, "ＡＢ１", "L"),
                    entry("Y0_1_S2", 2.0, "弱", "W"),
                ],
            },
            {
                "aid": "TEST_1",
                "path": "audio/test_net/youtube/B00000/TEST_1.opus",
                "segments": [
                    entry("TEST_1_S0", 0.0, "测试", "TEST_NET"),
                    entry("TEST_1_S1", 1.0, "会议", "TEST_MEETING"),
                    entry("TEST_1_S2", 2.0, "开发", "DEV"),
                ],
            },
        ]

        # A byte order mark.
        write_text(root / "WenetSpeech.json", b"\xef\xbb\xbf" + json.dumps({"audios": audios}).encode())

        for audio in audios:
            write_speech(root / str(audio["path"]), 3.0)

        rows, summary = prepare("wenetspeech", root)

        assert {id_: (row.split, row.source_text) for id_, row in rows.items()} == {
            "Y0_1_S0": ("train", "怎么样 these days 这些日子"),
            "Y0_1_S1": ("train", "AB1"),
            "TEST_1_S0": ("test-net", "测试"),
            "TEST_1_S1": ("test-meeting", "会议"),
            "TEST_1_S2": ("valid", "开发"),
        }

        assert reasons(summary) == {}

        rows, _ = prepare("wenetspeech", root, {"subset": "W"}, splits=("train",))

        assert list(rows) == ["Y0_1_S2"]
