"""The recipe as users run it; what it makes is tested in ``tests/unit/data/test_tokenize.py``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from fairseq2.gang import FakeGang
from safetensors.torch import save_file

from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.codecs.melcodec.model import MelCodec
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.tokenize import Tokenization
from codec_s2st.errors import StoppedError
from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.tokenize import progress
from codec_s2st.recipes.tokenize.config import TokenizeConfig
from codec_s2st.recipes.tokenize.progress import TokenizeProgress
from codec_s2st.recipes.tokenize.recipe import TokenizeRecipe, TokenizeTask

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


class TestTokenizeTask:
    def test_stop_request_ends_the_run_between_two_rows(self, tmp_path: Path, corpus: Path) -> None:
        codec = MelCodec(TINY).eval()

        codec.set_fingerprint("codec_s2st_tiny_test_codec", "ab" * 32)

        tokenization = Tokenization(corpus, tmp_path, codec, rows_per_shard=3)

        task = TokenizeTask(tokenization, tmp_path, FakeGang(torch.device("cpu")), strict=False)

        task.request_stop()

        with pytest.raises(StoppedError, match="the shards that are made"):
            task.run()

        assert task.step_nr == 1

        assert not contents(tmp_path)


class TestTokenizeProgress:
    def test_line_is_logged_every_minute_without_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The bar looks at the clock once when it is made, and once a call.
        times = iter((0.0, 20.0, 40.0, 61.0, 80.0))

        monkeypatch.setattr(time, "monotonic", lambda: next(times))

        logged = []

        monkeypatch.setattr(progress.log, "info", lambda msg, *args: logged.append(msg.format(*args)))

        with TokenizeProgress(100, enabled=True) as bar:
            for _ in range(4):
                bar(10, 122.0)

        assert logged == ["30 of 100 rows, 6.0 audio-s/s, 2 min left"]


class TestTokenizeConfig:
    def test_defaults_are_valid(self) -> None:
        assert not TokenizeConfig().validate().has_error()

    @pytest.mark.parametrize(
        "config",
        [TokenizeConfig(rows_per_shard=0), TokenizeConfig(max_seconds=-1.0), TokenizeConfig(num_streams=0)],
    )
    def test_bad_values_are_refused(self, config: TokenizeConfig) -> None:
        assert config.validate().has_error()
