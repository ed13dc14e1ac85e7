from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from codec_s2st.data.corpora.corpus import Corpus, Option, OptionValues, Skipped
from codec_s2st.data.files import folder_lock, sha256_of
from codec_s2st.data.manifest import iter_rows, read_manifest, resolve_audio
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.prepare import Preparation, PrepareSummary, check_strict, prepare_corpus
from codec_s2st.errors import UserInputError
from tests.corpora import reasons, write_speech


def corpus_of(*rows: ManifestRow | Skipped, **fields: object) -> Corpus:
    def read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
        for row in rows:
            if isinstance(row, ManifestRow) and row.source_audio is not None:
                row = ManifestRow(**(vars(row) | {"source_audio": str(src / row.source_audio)}))

            yield row

    return Corpus(
        name="toy",
        summary="a toy",
        licence="none",
        languages=("spa",),
        url="nowhere",
        layout="here",
        expects="toys",
        read=read,
        **fields,  # type: ignore[arg-type]
    )


def row(id_: str, **fields: object) -> ManifestRow:
    return ManifestRow(**({"id": id_, "split": "train", "source_lang": "spa"} | fields))  # type: ignore[arg-type]


def run(corpus: Corpus, src: Path, out: Path, **preparation: object) -> tuple[dict[str, ManifestRow], PrepareSummary]:
    summary = prepare_corpus(corpus, src, out, None, Preparation(**preparation))  # type: ignore[arg-type]

    return {item.id: item for item in iter_rows(read_manifest(out))}, summary


