from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
import torch

from codec_s2st.cli import main
from codec_s2st.codecs import load_codec
from codec_s2st.data.shard_format import Quarantined
from codec_s2st.data.shards import ShardRow, Side, shard_name, write_shard
from tests.factories import toy_fingerprint, toy_rows

LEFT_OUT = [Quarantined("bad1", "is empty"), Quarantined("bad2", "is empty"), Quarantined("bad3", "is not audio")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of 5 and 3 rows; the last row has a text on its source side, and nothing else."""
    path = tmp_path_factory.mktemp("shards")

    rows = toy_rows(8, num_valid=2)

    rows[7] = ShardRow(rows[7].id, "valid", Side(None, "hola", "spa"), Side())

    fingerprint = load_codec("demo_codec").fingerprint.first(2)

    for i, (part, left_out) in enumerate([(rows[:5], LEFT_OUT), (rows[5:], [])]):
        write_shard(path / shard_name(i, 2), part, fingerprint, {"tool": "x 1.0", "shard": i}, quarantined=left_out)

    return path


def rows_of(folder: Path) -> list[ShardRow]:
    rows = toy_rows(8, num_valid=2)

    return rows[:7]


class TestInspect:
    def test_counts_what_is_there(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["shards", "inspect", str(folder), "--json"]) == 0

        summary = json.loads(capsys.readouterr().out)

        assert (summary["num_shards"], summary["num_rows"], summary["made_by"]) == (2, 8, {"tool": "x 1.0"})

        assert (summary["num_quarantined"], summary["reasons"]) == (3, {"is empty": 2, "is not audio": 1})

        assert summary["num_bytes"] == sum(file.stat().st_size for file in folder.iterdir())

        counts = {(item["split"], item["side"]): item for item in summary["counts"]}

        assert {key: (item["spoken"], item["written"]) for key, item in counts.items()} == {
            ("train", "source"): (6, 6),
            ("train", "target"): (6, 6),
            ("valid", "source"): (1, 2),
            ("valid", "target"): (1, 1),
        }

        frames = sum(len(row.source.codes) for row in rows_of(folder) if row.split == "train")  # type: ignore[arg-type]

        # 25 frames a second.
        assert counts["train", "source"]["hours"] == pytest.approx(frames / 25 / 3600)

    def test_prints_a_table(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["shards", "inspect", str(folder)]) == 0

        out = capsys.readouterr().out

        assert "2 shards, 8 rows" in out and "codec 'codec_s2st_demo_codec'" in out

        assert ["train", "source", "spa", "6", "6"] in [line.split()[:5] for line in out.splitlines()]

        assert "3 rows were left out" in out and "2  is empty" in out


class TestVerify:
    def test_whole_shards_are_said_to_be_whole(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["shards", "verify", str(folder)]) == 0

        assert capsys.readouterr().out == "2 shards are whole\n"

    def test_every_damaged_shard_is_named(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        names = sorted(file.name for file in folder.iterdir())

        for name in names:
            data = bytearray((folder / name).read_bytes())

            # A bit of the first page.
            data[40] ^= 1

            (tmp_path / name).write_bytes(data)

        assert main(["shards", "verify", str(tmp_path)]) == 2

        lines = capsys.readouterr().err.splitlines()

        assert len(lines) == 3

        assert all(name in line and "row group 0" in line for name, line in zip(names, lines, strict=False))

        assert lines[2].startswith(f"codec-s2st: error: 2 of 2 shards of {tmp_path} are damaged")

    def test_one_without_its_end_does_not_hide_the_others(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        names = sorted(file.name for file in folder.iterdir())

        for name in names:
            (tmp_path / name).write_bytes((folder / name).read_bytes()[:-7])

        assert main(["shards", "verify", str(tmp_path)]) == 2

        lines = capsys.readouterr().err.splitlines()

        assert len(lines) == 3 and all(name in line for name, line in zip(names, lines, strict=False))

    def test_shards_of_two_manifests_are_refused(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        names = sorted(file.name for file in folder.iterdir())

        (tmp_path / names[0]).write_bytes((folder / names[0]).read_bytes())

        write_shard(tmp_path / names[1], toy_rows(2), toy_fingerprint(), {"manifest_sha256": "another"})

        assert main(["shards", "verify", str(tmp_path)]) == 2

        assert "holds shards of 2 different manifests" in capsys.readouterr().err

    def test_a_missing_shard_is_named(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / shard_name(0, 2)).write_bytes((folder / shard_name(0, 2)).read_bytes())

        assert main(["shards", "verify", str(tmp_path)]) == 2

        assert f"lacks 1 of its 2 shards, such as {shard_name(1, 2)}" in capsys.readouterr().err


class TestDecode:
    @pytest.mark.parametrize("side", ["source", "target"])
    def test_writes_what_the_codec_makes_of_the_codes(
        self, folder: Path, tmp_path: Path, side: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        row = rows_of(folder)[6]

        output = tmp_path / "out.wav"

        assert main(["shards", "decode", str(folder), row.id, str(output), "--side", side]) == 0

        item = getattr(row, side)

        assert capsys.readouterr().out == f"{output}: {item.text}\n"

        expected = load_codec("demo_codec").decode(torch.from_numpy(item.codes.astype("int64")).T[None])[0, 0]

        wave, sample_rate = soundfile.read(output, dtype="float32")

        assert sample_rate == 16_000

        torch.testing.assert_close(torch.from_numpy(wave), expected.clamp(-1, 1), rtol=0, atol=1 / 32768)

    def test_fewer_code_books_can_be_heard(self, folder: Path, tmp_path: Path) -> None:
        waves = []

        for num_streams in ("1", "2"):
            output = tmp_path / f"{num_streams}.wav"

            options = ["--num-streams", num_streams]

            assert main(["shards", "decode", str(folder), rows_of(folder)[0].id, str(output), *options]) == 0

            waves.append(soundfile.read(output)[0])

        assert waves[0].shape == waves[1].shape and (waves[0] != waves[1]).any()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nope", "o.wav"], "hold no row 'nope'"),
            (["bad2", "o.wav"], "row 'bad2' was left out of"),
            (["row7", "o.wav"], "row 'row7' has no source speech"),
            (["row0", "o.wav", "--num-streams", "3"], "--num-streams is 3, but must be in 1..2"),
            (["row0", "o.mp3"], "must end in one of"),
            (["row0", "absent/o.wav"], "there is no folder"),
            (["row0", "o.wav", "--codec", "nope"], "unknown codec 'nope'"),
        ],
    )
    def test_mistakes_are_one_line(
        self,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)

        assert main(["shards", "decode", str(folder), *arguments]) == 2

        err = capsys.readouterr().err

        assert message in err and err.count("\n") == 1

        assert list(tmp_path.iterdir()) == []
