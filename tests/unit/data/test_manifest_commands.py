"""`codec-s2st stats` and `codec-s2st filter`, against loops over the rows."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path

import pytest

from codec_s2st.cli import main
from codec_s2st.data.manifest import ManifestRow, iter_rows, manifest_frame, read_manifest, write_manifest

NUM_ROWS = 500


def make_rows() -> list[ManifestRow]:
    rng = random.Random(3)

    rows = []

    for i in range(NUM_ROWS):
        has_target, has_text = rng.random() < 0.8, rng.random() < 0.9

        rows.append(
            ManifestRow(
                id=f"u{i}",
                split=rng.choice(["train", "train", "valid"]),
                source_audio=f"clips/{i}.wav",
                source_text=rng.choice(["hola", "¿qué tal, Ana?", "привет", "你好", "dos 2"]) if has_text else None,
                source_lang=rng.choice(["spa", "por"]),
                source_speaker=rng.choice(["ana", "luis", "eva", None]),
                source_seconds=round(rng.uniform(0.2, 12.0), 2) if i % 50 else None,
                target_audio=f"/abs/{i}.wav" if has_target else None,
                target_text=rng.choice(["hello", "how are you"]) if has_target else None,
                target_lang="eng" if has_target else None,
                target_seconds=round(rng.uniform(0.2, 80.0), 2) if has_target else None,
            )
        )

    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifest")

    write_manifest(manifest_frame(make_rows()), path)

    return path


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a manifest of these tests is read in many pieces."""
    monkeypatch.setattr("codec_s2st.data.manifest_scan._ROWS_PER_PIECE", 7)