@pytest.fixture
def src(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_speech(tmp_path / "src" / f"{name}.wav", 0.5)

    return tmp_path / "src"


SPEECH = (row("a", source_audio="a.wav", source_text="uno"), row("b", source_audio="b.wav", source_text="dos"))


class TestRecord:
    def test_content(self, src: Path, tmp_path: Path) -> None:
        flaw, choice = Skipped("broken", "line 7"), Skipped("not wanted", "line 8", expected=True)

        corpus = corpus_of(*SPEECH, flaw, choice, flaw, options=(Option(name="lang", help="x", default="es"),))

        _, summary = run(corpus, src, tmp_path / "out")

        record = json.loads((tmp_path / "out" / "prepare.json").read_text())

        assert record["corpus"] == {"name": "toy", "licence": "none", "url": "nowhere", "layout": "here"}

        assert record["options"] == {"lang": ["es"]}

        assert record["manifest_sha256"] == sha256_of(tmp_path / "out" / "manifest.parquet")

        assert record["splits"] == {"train": {"num_rows": 2, "hours": {"source spa": 0.000278}}}

        assert record["left_out"] == [
            {"reason": "broken", "num": 2, "expected": False, "examples": ["line 7", "line 7"]},
            {"reason": "not wanted", "num": 1, "expected": True, "examples": ["line 8"]},
        ]

        assert str(summary).splitlines() == [
            "2 rows: 0.00 h source spa",
            "left out: 2, broken (e.g. line 7)",
            "left out: 1, not wanted (e.g. line 8)",
        ]

    def test_same_input_same_bytes(self, src: Path, tmp_path: Path) -> None:
        corpus = corpus_of(*SPEECH, Skipped("broken", "line 7"))

        run(corpus, src, tmp_path / "one", num_threads=1)
        run(corpus, src, tmp_path / "two", num_threads=7)

        for name in ("manifest.parquet", "prepare.json"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

        assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
            ".lock",
            "manifest.parquet",
            "prepare.json",
        ]


class TestPaths:
    def test_audio_below_the_manifest_is_relative(self, src: Path, tmp_path: Path) -> None:
        rows, _ = run(corpus_of(*SPEECH), src, tmp_path)

        assert rows["a"].source_audio == "src/a.wav"

        # The folder may move.
        tmp_path.joinpath("src").rename(tmp_path / "moved")

        assert not resolve_audio(tmp_path / "manifest.parquet", rows["a"].source_audio).exists()

        rows, _ = run(corpus_of(*SPEECH), tmp_path / "moved", tmp_path, absolute=True)

        assert rows["a"].source_audio == str(tmp_path / "moved" / "a.wav")

    def test_relative_arguments(self, src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        rows, _ = run(corpus_of(*SPEECH), Path("src"), Path("out/../elsewhere"))

        assert rows["a"].source_audio == str(tmp_path / "src" / "a.wav")

    @pytest.mark.parametrize("audio", ["../secret.wav", "/etc/hostname", "b/../../secret.wav", "../src2/x.wav"])
    def test_audio_outside(self, src: Path, tmp_path: Path, audio: str) -> None:
        write_speech(tmp_path / "secret.wav")
        write_speech(tmp_path / "src2" / "x.wav")

        _, summary = run(corpus_of(*SPEECH, row("c", source_audio=audio)), src, tmp_path / "out")

        assert reasons(summary) == {"audio is not below the corpus's folders": 1}

    def test_links_are_followed(self, src: Path, tmp_path: Path) -> None:
        write_speech(tmp_path / "other" / "c.wav")

        os.symlink(tmp_path / "other", src / "link")

        rows, _ = run(corpus_of(row("c", source_audio="link/c.wav")), src, tmp_path / "out")

        assert rows["c"].source_seconds == 0.25


class TestRules:
    def test_texts_are_cleaned(self, src: Path, tmp_path: Path) -> None:
        rows, _ = run(
            corpus_of(
                row("a", source_text=" Él \t dijo\u00a0\x0c\u2028HOLA ", source_speaker="  "),
                row("b", source_text="X", target_text="  ", target_lang="eng", target_speaker="eva"),
            ),
            src,
            tmp_path / "out",
            lowercase=True,
        )

        assert (rows["a"].source_text, rows["a"].source_speaker) == ("él dijo hola", None)

        rows_without_audio, _ = run(
            corpus_of(row("c", source_text="x", target_text="y", target_lang="eng"), row("d", source_text="")),
            src,
            tmp_path / "out2",
        )

        assert list(rows_without_audio) == ["c"]

        assert (rows["b"].target_text, rows["b"].target_lang, rows["b"].target_speaker) == (None, None, None)

    @pytest.mark.parametrize("id_", ["", "a/b", "..", " a", "a\nb", "x" * 201, "a\\b", "a\x00"])
    def test_bad_ids(self, src: Path, tmp_path: Path, id_: str) -> None:
        _, summary = run(corpus_of(*SPEECH, row(id_, source_text="x")), src, tmp_path / "out")

        assert reasons(summary) == {"id is not usable as a file name": 1}

    def test_bad_languages_and_empty_rows(self, src: Path, tmp_path: Path) -> None:
        _, summary = run(
            corpus_of(*SPEECH, row("c", source_text="x", source_lang="es"), row("d", source_text=" ")),
            src,
            tmp_path / "out",
        )

        assert reasons(summary) == {"language is not an ISO 639-3 code": 1, "row has neither audio nor text": 1}

    def test_splits(self, src: Path, tmp_path: Path) -> None:
        rows, summary = run(
            corpus_of(*SPEECH, row("c", source_text="x", split="test")), src, tmp_path / "out", splits=("test",)
        )

        assert list(rows) == ["c"]

        assert reasons(summary) == {"(split was not asked for)": 2}

    def test_limit(self, src: Path, tmp_path: Path) -> None:
        rows, _ = run(corpus_of(*SPEECH), src, tmp_path / "out", limit=1)

        assert list(rows) == ["a"]

    def test_hold_out_is_by_speaker_and_always_the_same(self, src: Path, tmp_path: Path) -> None:
        texts = [row(f"r{n}", source_text="x", source_speaker=f"speaker{n // 10}") for n in range(1000)]

        rows, _ = run(corpus_of(*texts), src, tmp_path / "out", hold_out=0.2)

        held_out = {item.source_speaker for item in rows.values() if item.split == "valid"}

        assert 5 <= len(held_out) <= 40

        assert held_out.isdisjoint(item.source_speaker for item in rows.values() if item.split == "train")

        again, _ = run(corpus_of(*reversed(texts)), src, tmp_path / "out", hold_out=0.2)

        assert {item.id: item.split for item in again.values()} == {item.id: item.split for item in rows.values()}

        # More held out is a superset.
        more, _ = run(corpus_of(*texts), src, tmp_path / "out", hold_out=0.4)

        assert held_out < {item.source_speaker for item in more.values() if item.split == "valid"}

    def test_duplicates(self, src: Path, tmp_path: Path) -> None:
        rows, summary = run(corpus_of(*SPEECH, row("a", source_text="tres")), src, tmp_path / "out")

        assert rows["a"].source_text == "uno"

        assert summary.left_out[0].examples == ("a",)


class TestPieces:
    """A manifest may be larger than memory."""

    def test_rows_are_those_of_one_piece(self, src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        texts = [row(f"t{i % 17}", source_text=f"texto {i}", split=f"s{i % 3}") for i in range(20)]

        whole, summary = run(corpus_of(*SPEECH, *texts, *SPEECH), src, tmp_path / "whole")

        monkeypatch.setattr("codec_s2st.data.preparation.prepare._BATCH", 4)

        pieces, summary_of_pieces = run(corpus_of(*SPEECH, *texts, *SPEECH), src, tmp_path / "pieces")

        assert list(whole) == list(pieces) == ["a", "b", *(f"t{i}" for i in range(17))]

        assert whole == pieces

        assert summary_of_pieces.left_out == summary.left_out

        # Three of the texts' ids and both recordings' come again, in later pieces.
        assert [(item.reason, item.num) for item in summary.left_out] == [("id occurs a second time", 5)]

        assert summary_of_pieces.hours == summary.hours == {"source spa": pytest.approx(1 / 3600)}

        one, two = (json.loads((tmp_path / name / "prepare.json").read_text()) for name in ("whole", "pieces"))

        assert one["splits"] == two["splits"]

        assert {split: item["num_rows"] for split, item in two["splits"].items()} == {
            "s0": 6,
            "s1": 6,
            "s2": 5,
            "train": 2,
        }

    def test_a_flaw_in_a_later_piece_leaves_nothing(
        self, src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("codec_s2st.data.preparation.prepare._BATCH", 2)

        def read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
            yield from (row(f"t{i}", source_text="uno") for i in range(5))

            raise UserInputError("the table is cut short")

        corpus = corpus_of()

        corpus = type(corpus)(**(vars(corpus) | {"read": read}))

        with pytest.raises(UserInputError, match="cut short"):
            run(corpus, src, tmp_path / "out")

        assert not [path for path in (tmp_path / "out").iterdir() if path.name != ".lock"]


class TestErrors:
    def test_strict(self, src: Path, tmp_path: Path) -> None:
        _, summary = run(corpus_of(*SPEECH, Skipped("as wanted", "x", expected=True)), src, tmp_path / "out")

        check_strict(summary)

        _, summary = run(corpus_of(*SPEECH, Skipped("broken", "x")), src, tmp_path / "out")

        with pytest.raises(UserInputError, match=r"1 utterance\(s\) were left out, and strict is set .*prepare\.json"):
            check_strict(summary)

    def test_nothing(self, src: Path, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=r"src holds nothing of toy \(expected: toys\)"):
            run(corpus_of(), src, tmp_path / "out")

        with pytest.raises(UserInputError, match=r"none of the 2 utterances of .*; 2 of them: broken \(e\.g\. x\)"):
            run(corpus_of(Skipped("broken", "x"), Skipped("broken", "y")), src, tmp_path / "out")

        with pytest.raises(UserInputError, match=r"none does not exist \(toy is looked for in it: toys\)"):
            run(corpus_of(), tmp_path / "none", tmp_path / "out")

    def test_what_was_there_stays(self, src: Path, tmp_path: Path) -> None:
        run(corpus_of(*SPEECH), src, tmp_path / "out")

        content = (tmp_path / "out" / "manifest.parquet").read_bytes()

        with pytest.raises(UserInputError):
            run(corpus_of(), src, tmp_path / "out")

        assert (tmp_path / "out" / "manifest.parquet").read_bytes() == content

    def test_busy_folder(self, src: Path, tmp_path: Path) -> None:
        with folder_lock(tmp_path / "out"), pytest.raises(UserInputError, match="another run is writing"):
            run(corpus_of(*SPEECH), src, tmp_path / "out")

    @pytest.mark.parametrize(
        ("preparation", "message"),
        [
            ({"hold_out": 1.0}, "the share to hold out is 1.0"),
            ({"hold_out": -0.1}, "the share to hold out is -0.1"),
            ({"limit": 0}, "--limit is 0"),
            ({"num_threads": 0}, "--jobs is 0"),
        ],
    )
    def test_bad_numbers(self, src: Path, tmp_path: Path, preparation: dict[str, float], message: str) -> None:
        with pytest.raises(UserInputError, match=message):
            run(corpus_of(*SPEECH), src, tmp_path / "out", **preparation)
