"""The recipe as users run it; what it makes is tested in ``tests/unit/data/test_tokenize.py``."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from fairseq2.gang import FakeGang
from safetensors.torch import save_file

from codec_s2st.cli import main
from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.codecs.melcodec.model import MelCodec
from codec_s2st.data.array import ArrayTask
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.tokenize import Tokenization
from codec_s2st.errors import StoppedError, UserInputError
from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.tokenize import progress
from codec_s2st.recipes.tokenize.config import TokenizeConfig
from codec_s2st.recipes.tokenize.progress import Count, CountBoard, TokenizeProgress
from codec_s2st.recipes.tokenize.recipe import TokenizeRecipe, TokenizeTask
from tests.tokenization import array_variables

# The architecture "tiny" of the family.
TINY = MelCodecConfig(
    num_mels=20,
    num_codebooks=4,
    codebook_size=16,
    latent_dim=8,
    encoder_dim=32,
    num_encoder_blocks=1,
    decoder_dim=32,
    num_decoder_blocks=1,
    head_dim=16,
    num_head_blocks=1,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest of 10 utterances and the card and weights of a tiny codec."""
    folder = tmp_path_factory.mktemp("corpus")

    rng = np.random.default_rng(0)

    rows = []

    for idx in range(10):
        soundfile.write(folder / f"{idx}.wav", rng.uniform(-1, 1, rng.integers(4000, 16000)), 16000)

        rows.append(ManifestRow(id=f"u{idx}", split="train", source_audio=f"{idx}.wav", source_lang="spa"))

    write_manifest(manifest_frame(rows), folder)

    torch.manual_seed(0)

    state_dict = MelCodec(TINY).state_dict()

    save_file({name: value.contiguous() for name, value in state_dict.items()}, folder / "tiny.safetensors")

    folder.joinpath("cards").mkdir()

    folder.joinpath("cards", "tiny.yaml").write_text(
        "name: codec_s2st_tiny_test_codec\nmodel_family: codec_s2st_melcodec\nmodel_arch: tiny\n"
        f"checkpoint: file://{folder}/tiny.safetensors\n"
    )

    return folder


def arguments(corpus: Path, out: Path, *config: str) -> list[str]:
    cards = f"common.assets.extra_paths=[{corpus}/cards]"

    return [str(out), "--config", f"manifest={corpus}", "rows_per_shard=3", "codec=tiny_test_codec", cards, *config]