class TestStats:
    def test_counts_as_a_loop_does(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["stats", str(folder), "--json"]) == 0

        stats = json.loads(capsys.readouterr().out)

        assert stats["num_rows"] == NUM_ROWS

        parts = {(part["split"], part["side"], part["lang"]): part for part in stats["parts"]}

        assert len(parts) == 6

        for (split, side, lang), part in parts.items():
            rows = [r for r in make_rows() if r.split == split and getattr(r, f"{side}_lang") == lang]

            seconds = [s for r in rows if (s := getattr(r, f"{side}_seconds")) is not None]

            assert part["num_spoken"] == sum(getattr(r, f"{side}_audio") is not None for r in rows)
            assert part["num_written"] == sum(getattr(r, f"{side}_text") is not None for r in rows)
            assert part["num_unmeasured"] == part["num_spoken"] - len(seconds)
            assert part["num_speakers"] == len({getattr(r, f"{side}_speaker") for r in rows} - {None})

            assert part["hours"] == pytest.approx(sum(seconds) / 3600)
            assert (part["min_seconds"], part["max_seconds"]) == (min(seconds), max(seconds))
            assert part["median_seconds"] == pytest.approx(statistics.median(seconds), abs=0.6)

        by_speaker = {
            name: sum(r.source_seconds or 0 for r in make_rows() if r.source_speaker == name) / 3600
            for name in ("ana", "luis", "eva")
        }

        assert stats["speakers"] == pytest.approx(by_speaker)
        assert list(stats["speakers"]) == sorted(by_speaker, key=lambda name: -by_speaker[name])

        bars = [0] * 121

        for row in make_rows():
            if row.target_seconds is not None:
                bars[min(int(row.target_seconds / 0.5), 120)] += 1

        assert stats["histogram"]["target eng"] == bars and bars[120] > 0

    def test_the_median_lies_between_the_shortest_and_the_longest(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = [
            ManifestRow(id=str(n), split="train", source_audio="a.wav", source_lang="spa", source_seconds=seconds)
            for n, seconds in enumerate((2.0, 2.02, 2.04))
        ]

        write_manifest(manifest_frame(rows), tmp_path)

        assert main(["stats", str(tmp_path), "--json"]) == 0

        assert json.loads(capsys.readouterr().out)["parts"][0]["median_seconds"] == pytest.approx(2.02)

    def test_prints_a_table_and_writes_a_picture(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["stats", str(folder), "--picture", str(tmp_path / "s.png")]) == 0

        out = capsys.readouterr().out

        assert "500 rows" in out and "who speaks most, in hours:" in out and out.endswith("s.png\n")
        assert out.count("\n10 recordings have no duration") == 1

        assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")

    def test_a_manifest_of_text_has_no_durations(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        rows = [ManifestRow(id=str(i), split="train", source_text="hola", source_lang="spa") for i in range(20)]

        write_manifest(manifest_frame(rows), tmp_path)

        assert main(["stats", str(tmp_path), "--picture", str(tmp_path / "s.svg")]) == 0

        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("train"))

        assert line.split() == ["train", "source", "spa", "0", "20", "0", "0.00"]


def keep(folder: Path, out: Path, *options: str) -> list[ManifestRow]:
    assert main(["filter", str(folder), str(out), *options]) == 0

    return list(iter_rows(read_manifest(out)))


class TestFilter:
    def test_rules_are_applied_together(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["--min-seconds", "1", "--max-seconds", "30", "--max-ratio", "4", "--split", "train"]

        kept = keep(folder, tmp_path, *options, "--source-lang", "spa")

        def fits(row: ManifestRow) -> bool:
            seconds = [s for s in (row.source_seconds, row.target_seconds) if s is not None]

            ratio = max(seconds) / min(seconds) if len(seconds) == 2 else 1

            return (
                row.split == "train" and row.source_lang == "spa" and ratio <= 4 and all(1 <= s <= 30 for s in seconds)
            )

        expected = [row.id for row in make_rows() if fits(row)]

        assert [row.id for row in kept] == expected and 20 < len(expected) < 200

        lines = capsys.readouterr().out.splitlines()

        assert lines[0] == f"{len(expected)} of 500 rows stay"

        assert len(expected) + sum(int(line.split()[0]) for line in lines[1:-1]) == 500

        by_reason = {line.partition("left out: ")[2]: int(line.split()[0]) for line in lines[1:-1]}

        assert by_reason["split"] == sum(row.split != "train" for row in make_rows())

    def test_letters_must_be_of_the_script(self, folder: Path, tmp_path: Path) -> None:
        kept = keep(folder, tmp_path, "--source-script", "Latin")

        assert {row.source_text for row in kept} == {"hola", "¿qué tal, Ana?", "dos 2", None}

    @pytest.mark.parametrize("what", ["text", "audio"])
    def test_of_repeated_rows_the_first_one_stays(self, folder: Path, tmp_path: Path, what: str) -> None:
        kept = keep(folder, tmp_path, "--unique", what, "--min-seconds", "1")

        seen, expected = set(), []

        for row in make_rows():
            if min(s for s in (row.source_seconds, row.target_seconds, 1.0) if s is not None) < 1:
                continue

            key = (getattr(row, f"source_{what}"), getattr(row, f"target_{what}"))

            # A row that has none repeats nothing.
            if key == (None, None) or key not in seen:
                expected.append(row.id)

            seen.add(key)

        assert [row.id for row in kept] == expected

        assert len(expected) < 480 if what == "text" else len(expected) > 300

    def test_recordings_are_found_from_another_folder(self, folder: Path, tmp_path: Path) -> None:
        elsewhere = keep(folder, tmp_path)[1]

        assert elsewhere.source_audio == str(folder / "clips/1.wav")
        assert elsewhere.target_audio in ("/abs/1.wav", None)

        beside = keep(folder, folder / "chosen.parquet")[1]

        assert beside.source_audio == "clips/1.wav"

    def test_equal_input_gives_equal_bytes(self, folder: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            keep(folder, tmp_path / name, "--max-seconds", "9")

        one, two = ((tmp_path / name / "manifest.parquet").read_bytes() for name in ("a", "b"))

        assert one == two

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--split", "nope"], "no row of manifest FILE is left: 500 by split (its split is train, valid)"),
            (
                ["--source-lang", "es"],
                "no row of manifest FILE is left: 500 by source_lang (its",
            ),
            (["--min-seconds", "3", "--max-seconds", "2"], "--min-seconds is 3.0, but must not be above --max-seconds"),
            (["--max-ratio", "0.5"], "--max-ratio is 0.5, but must be at least 1"),
            (["--min-seconds", "nan"], "--min-seconds is nan, but must be a number of seconds"),
            (["--source-script", "Latn1"], "--source-script is 'Latn1', but must be a script"),
            (["--source-script", "Klingon"], "--source-script is 'Klingon', which is no script of Unicode (Latin, Han"),
            (["--target-script", "Latinn"], "--target-script is 'Latinn', which is no script of Unicode"),
        ],
    )
    def test_mistakes_are_one_line(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
    ) -> None:
        assert main(["filter", str(folder), str(tmp_path), *options]) == 2

        err = capsys.readouterr().err.replace(str(folder / "manifest.parquet"), "FILE")

        assert err.startswith(f"codec-s2st: error: {message}") and err.count("\n") == 1

        assert list(tmp_path.iterdir()) == []

    def test_the_manifest_itself_is_not_overwritten(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["filter", str(folder), str(folder)]) == 2

        assert "is the manifest itself" in capsys.readouterr().err

    def test_a_damaged_manifest_is_refused(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = bytearray((folder / "manifest.parquet").read_bytes())

        data[30] ^= 1

        (tmp_path / "manifest.parquet").write_bytes(data)

        assert main(["filter", str(tmp_path), str(tmp_path / "out")]) == 2

        assert "is damaged" in capsys.readouterr().err
