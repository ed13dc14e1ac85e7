from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.data.preparation.probe import MISSING
from codec_s2st.data.preparation.text_files import CUT_SHORT, NOT_TEXT
from codec_s2st.errors import UserInputError
from tests.corpora import prepare, reasons, tsv, write_speech, write_text

# As release 4 has it; later ones call the accent "accents" and have further columns.
HEADER = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent")


def clip(lang: str, number: int) -> str:
    return f"common_voice_{lang}_{number}.mp3"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Two languages of release 4, with mp3 files of mixed sample rates."""
    root = tmp_path / "cv-corpus-4-2019-12-10"

    spanish = {
        "train": [("ana", 1, "Buenos días."), ("ana", 2, '"Él dijo ""hola"" y se fue."')],
        "dev": [("luis", 3, '"¿Qué?')],
        "test": [("eva", 4, "Buenas noches.")],
    }

    for split, sentences in spanish.items():
        rows = [(speaker, clip("es", number), text, "2", "0", "", "", "") for speaker, number, text in sentences]

        write_text(root / "es" / f"{split}.tsv", tsv(HEADER, *rows))

    # Validated are these, more of a speaker of dev, and more of another.
    more = [("luis", 5, "De luis."), ("zoe", 6, "De zoe.")]

    rows = [
        (speaker, clip("es", number), text, "2", "0", "", "", "")
        for sentences in (*spanish.values(), more)
        for speaker, number, text in sentences
    ]

    write_text(root / "es" / "validated.tsv", tsv(HEADER, *rows))

    for number in range(1, 7):
        write_speech(root / "es" / "clips" / clip("es", number), 0.5, 48000 if number % 2 else 32000)

    # The flaws are in the other language.
    content = (
        b"\xef\xbb\xbf"
        + "\t".join(HEADER).encode()
        + b"\r\n"
        + f"li\t{clip('zh-CN', 1)}\t你好\t2\t0\t\t\t\t\t\r\n".encode()  # surplus tabs
        + f"li\t{clip('zh-CN', 2)}\t没有\t2\t0\t\t\t\r\n".encode()  # no such clip
        + f"li\t{clip('zh-CN', 3)}\r\n".encode()  # too short
        + f"li\t{clip('zh-CN', 4)}\t".encode()
        + "编码".encode("gb18030")
        + b"\t2\t0\t\t\t\r\n"
        + f"li\t{clip('zh-CN', 5)}\t\t2\t0\t\t\t\r\n".encode()  # an empty sentence
        + f"li\t../../es/clips/../../../{clip('zh-CN', 1)}\t外面\t2\t0\t\t\t\r\n".encode()
    )

    write_text(root / "zh-CN" / "train.tsv", content)
    write_text(root / "zh-CN" / "validated.tsv", content)

    for number in (1, 3, 4, 5):
        write_speech(root / "zh-CN" / "clips" / clip("zh-CN", number), 0.5, 48000)

    # What a user has put beside the languages.
    write_text(root / "notes" / "train.tsv", "nothing")

    return root


def test_rows(release: Path) -> None:
    rows, summary = prepare("common-voice", release, {"lang": "es"})

    assert {id_: (row.split, row.source_text, row.source_speaker) for id_, row in rows.items()} == {
        "common_voice_es_1": ("train", "Buenos días.", "ana"),
        "common_voice_es_2": ("train", 'Él dijo "hola" y se fue.', "ana"),
        "common_voice_es_3": ("valid", '"¿Qué?', "luis"),
        "common_voice_es_4": ("test", "Buenas noches.", "eva"),
    }

    # What libsndfile says of an mp3 file is right within two frames of its codec.
    assert all(abs((row.source_seconds or 0) - 0.5) < 0.08 for row in rows.values())

    assert {row.source_lang for row in rows.values()} == {"spa"}

    assert reasons(summary) == {}


def test_validated_without_speakers_of_other_splits(release: Path) -> None:
    rows, summary = prepare("common-voice", release / "es", {"train-from": "validated"}, out=release / "out")

    assert [id_ for id_, row in rows.items() if row.split == "train"] == [f"common_voice_es_{n}" for n in (1, 2, 6)]

    assert reasons(summary) == {"(speaker is in dev or test)": 3}


def test_quirks(release: Path) -> None:
    rows, summary = prepare("common-voice", release, {"lang": ["zh-CN"]})

    assert {id_: (row.source_text, row.source_lang) for id_, row in rows.items()} == {
        "common_voice_zh-CN_1": ("你好", "cmn")
    }

    assert reasons(summary) == {
        CUT_SHORT: 1,
        MISSING: 1,
        NOT_TEXT: 1,
        "id is not usable as a file name": 1,
        "source_text is empty": 1,
    }


def test_absent_language_beside_another(release: Path) -> None:
    with pytest.raises(UserInputError, match=r"--lang is 'fr', but .* holds only es, zh-CN"):
        prepare("common-voice", release, {"lang": ["es", "fr"]})


def test_table_of_another_kind(tmp_path: Path) -> None:
    write_text(tmp_path / "es" / "train.tsv", "id\ttext\n1\thola\n")
    (tmp_path / "es" / "clips").mkdir()

    with pytest.raises(UserInputError, match=r"es/train\.tsv has no column 'client_id' \(its header: id, text\)"):
        prepare("common-voice", tmp_path)


class TestCoVoST:
    @pytest.fixture
    def covost(self, tmp_path: Path) -> Path:
        root = tmp_path / "covost"

        rows = [
            (clip("es", 1), "Good morning.", "train"),
            (clip("es", 2), 'He said \\"hello\\" and left.', "train_covost"),
            (clip("es", 3), "What?", "dev"),
            (clip("es", 4), "Good night.", "test"),
            (clip("es", 5), "From luis.", "dev_covost"),
            (clip("es", 6), "", "train"),
            (clip("es", 99), "Not in validated.", "train"),
        ]

        write_text(root / "covost_v2.es_en.tsv", tsv(("path", "translation", "split"), *rows))

        return root

    def test_rows(self, covost: Path, release: Path) -> None:
        rows, summary = prepare("covost2", covost, {"common-voice": release})

        assert {id_: (row.split, row.target_text) for id_, row in rows.items()} == {
            "common_voice_es_1": ("train", "Good morning."),
            "common_voice_es_2": ("train", 'He said "hello" and left.'),
            "common_voice_es_3": ("valid", "What?"),
            "common_voice_es_4": ("test", "Good night."),
        }

        row = rows["common_voice_es_2"]

        assert (row.source_text, row.source_lang, row.source_speaker) == ('Él dijo "hola" y se fue.', "spa", "ana")

        assert (row.target_lang, row.target_audio) == ("eng", None)

        assert row.source_audio == str(release / "es/clips/common_voice_es_2.mp3")

        assert reasons(summary) == {
            "(split 'dev_covost' is not used)": 1,
            "clip is not in Common Voice's validated.tsv": 1,
            "target_text is empty": 1,
        }

    def test_tables_of_the_splitting_script(self, tmp_path: Path, release: Path) -> None:
        columns = ("path", "sentence", "translation", "client_id")

        rows = [(clip("es", 1), "Buenos \\\\ días.", "Good morning.", "ana")]

        write_text(tmp_path / "covost" / "covost_v2.es_en.train.tsv", tsv(columns, *rows))

        built, _ = prepare("covost2", tmp_path / "covost", {"common-voice": release / "es", "pair": "es-en"})

        assert built["common_voice_es_1"].source_text == "Buenos \\ días."

    def test_english_to_several_languages(self, tmp_path: Path) -> None:
        release = tmp_path / "cv"

        write_text(
            release / "en" / "validated.tsv", tsv(HEADER, ("joe", clip("en", 1), "Hello.", "2", "0", "", "", ""))
        )
        write_speech(release / "en" / "clips" / clip("en", 1), 0.5, 48000)

        for lang, text in (("zh-CN", "你好。"), ("de", "Hallo.")):
            write_text(
                tmp_path / "covost" / f"covost_v2.en_{lang}.tsv",
                tsv(("path", "translation", "split"), (clip("en", 1), text, "train")),
            )

        rows, _ = prepare("covost2", tmp_path / "covost", {"common-voice": release})

        assert {id_: row.target_lang for id_, row in rows.items()} == {
            "common_voice_en_1.de": "deu",
            "common_voice_en_1.zh-CN": "cmn",
        }

        rows, _ = prepare("covost2", tmp_path / "covost", {"common-voice": release, "pair": ["en-zh-CN"]})

        assert list(rows) == ["common_voice_en_1.zh-CN"]

    def test_bad_arguments(self, covost: Path, release: Path, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="--common-voice is not given"):
            prepare("covost2", covost)

        with pytest.raises(UserInputError, match=r"has no covost_v2\.fr_en\.tsv \(there are: es_en\)"):
            prepare("covost2", covost, {"common-voice": release, "pair": "fr-en"})

        (tmp_path / "empty").mkdir()

        with pytest.raises(
            UserInputError, match=r"has no Common Voice clips of 'es': .*es/validated\.tsv is not there"
        ):
            prepare("covost2", covost, {"common-voice": tmp_path / "empty"})


class TestCVSS:
    @pytest.fixture
    def cvss(self, tmp_path: Path) -> Path:
        root = tmp_path / "cvss" / "es_en"

        # No headers.
        write_text(
            root / "train.tsv",
            tsv(
                (clip("es", 1), "good morning"),
                (clip("es", 2), "he said hello\tand left"),
                (clip("es", 77), "not in validated"),
            ),
        )
        write_text(root / "dev.tsv", tsv((clip("es", 3), "what")))
        write_text(root / "test.tsv", tsv((clip("es", 4), "the english is missing"), ("strange.mp3", "x"), ("short",)))

        for split, number in (("train", 1), ("train", 2), ("train", 77), ("dev", 3)):
            write_speech(root / split / f"{clip('es', number)}.wav", 0.75, 24000)

        return tmp_path / "cvss"

    def test_rows(self, cvss: Path, release: Path) -> None:
        rows, summary = prepare("cvss-c", cvss, {"common-voice": release})

        assert {id_: (row.split, row.source_text, row.target_text) for id_, row in rows.items()} == {
            "common_voice_es_1": ("train", "Buenos días.", "good morning"),
            "common_voice_es_2": ("train", 'Él dijo "hola" y se fue.', "he said hello and left"),
            "common_voice_es_3": ("valid", '"¿Qué?', "what"),
        }

        row = rows["common_voice_es_1"]

        assert (row.source_lang, row.target_lang, row.target_speaker) == ("spa", "eng", "cvss-c")

        assert row.target_audio == str(cvss / "es_en/train/common_voice_es_1.mp3.wav")

        assert row.target_seconds == 0.75

        assert reasons(summary) == {
            "clip has no name of Common Voice": 1,
            "clip is not in Common Voice's validated.tsv": 1,
            CUT_SHORT: 1,
            MISSING: 1,
        }

    def test_cvss_t_has_the_voice_of_the_source(self, cvss: Path, release: Path) -> None:
        # The folder of one language, and Common Voice's of the same.
        rows, _ = prepare("cvss-t", cvss / "es_en", {"common-voice": release / "es"})

        assert {row.target_speaker for row in rows.values()} == {"ana", "luis"}

    def test_other_languages_only(self, cvss: Path, release: Path) -> None:
        for lang in ("fr", ["es", "fr"]):
            with pytest.raises(UserInputError, match=r"--lang is 'fr', but .* holds only .*es"):
                prepare("cvss-c", cvss, {"common-voice": release, "lang": lang})