def contents(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*.parquet")}


class TestRecipe:
    def test_two_ranks_make_what_one_makes(
        self, tmp_path: Path, corpus: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert recipe_main(TokenizeRecipe(), arguments(corpus, tmp_path / "one")) == 0

        assert "10 rows in 4 shard(s), 0 quarantined" in " ".join(capfd.readouterr().err.split())

        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

        command += ["-m", "codec_s2st.recipes.tokenize", *arguments(corpus, tmp_path / "two")]

        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")

        assert run.returncode == 0, run.stderr

        assert len(contents(tmp_path / "one")) == 5

        assert contents(tmp_path / "two") == contents(tmp_path / "one")

        # The second rank did its part.
        assert (tmp_path / "two" / "logs" / "rank_1.log").exists()

        shards = ShardSet.open([tmp_path / "one"], codec=None)

        weights = corpus / "tiny.safetensors"

        assert shards.fingerprint is not None

        assert shards.fingerprint.name == "codec_s2st_tiny_test_codec"

        assert shards.fingerprint.weights_hash == hashlib.sha256(weights.read_bytes()).hexdigest()

        assert [shards.row(idx).id for idx in range(10)] == [f"u{idx}" for idx in range(10)]

    def test_quarantine_is_an_error_only_if_strict(
        self, tmp_path: Path, corpus: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        rows = [
            ManifestRow(id=id_, split="train", source_audio=f"{corpus}/{id_}.wav", source_lang="spa") for id_ in "1x2"
        ]

        write_manifest(manifest_frame(rows), tmp_path)

        config = [f"manifest={tmp_path}/manifest.parquet", "num_streams=2"]

        assert recipe_main(TokenizeRecipe(), arguments(corpus, tmp_path / "out", *config)) == 0

        before = contents(tmp_path / "out")

        capfd.readouterr()

        assert recipe_main(TokenizeRecipe(), arguments(corpus, tmp_path / "out", *config, "strict=true")) == 2

        error = capfd.readouterr().err

        assert "1 utterance(s) were quarantined" in error.splitlines()[-1]

        assert "Traceback" not in error

        assert contents(tmp_path / "out") == before

        shards = ShardSet.open([tmp_path / "out"], codec=None)

        assert shards.fingerprint is not None

        assert shards.fingerprint.codebook_sizes == (16, 16)

        assert [shards.row(idx).id for idx in range(len(shards))] == ["1", "2"]

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            ("manifest=null", "`manifest` is not set"),
            ("manifest=/nowhere", "manifest /nowhere does not exist"),
            ("codec=tiny_test_codek", "did you mean 'tiny_test_codec'?"),
            ("num_streams=9", "between 1 and 4"),
            ("rows_per_shard=0", "rows_per_shard"),
            ("rows=7", "rows"),
            ("trim_db=-40", "trim_db"),
            ("array={index: 3, count: 2}", "must be in 0..1"),
        ],
    )
    def test_bad_input_is_one_line(
        self, tmp_path: Path, corpus: Path, capfd: pytest.CaptureFixture[str], config: str, words: str
    ) -> None:
        assert recipe_main(TokenizeRecipe(), arguments(corpus, tmp_path / "out", config)) == 2

        error = capfd.readouterr().err

        assert words in error.splitlines()[-1]

        assert "Traceback" not in error

        assert not contents(tmp_path / "out")


class TestArray:
    def test_tasks_that_run_at_once_make_what_one_makes(
        self, tmp_path: Path, corpus: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert recipe_main(TokenizeRecipe(), arguments(corpus, tmp_path / "one")) == 0

        capfd.readouterr()

        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "codec_s2st.recipes.tokenize", *arguments(corpus, tmp_path / "array")],
                env={**os.environ, **array_variables(index, 2)},
                cwd="/",
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(2)
        ]

        errors = [" ".join(process.communicate()[1].split()) for process in processes]

        assert [process.returncode for process in processes] == [0, 0], errors

        assert contents(tmp_path / "array") == contents(tmp_path / "one")

        # Two that end at the same moment may both see all shards.
        assert 1 <= sum("10 rows in 4 shard(s), 0 quarantined" in error for error in errors) <= 2

        hidden = {path.name for path in (tmp_path / "array").iterdir() if path.name.startswith(".")}

        assert hidden == {".lock"}

    def test_a_task_by_itself_says_what_is_missing(
        self, tmp_path: Path, corpus: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"

        config = ["array={index: 1, count: 3}"]

        assert recipe_main(TokenizeRecipe(), arguments(corpus, out, *config)) == 0

        assert "3 of 4 shards, such as shard-00000-of-00004.parquet, are for other tasks to make" in " ".join(
            capfd.readouterr().err.split()
        )

        # What comes next in a pipeline fails clearly.
        with pytest.raises(UserInputError, match="lacks 3 of its 4 shards, such as shard-00000"):
            ShardSet.open([out], codec=None)

        assert main(["shards", "verify", str(out)]) == 2

        assert "lacks 3 of its 4 shards" in capfd.readouterr().err

        # A run without an array makes the rest, and sums up.
        assert recipe_main(TokenizeRecipe(), arguments(corpus, out)) == 0

        assert len(ShardSet.open([out], codec=None)) == 10


class TestTokenizeTask:
    def test_stop_request_ends_the_run_between_two_rows(self, tmp_path: Path, corpus: Path) -> None:
        codec = MelCodec(TINY).eval()

        codec.set_fingerprint("codec_s2st_tiny_test_codec", "ab" * 32)

        tokenization = Tokenization(corpus, tmp_path, codec, rows_per_shard=3)

        task = TokenizeTask(tokenization, tmp_path, FakeGang(torch.device("cpu")), ArrayTask(), strict=False)

        task.request_stop()

        with pytest.raises(StoppedError, match="the shards that are made"):
            task.run()

        assert task.step_nr == 1

        assert not contents(tmp_path)


class Clock:
    """A clock that is set by hand."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))

    return clock


class TestTokenizeProgress:
    def test_line_is_logged_every_minute_without_a_terminal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        logged = []

        monkeypatch.setattr(progress.log, "info", lambda msg, *args: logged.append(msg.format(*args)))

        with TokenizeProgress(1000, CountBoard(tmp_path, "0", 0), rank=0, world_size=1) as bar:
            # Rows that were there are no measure of the time that is left.
            bar(500, 0.0)

            for clock.now in (20.0, 40.0, 61.0, 80.0):
                bar(10, 122.0)

        assert logged == ["530 of 1,000 rows, 6.0 audio-hours an hour, 16 min left"]

        assert not list(tmp_path.iterdir())

    def test_ranks_are_added_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
        logged = []

        monkeypatch.setattr(progress.log, "info", lambda msg, *args: logged.append(msg.format(*args)))

        boards = [CountBoard(tmp_path, "0", rank) for rank in range(3)]

        bars = [TokenizeProgress(10_000, board, rank=rank, world_size=3) for rank, board in enumerate(boards)]

        # Another task of the array in the same folder.
        CountBoard(tmp_path, "1", 0).write(Count(5_000, 5_000, 1e6))

        for clock.now in (20.0, 50.0, 70.0):
            for bar in reversed(bars):
                bar(10, 120.0)

        assert logged == ["90 of 10,000 rows, 15.4 audio-hours an hour, 2 h 8 min left"]

        for bar in bars:
            bar.__exit__()

        boards[0].clear()

        assert [path.name for path in tmp_path.iterdir()] == [".progress-1-0"]

    def test_bar_shows_time_left_and_rate(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("FAIRSEQ2_NO_PROGRESS", raising=False)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)

        with TokenizeProgress(100, CountBoard(tmp_path, "0", 0), rank=0, world_size=1) as bar:
            for clock.now in (0.5, 1.5, 3.0):
                bar(10, 60.0)

        shown = capsys.readouterr().err

        assert "30/100 rows" in shown

        assert "60.0 audio-hours an hour, 0 min left" in shown

    def test_folder_that_is_full_does_not_end_the_run(self, tmp_path: Path) -> None:
        board = CountBoard(tmp_path / "none", "0", 0)

        board.write(Count(1, 1, 1.0))

        assert board.read(1) == Count()


class TestTokenizeConfig:
    def test_defaults_are_valid(self) -> None:
        assert not TokenizeConfig().validate().has_error()

    @pytest.mark.parametrize(
        "config",
        [
            TokenizeConfig(rows_per_shard=0),
            TokenizeConfig(max_seconds=-1.0),
            TokenizeConfig(num_streams=0),
            TokenizeConfig(trim_db=0.0),
            TokenizeConfig(trim_margin=-0.1),
            TokenizeConfig(loudness=3.0),
            TokenizeConfig(loudness=-80.0),
        ],
    )
    def test_bad_values_are_refused(self, config: TokenizeConfig) -> None:
        assert config.validate().has_error()
