"""``codec-s2st translate`` of many recordings, and the recipe on one rank and on two."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codec_s2st.cli import main
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.translate.recipe import TranslateRecipe
from tests.published import contents, publish_random_model, write_speech


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a random model for s2st and s2tt from Spanish to English."""
    return publish_random_model(tmp_path_factory.mktemp("model"), "tiny_translator")


def run(*args: str | Path) -> int:
    return main(["translate", *map(str, args)])


class TestManyRecordings:
    def test_folder_goes_on_after_a_corrupt_file(
        self, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source, out = tmp_path / "in", tmp_path / "out"

        for idx, name in enumerate(("a.wav", "b.flac", "sub/c.ogg")):
            write_speech(source / name, seconds=0.4 + 0.2 * idx, seed=idx)

        (source / "sub" / "bad.wav").write_bytes(b"RIFF" + bytes(100))
        (source / "notes.txt").touch()

        write_speech(source / "long.wav", seconds=20.0)

        assert run(source, out, "--model", model, "--batch-size", "2", "--json") == 2

        output = capsys.readouterr()

        results = [json.loads(line) for line in output.out.splitlines()]

        assert [result["input"] for result in results] == [
            str(source / name) for name in ("a.wav", "b.flac", "sub/c.ogg")
        ]
        assert sorted(contents(out)) == ["a.wav", "b.wav", "sub/c.wav"]

        errors = [line for line in output.err.splitlines() if "warning" not in line]

        assert len(errors) == 3
        assert errors[0].startswith(f"codec-s2st: left out: '{source}/long.wav' has 20.0 s")
        assert errors[1].startswith(f"codec-s2st: left out: audio file '{source}/sub/bad.wav' cannot be read")
        assert errors[2] == "codec-s2st: error: 2 of 5 recordings could not be translated"

    def test_batch_gives_what_one_by_one_gives(self, tmp_path: Path, model: Path) -> None:
        for idx in range(3):
            write_speech(tmp_path / "in" / f"{idx}.wav", seconds=0.3 + 0.3 * idx, seed=idx)

        assert run(tmp_path / "in", tmp_path / "many", "--model", model) == 0
        assert run(tmp_path / "in", tmp_path / "one", "--model", model, "--batch-size", "1") == 0

        assert len(contents(tmp_path / "many")) == 3
        assert contents(tmp_path / "many") == contents(tmp_path / "one")

    def test_outputs_within_the_folder_are_no_inputs(self, tmp_path: Path, model: Path) -> None:
        write_speech(tmp_path / "a.wav", seconds=0.3)

        for _ in range(2):
            assert run(tmp_path, tmp_path / "english", "--model", model) == 0

            assert sorted(contents(tmp_path)) == ["a.wav", "english/a.wav"]

    @pytest.mark.parametrize(("second", "message"), [("b.wav", "would be overwritten"), ("a.flac", "would both be")])
    def test_folder_whose_outputs_would_collide_is_refused(
        self, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], second: str, message: str
    ) -> None:
        for name in ("a.wav", second):
            write_speech(tmp_path / name, seconds=0.3)

        before = contents(tmp_path)

        assert run(tmp_path, tmp_path, "--model", model) == 2

        assert message in capsys.readouterr().err
        assert contents(tmp_path) == before

    def test_manifest_works(self, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_manifest(
            manifest_frame(
                [
                    ManifestRow(id="first", split="test", source_audio="a.wav", source_lang="spa"),
                    ManifestRow(id="absent", split="test", source_audio="b.wav", source_lang="spa"),
                    ManifestRow(id="french", split="test", source_audio="a.wav", source_lang="fra"),
                    ManifestRow(id="text", split="test", source_text="hola", source_lang="spa"),
                    ManifestRow(id="last", split="test", source_audio="a.wav", source_lang="spa"),
                ]
            ),
            tmp_path,
        )

        write_speech(tmp_path / "a.wav", seconds=0.3)

        for source, out in ((tmp_path, "x"), (tmp_path / "manifest.parquet", "y")):
            assert run(source, tmp_path / out, "--model", model, "--task", "s2tt") == 2

            output = capsys.readouterr()

            assert sorted(contents(tmp_path / out)) == ["first.txt", "last.txt"]
            assert "b.wav' does not exist" in output.err
            assert "a.wav' is spoken in fra, but spa is translated" in output.err
            assert "1 rows without `source_audio` are left out, the first 'text'" in output.err
            assert "2 of 4 recordings could not be translated" in output.err


class TestRecipe:
    def test_two_ranks_make_what_one_makes(self, tmp_path: Path, model: Path) -> None:
        for idx in range(5):
            write_speech(tmp_path / "in" / f"{idx}.wav", seconds=0.3 + 0.1 * idx, seed=idx)

        config = ["--config", f"input={tmp_path}/in", f"model_card={model}"]

        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

        command += ["-m", "codec_s2st.recipes.translate", str(tmp_path / "two"), *config]

        process = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")

        assert process.returncode == 0, process.stderr

        assert recipe_main(TranslateRecipe(), [str(tmp_path / "one"), *config]) == 0

        expected = contents(tmp_path / "one" / "output")

        assert sorted(expected) == [f"{idx}.wav" for idx in range(5)]
        assert contents(tmp_path / "two" / "output") == expected
        assert [len(self._inputs(tmp_path / "two", rank)) for rank in (0, 1)] == [3, 2]

        # On fewer ranks than before, nothing of the other ranks is left.
        assert recipe_main(TranslateRecipe(), [str(tmp_path / "two"), *config]) == 0

        assert len(self._inputs(tmp_path / "two", 0)) == 5
        assert not (tmp_path / "two" / "results.rank_1.jsonl").exists()

    @staticmethod
    def _inputs(run_dir: Path, rank: int) -> list[Any]:
        lines = (run_dir / f"results.rank_{rank}.jsonl").read_text().splitlines()

        return [json.loads(line)["input"] for line in lines]

    def test_one_recording_works(self, tmp_path: Path, model: Path) -> None:
        source = write_speech(tmp_path / "in.flac", seconds=0.3)

        config = [f"input={source}", f"model_card={model}", "task=s2tt"]

        assert recipe_main(TranslateRecipe(), [str(tmp_path / "out"), "--config", *config]) == 0

        assert sorted(contents(tmp_path / "out" / "output")) == ["in.txt"]

    def test_corrupt_file_is_an_error_after_the_others(
        self, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        write_speech(tmp_path / "in" / "good.wav", seconds=0.3)

        (tmp_path / "in" / "bad.wav").write_bytes(b"RIFF" + bytes(100))

        config = [f"input={tmp_path}/in", f"model_card={model}"]

        assert recipe_main(TranslateRecipe(), [str(tmp_path / "out"), "--config", *config]) == 2

        assert sorted(contents(tmp_path / "out" / "output")) == ["good.wav"]
        assert "error: 1 of 2 recordings could not be translated; see the log" in capfd.readouterr().err

    def test_input_must_be_set(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert recipe_main(TranslateRecipe(), [str(tmp_path / "out")]) == 2

        assert "`input` is not set (give it: --config input=PATH)" in capfd.readouterr().err
