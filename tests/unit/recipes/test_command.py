"""The commands of the recipes, as users type them, and what is said to those who mistype."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codec_s2st.cli import main
from codec_s2st.errors import UserInputError
from codec_s2st.recipes.common.command import build_arguments
from tests.factories import toy_rows, write_toy_shards, write_toy_tokenizer

PRESET = """
model: {family: codec_s2st_lm, arch: tiny}
tokenizer: {name: command_test_tokenizer}
data: {mixture: [{task: mt}], max_batch_steps: 128, max_seq_len: 64, block_size: 16}
trainer: {mixed_precision: {mode: "off"}}
regime: {num_steps: 2, validate_every_n_steps: 2, checkpoint_every_n_steps: 2, publish_metrics_every_n_steps: 1}
common: {no_sweep_dir: true, assets: {extra_paths: [FOLDER]}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with token shards, a preset and a number of things that are none."""
    folder = tmp_path_factory.mktemp("home")

    write_toy_shards(folder / "shards", toy_rows(20, num_valid=4))
    write_toy_tokenizer(folder / "cards", "command_test_tokenizer")

    (folder / "mine.yaml").write_text(PRESET.replace("FOLDER", str(folder / "cards")))
    (folder / "broken.yaml").write_text("a: [\n")
    (folder / "list.yaml").write_text("- a\n")
    (folder / "file").write_text("neither shards nor a model")

    for name, config in (("no_json", "{"), ("gpt2", '{"model_type": "gpt2"}'), ("no_sizes", '{"model_type": "qwen2"}')):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(config)
        (folder / name / "model.safetensors").touch()

    (folder / "empty").mkdir()

    return folder


def run(home: Path, *args: str) -> int:
    return main([arg.replace("HOME", str(home)) for arg in args])


MINE = ("--preset", "HOME/mine.yaml", "--shards", "HOME/shards")

INIT = (*MINE, "--init")

SET = (*MINE, "--config")


class TestBadInput:
    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (("--preset", "demo/jont"), "unknown preset of cpt 'demo/jont': did you mean 'demo/joint'?"),
            (("--preset", "HOME/absent.yaml"), "absent.yaml' does not exist"),
            (("--config-file", "HOME/absent.yaml"), "absent.yaml' does not exist"),
            (("--preset", "HOME/broken.yaml"), "broken.yaml' is not valid YAML at line 2"),
            (("--preset", "HOME/list.yaml"), "list.yaml' must be a mapping of keys to values"),
            (("--preset", "demo", "--config-file", "HOME/mine.yaml"), "exclude each other"),
            (("--preset", "HOME/mine.yaml"), "no token shards are given"),
            (("--preset", "HOME/mine.yaml", "--shards", "HOME/absent"), "/absent' does not exist"),
            (("--preset", "HOME/mine.yaml", "--shards", "HOME/empty"), "/empty holds no token shards"),
            (("--preset", "HOME/mine.yaml", "--shards", "HOME/file"), "/file is not a readable parquet file"),
            ((*INIT, "demo_cptt"), "unknown model card 'demo_cptt': did you mean 'demo_cpt'?"),
            ((*INIT, "demo_codec"), "must be one of codec_s2st_lm, qwen, llama"),
            ((*INIT, "HOME/absent"), "/absent' to start from does not exist"),
            ((*INIT, "HOME/file"), "/file' to start from is a file"),
            ((*INIT, "HOME/empty"), "nor a published model (card.yaml) nor a Hugging Face model (config.json)"),
            ((*INIT, "HOME/no_json"), "/no_json/config.json is not JSON"),
            ((*INIT, "HOME/gpt2"), "`model_type` 'gpt2' is not supported, only qwen2, qwen3, llama"),
            ((*INIT, "HOME/no_sizes"), "/no_sizes/config.json has no key 'num_attention_heads'"),
            ((*SET, "regime.num_step=3"), "'regime.num_step' does not exist: did you mean 'regime.num_steps'?"),
            ((*SET, "regme.num_steps=3"), "config key 'regme' does not exist: did you mean 'regime'?"),
            (
                (*SET, "optimizer.config.lrr=3"),
                "'optimizer.config.lrr' does not exist: did you mean 'optimizer.config.l",
            ),
            (
                (*SET, "data.mixture=[{tsk: mt}]"),
                "'data.mixture.tsk' does not exist: did you mean 'data.mixture.task'?",
            ),
            ((*SET, "zzz=3"), "config key 'zzz' does not exist (--dump-config prints all keys there are)"),
            ((*SET, "regime.num_steps=three"), "config key 'regime.num_steps' has a wrong value"),
            ((*SET, "optimizer.config.lr=fast"), "config key 'optimizer.config.lr' has a wrong value"),
            ((*SET, "regime=3"), "config key 'regime' has a wrong value"),
            ((*SET, "regime.num_steps=-3"), "`num_steps` must be greater than or equal to 1"),
            ((*SET, "regime.num_steps"), "--config 'regime.num_steps' is not of the form KEY=VALUE"),
            ((*SET, "=3"), "--config '=3' is not of the form KEY=VALUE"),
            ((*SET, "regime.num_steps=["), "--config 'regime.num_steps=[': the value is not YAML"),
            ((*SET, "data.mixture=[{task: mtt}]"), "unknown task 'mtt': did you mean 'mt'?"),
            ((*SET, "data.train_splits=[trian]"), "serves task 'mt' in split trian"),
            ((*SET, "tokenizer.name=command_test_tokeniser"), "did you mean 'command_test_tokenizer'?"),
            ((*SET, "codec=demo_codc"), "unknown codec 'demo_codc': did you mean 'demo_codec'?"),
            ((*SET, "codec=demo_codec"), "the dataset holds codes of codec 'toy'"),
            ((*SET, "num_streams=9"), "`num_streams` is 9, but the codec 'toy'"),
            ((*SET, "model.arch=tinny"), "unknown architecture 'tinny': did you mean 'tiny'?"),
            (
                (*SET, "model.config_overrides={pattern: dely}"),
                "the stream pattern must be parallel, delay, flatten or",
            ),
            ((*SET, "dataset.name=demo_pear"), "unknown asset card 'demo_pear': did you mean 'demo_pairs'?"),
            ((*SET, "gang.tensor_parallel_size=2"), "must be a factor of the number of processes"),
        ],
    )
    def test_mistake_is_one_line_without_a_trace(
        self, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], args: tuple[str, ...], message: str
    ) -> None:
        out = tmp_path / "out"

        assert run(home, "cpt", str(out), *args) == 2

        self._check_error(capfd.readouterr().err, message)

        # The log may say what went wrong; there is nothing that could be taken for a result.
        assert not (out / "checkpoints").exists()

    @pytest.mark.parametrize(
        ("out", "message"),
        [("HOME/file", "HOME/file' is a file, but a run needs"), ("HOME/file/out", "HOME/file/out: Not a directory")],
    )
    @pytest.mark.parametrize("recipe", ["cpt", "s2st"])
    def test_output_that_cannot_be_written_is_one_line(
        self, home: Path, capfd: pytest.CaptureFixture[str], recipe: str, out: str, message: str
    ) -> None:
        assert run(home, recipe, out, *MINE) == 2

        self._check_error(capfd.readouterr().err, message.replace("HOME", str(home)))

        assert (home / "file").read_text() == "neither shards nor a model"

    def test_output_must_be_given(self, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(home, "s2st", *MINE) == 2

        self._check_error(capfd.readouterr().err, "the output folder OUT is missing")

    @staticmethod
    def _check_error(err: str, message: str) -> None:
        *log, last = err.splitlines()

        assert last.startswith("codec-s2st: error: ")
        assert message in last
        assert not any("error:" in line or "Traceback" in line for line in log)


class TestBuildArguments:
    def test_options_come_before_the_users_keys(self, home: Path) -> None:
        args = ["out", "--init", "a: b", "--config", "init=c", "x=1", "--config", "x=2"]

        assert build_arguments("s2st", args) == [
            *("out", "--config", 'init="a: b"', "--config", "init=c", "x=1", "--config", "x=2")
        ]

    def test_key_below_an_options_section_is_kept(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(home, "cpt", *SET, "dataset.config_overrides.more=1", "--dump-config") == 0

        assert f"    shards:\n    - {home}/shards\n    more: 1\n" in capsys.readouterr().out

    def test_paths_are_absolute_and_quoted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        [_, _, override] = build_arguments("cpt", ["out", "--shards", "a: [b", "/"])

        assert override.endswith(f"{{shards: {json.dumps([str(tmp_path / 'a: [b'), '/'])}}}}}")

    @pytest.mark.parametrize("override", ["a", "=", " =1", "a={"])
    def test_malformed_key_raises_error(self, override: str) -> None:
        with pytest.raises(UserInputError, match="--config"):
            build_arguments("cpt", ["out", "--config", override])
