"""MLS, FLEURS and VoxPopuli."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.data.preparation.probe import MISSING, UNREADABLE
from codec_s2st.data.preparation.text_files import CUT_SHORT
from codec_s2st.errors import UserInputError
from tests.corpora import prepare, reasons, tsv, write_speech, write_text


class TestMLS:
    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Path:
        root = tmp_path / "src"

        for name, suffix in (("mls_german", ".flac"), ("mls_polish_opus", ".opus")):
            for split, id_ in (("train", "4800_10003_000000"), ("dev", "252_11_000001"), ("test", "9_8_000002")):
                speaker, book, _ = id_.split("_")

                write_text(root / name / split / "transcripts.txt", f"{id_}\tein text über etwas\r\n")

                write_speech(root / name / split / "audio" / speaker / book / f"{id_}{suffix}", 0.5)

        write_text(root / "mls_german" / "train" / "limited_supervision" / "1hr" / "0" / "handles.txt", "4800\n")
        write_text(root / "mls_lm_german" / "data.txt", "text")

        return root

    def test_rows(self, corpus: Path) -> None:
        rows, summary = prepare("mls", corpus)

        assert {id_: (row.split, row.source_speaker, row.source_seconds) for id_, row in rows.items()} == {
            "deu_4800_10003_000000": ("train", "4800", 0.5),
            "deu_252_11_000001": ("valid", "252", 0.5),
            "deu_9_8_000002": ("test", "9", 0.5),
            "pol_4800_10003_000000": ("train", "4800", 0.5),
            "pol_252_11_000001": ("valid", "252", 0.5),
            "pol_9_8_000002": ("test", "9", 0.5),
        }

        assert rows["deu_9_8_000002"].source_text == "ein text über etwas"

        assert reasons(summary) == {}

    def test_flaws(self, corpus: Path) -> None:
        folder = corpus / "mls_german" / "train"

        write_text(
            folder / "transcripts.txt",
            tsv(
                ("4800_10003_000000", "first"),
                ("4800_10003_000000", "again"),
                ("4800_10003_000001", "missing"),
                ("4800_10003_000002", "cut off"),
                ("4800_10003_000003",),
            ),
        )

        path = write_speech(folder / "audio/4800/10003/4800_10003_000002.flac")
        path.write_bytes(path.read_bytes()[:20])

        rows, summary = prepare("mls", corpus / "mls_german", out=corpus / "out")

        assert rows["deu_4800_10003_000000"].source_text == "first"

        assert reasons(summary) == {CUT_SHORT: 1, MISSING: 1, UNREADABLE: 1, "id occurs a second time": 1}

    def test_one_language(self, corpus: Path) -> None:
        rows, _ = prepare("mls", corpus, {"lang": "polish"})

        assert {row.source_lang for row in rows.values()} == {"pol"}

    def test_absent_language_beside_another(self, corpus: Path) -> None:
        with pytest.raises(UserInputError, match=r"--lang is 'french', but .* holds only .*polish"):
            prepare("mls", corpus, {"lang": ["polish", "french"]})


class TestFLEURS:
    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Path:
        root = tmp_path / "src"

        def row(sentence: int, file: str, text: str) -> tuple[str, ...]:
            return str(sentence), file, text, text.lower(), "|".join(text), "4000", "FEMALE"

        tables = {
            "es_419/train": [
                row(1, "11.wav", '"Hola", dijo.'),
                row(1, "12.wav", '"Hola", dijo.'),
                row(2, "13.wav", "S"),
            ],
            "es_419/dev": [row(7, "14.wav", "Adiós.")],
            "en_us/train": [row(1, "11.wav", 'He said "hello".'), row(3, "22.wav", "Alone.")],
            "en_us/dev": [row(7, "23.wav", "Bye."), row(7, "24.wav", "Bye.")],
            "yue_hant_hk/test": [row(9, "31.wav", "你好")],
        }

        for name, rows in tables.items():
            lang, split = name.split("/")

            # No header.
            write_text(root / "data" / lang / f"{split}.tsv", tsv(*rows))

            for cells in rows:
                # The hub's archives may be unpacked in either place.
                folder = Path("audio") / split if lang != "en_us" else Path(split)

                write_speech(root / "data" / lang / folder / cells[1])

        return root

    def test_one_language_a_row(self, corpus: Path) -> None:
        rows, _ = prepare("fleurs", corpus)

        assert len(rows) == 9

        row = rows["es_419-11"]

        assert (row.split, row.source_text, row.source_lang, row.target_text) == ("train", '"Hola", dijo.', "spa", None)

        assert (rows["yue_hant_hk-31"].split, rows["yue_hant_hk-31"].source_lang) == ("test", "yue")

        rows, _ = prepare("fleurs", corpus, {"lang": "en_us", "text": "normalized"}, splits=("train",))

        assert [row.source_text for row in rows.values()] == ['he said "hello".', "alone."]

    def test_pairs(self, corpus: Path) -> None:
        rows, summary = prepare("fleurs", corpus / "data", {"pair": "es_419-en_us"}, out=corpus / "out")

        def stem(audio: str | None) -> str:
            assert audio is not None

            return Path(audio).stem

        found = {(stem(row.source_audio), stem(row.target_audio), row.split) for row in rows.values()}

        assert found == {("11", "11", "train"), ("12", "11", "train"), ("14", "23", "valid")}

        row = rows["es_419-en_us-14"]

        assert (row.source_text, row.target_text, row.target_lang) == ("Adiós.", "Bye.", "eng")

        assert reasons(summary) == {"(sentence has no recording in en_us)": 1}

    def test_absent_language(self, corpus: Path) -> None:
        with pytest.raises(UserInputError, match="has no FLEURS of 'fr_fr'"):
            prepare("fleurs", corpus, {"lang": "fr_fr"})

        with pytest.raises(UserInputError, match=r"--pair is 'es_419'"):
            prepare("fleurs", corpus, {"pair": "es_419"})

    def test_pairs_or_languages(self, corpus: Path) -> None:
        with pytest.raises(UserInputError, match="--pair and --lang cannot be given together"):
            prepare("fleurs", corpus, {"pair": "es_419-en_us", "lang": "en_us"})


class TestVoxPopuli:
    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Path:
        source = tmp_path / "src" / "transcribed_data" / "es"

        ids = [f"20090112-0900-PLENARY-1-es_20090112-17:0{n}:09_{n}" for n in range(4)]

        for split, chosen in (("train", ids[:2]), ("dev", ids[2:3]), ("test", [])):
            header = ("id", "raw_text", "normalized_text", "speaker_id", "split", "gender", "is_gold", "accent")

            rows = [(id_, "Señor.", "señor", "28", split, "male", "False", "None") for id_ in chosen]

            write_text(source / f"asr_{split}.tsv", tsv(header, *rows))

        header = ("src_id", "src_text", "src_speaker_id", "tgt_id", "tgt_text")

        pairs = [
            (id_, f"Texto {n}.", "28" if n else "None", id_.replace("-es_", "-en_"), "") for n, id_ in enumerate(ids)
        ]

        write_text(source / "en" / "s2s.tsv", tsv(header, *pairs))
        write_text(source / "en" / "s2s_ref.tsv", tsv(header, (*pairs[0][:4], "By hand.")))

        for src_id, _, _, tgt_id, _ in pairs:
            write_speech(source / "2009" / f"{src_id}.ogg", 0.5)
            write_speech(source / "en" / "2009" / f"{tgt_id}.ogg", 0.75, 22050)

        return tmp_path / "src"

    def test_rows(self, corpus: Path) -> None:
        rows, summary = prepare("voxpopuli", corpus)

        assert [(row.split, row.source_text, row.source_speaker) for row in rows.values()] == [
            ("train", "Texto 0.", None),
            ("train", "Texto 1.", "28"),
            ("valid", "Texto 2.", "28"),
        ]

        row = rows["20090112-0900-PLENARY-1-en_20090112-17:00:09_0"]

        assert (row.source_lang, row.target_lang, row.target_text) == ("spa", "eng", None)

        assert (row.source_seconds, row.target_seconds) == pytest.approx((0.5, 0.75), abs=1e-4)

        assert reasons(summary) == {"source is in none of asr_{train,dev,test}.tsv": 1}

    def test_annotated_target(self, corpus: Path) -> None:
        rows, _ = prepare("voxpopuli", corpus / "transcribed_data", {"annotated-target": True}, out=corpus / "out")

        assert [row.target_text for row in rows.values()] == ["By hand."]

    def test_other_pair(self, corpus: Path) -> None:
        with pytest.raises(UserInputError, match=r"--pair is 'en-es', but .* holds only es-en"):
            prepare("voxpopuli", corpus, {"pair": ["es-en", "en-es"]})

    def test_test_set_is_never_trained_on_for_want_of_tables(self, corpus: Path) -> None:
        for split in ("train", "dev", "test"):
            (corpus / "transcribed_data" / "es" / f"asr_{split}.tsv").unlink()

        with pytest.raises(UserInputError, match=r"has no asr_train\.tsv, .* \(run voxpopuli's get_asr_data for es\)"):
            prepare("voxpopuli", corpus)
