"""A run becomes a folder, and the folder is all that anybody needs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from fairseq2 import init_fairseq2
from ruamel.yaml import YAML
from safetensors.torch import load_file

from codec_s2st.cards import read_cards
from codec_s2st.cli import main
from codec_s2st.data.text import load_text_tokenizer
from codec_s2st.model_cards import find_model_card
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.share import assets_dir
from codec_s2st.tokens.compatibility import VocabularyFingerprint
from codec_s2st.translator import SpeechTranslator
from tests.checkpoints import change_model
from tests.published import contents, write_speech
from tests.toy_runs import Toy, load_run, read_metrics, read_weights

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "share-a-model.md"


@pytest.fixture(scope="module")
def run(toy: Toy) -> Path:
    """A short run that has kept three checkpoints."""
    folder = toy.folder / "run"

    assert toy.s2st(folder, "regime.num_steps=30") == 0

    return folder


@pytest.fixture(scope="module")
def published(run: Path) -> Path:
    out = run.parent / "published"

    assert main(["publish", str(run), str(out), "--name", "toy_s2st", "--license", "MIT", "--data", "Toys"]) == 0

    return out


@pytest.fixture
def copy_of_run(run: Path, tmp_path: Path) -> Path:
    """One that a test may change."""
    return shutil.copytree(run, tmp_path / "run")


@pytest.fixture
def use_cards(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a folder that of the user's cards."""

    def use(folder: Path) -> None:
        monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(folder))

        # The cards of this process were read before.
        monkeypatch.setattr("fairseq2.runtime.dependency._resolver", None)

        init_fairseq2()

    return use


def publish(run: Path, out: Path, *options: str, name: str = "toy_s2st") -> Path:
    assert main(["publish", str(run), str(out), "--name", name, *options]) == 0

    return out


def read_state(published: Path) -> dict[str, torch.Tensor]:
    return load_file(published / "model" / "model.safetensors")


def read_card(published: Path) -> dict[str, object]:
    return dict(YAML(typ="safe", pure=True).load(published / "card.yaml"))


def summary_of(published: Path) -> dict[str, object]:
    return dict(json.loads((published / "training" / "summary.json").read_text()))


class TestFolder:
    def test_holds_what_it_says(self, run: Path, published: Path) -> None:
        files = {str(path.relative_to(published)) for path in published.rglob("*") if path.is_file()}

        metrics = {str(file.relative_to(run)) for file in run.joinpath("metrics").rglob("*.jsonl")}

        assert len(metrics) == 4

        assert files == {
            "README.md",
            "card.yaml",
            "model/model.safetensors",
            "tokenizer/tokenizer.model",
            "training/config.json",
            "training/summary.json",
            *(f"training/{file}" for file in metrics),
        }

        # Anything else in YAML would be taken for a card by fairseq2.
        assert [card.name for card in read_cards(published)] == ["codec_s2st_toy_s2st"]

    def test_weights_are_those_of_the_run(self, run: Path, published: Path) -> None:
        state, expected = read_state(published), read_weights(run)

        assert state.keys() == expected.keys()

        for key, value in state.items():
            assert value.dtype == torch.float32 and torch.equal(value, expected[key])

    def test_card_says_what_is_in_it(self, run: Path, published: Path) -> None:
        card = read_card(published)

        weights = (published / "model" / "model.safetensors").read_bytes()

        assert card["checkpoint"] == "model"
        assert card["checkpoint_sha256"] == hashlib.sha256(weights).hexdigest()
        assert card["tokenizer_sha256"] == load_text_tokenizer("demo_tokenizer").hash
        assert (card["tasks"], card["languages"]) == (["s2st", "s2tt", "asr"], ["spa-eng"])
        assert (card["license"], card["data"]) == ("MIT", "Toys")

        fingerprint = VocabularyFingerprint.from_json(load_run(run).vocabulary_fingerprint)

        assert card["codec"] == fingerprint.codec.name
        assert card["codec_fingerprint"] == fingerprint.codec.digest

    def test_nothing_names_this_machine(self, toy: Toy, published: Path) -> None:
        for name, content in contents(published).items():
            assert str(toy.folder).encode() not in content, name

            # No pickle, and no archive of pickles.
            assert content[:1] != b"\x80" and content[:2] != b"PK", name

        config = json.loads((published / "training" / "config.json").read_text())

        assert config["dataset"]["config_overrides"]["shards"] == ["shards"]

    def test_training_is_told(self, run: Path, published: Path) -> None:
        summary = summary_of(published)

        assert (summary["step"], summary["chosen"], summary["score"]) == (30, "the last checkpoint", None)

        assert summary["metrics"]["train"]["Loss"] == read_metrics(run)[30]["Loss"]  # type: ignore[index]

        # The last validation before.
        assert summary["metrics"]["valid/asr-reverse"]["Step"] in (20, 30)  # type: ignore[index]

    def test_readme_is_true(self, run: Path, published: Path) -> None:
        text = (published / "README.md").read_text()

        card = read_card(published)

        for part in (
            "# codec_s2st_toy_s2st",
            "Tasks: s2st, s2tt, asr; languages: spa-eng. Licence: MIT.",
            "Data: Toys.",
            str(card["checkpoint_sha256"]),
            "| peak learning rate | 0.01 |",
            "| mixture | s2st (2), asr reversed (1), s2tt (1) |",
            "| token shards | shards |",
            f"| train, step 30 | {read_metrics(run)[30]['Loss']:.4f} |",
            "Not measured.",
            'from_card("toy_s2st")',
        ):
            assert part in text, part

    def test_same_run_gives_the_same_bits(self, run: Path, published: Path, tmp_path: Path) -> None:
        again = publish(run, tmp_path / "again", "--license", "MIT", "--data", "Toys")

        assert contents(again) == contents(published)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
    def test_type_can_be_chosen(self, run: Path, published: Path, tmp_path: Path, dtype: str) -> None:
        state = read_state(publish(run, tmp_path / "out", "--dtype", dtype))

        for key, value in read_state(published).items():
            assert torch.equal(state[key], value.to(getattr(torch, dtype)))

        SpeechTranslator.from_card(str(tmp_path / "out"))


class TestLoading:
    def test_by_name_without_the_run(
        self, toy: Toy, published: Path, tmp_path: Path, use_cards: Callable[[Path], None]
    ) -> None:
        wav = write_speech(tmp_path / "in.wav")

        assert main(["translate", str(wav), str(tmp_path / "before.wav"), "--model", str(published)]) == 0

        assets = tmp_path / "assets"

        shutil.copytree(published, assets / "any thing")

        # Neither the run nor its shards are there.
        hidden = toy.folder.rename(toy.folder.with_name("hidden"))

        try:
            use_cards(assets)

            for name in ("toy_s2st", "codec_s2st_toy_s2st"):
                assert main(["translate", str(wav), str(tmp_path / f"{name}.wav"), "--model", name]) == 0

            translator = SpeechTranslator.from_card("toy_s2st")

            assert main(["export-hf", "toy_s2st", str(tmp_path / "exported")]) == 0
        finally:
            hidden.rename(toy.folder)

        before = (tmp_path / "before.wav").read_bytes()

        assert soundfile.info(str(tmp_path / "before.wav")).frames > 0

        assert before == (tmp_path / "toy_s2st.wav").read_bytes()
        assert before == (tmp_path / "codec_s2st_toy_s2st.wav").read_bytes()

        assert translator.tokenizer.path == assets / "any thing" / "tokenizer"
        assert translator.tokenizer.name == "codec_s2st_toy_s2st"
        assert (translator.tasks, translator.languages) == (("s2st", "s2tt", "asr"), (("spa", "eng"),))

        assert (tmp_path / "exported" / "tokenizer.model").is_file()

    @pytest.mark.parametrize("way", ["name", "folder", "extra_paths"])
    def test_training_starts_from_it(
        self, toy: Toy, published: Path, tmp_path: Path, use_cards: Callable[[Path], None], way: str
    ) -> None:
        options = ["optimizer.config.lr=0", "regime.num_steps=2", "tokenizer.name=auto"]

        options.append(f"init={published if way == 'folder' else 'toy_s2st'}")

        if way == "extra_paths":
            options.append(f"common.assets.extra_paths=[{published}]")

        if way == "name":
            use_cards(shutil.copytree(published, tmp_path / "assets" / "a cöpy").parent)

        assert toy.s2st(tmp_path / "run", *options) == 0

        weights = read_weights(tmp_path / "run")

        assert all(torch.equal(weights[key], value) for key, value in read_state(published).items())

    def test_what_was_started_from_it_is_published_in_turn(
        self, toy: Toy, published: Path, tmp_path: Path, use_cards: Callable[[Path], None]
    ) -> None:
        use_cards(shutil.copytree(published, tmp_path / "assets" / "copy").parent)

        options = ["init=toy_s2st", "tokenizer.name=auto", "regime.num_steps=2"]

        assert toy.s2st(tmp_path / "run", *options) == 0

        publish(tmp_path / "run", tmp_path / "out", name="grandchild")

        use_cards(shutil.copytree(tmp_path / "out", tmp_path / "others" / "grandchild").parent)

        assert SpeechTranslator.from_card("grandchild").tokenizer.name == "codec_s2st_grandchild"


class TestSteps:
    def scored(self, run: Path, **scores: float) -> Path:
        folder = run / "checkpoints" / "scores"

        folder.mkdir(exist_ok=True)

        for step, score in scores.items():
            (folder / f"{step}.txt").write_text(f"{score}\n")

        return run

    def test_all_checkpoints_are_there(self, run: Path) -> None:
        assert {path.name for path in run.glob("checkpoints/step_*")} == {"step_10", "step_20", "step_30"}

    def test_best_is_the_one_with_the_highest_score(self, copy_of_run: Path, tmp_path: Path) -> None:
        # Step 40 is not kept, as fairseq2 does not keep all.
        run = self.scored(copy_of_run, step_10=-5.0, step_20=-3.0, step_30=-4.0, step_40=0.0)

        out = publish(run, tmp_path / "out")

        summary = summary_of(out)

        assert (summary["step"], summary["chosen"], summary["score"]) == (20, "the best validation score", -3.0)

        assert summary["metrics"]["train"]["Step"] == 20  # type: ignore[index]

        assert "| step | 20 (the best validation score) |" in (out / "README.md").read_text()

        shutil.rmtree(run / "checkpoints" / "step_30")

        state = read_weights(run)

        assert all(torch.equal(state[key], value) for key, value in read_state(out).items())

    def test_of_equal_ones_the_later_is_best(self, copy_of_run: Path, tmp_path: Path) -> None:
        run = self.scored(copy_of_run, step_10=1.0, step_20=1.0, step_30=0.0)

        assert summary_of(publish(run, tmp_path / "out"))["step"] == 20

    def test_scores_that_a_run_records_are_read(self, toy: Toy, tmp_path: Path) -> None:
        options = ["regime.score_metric=loss", "regime.num_steps=20", "regime.validate_every_n_steps=10"]

        assert toy.s2st(tmp_path / "run", *options) == 0

        losses = [
            sum(
                read_metrics(tmp_path / "run", f"valid/{task}")[step]["Loss"]
                for task in ("s2st", "asr-reverse", "s2tt")
            )
            for step in (10, 20)
        ]

        summary = summary_of(publish(tmp_path / "run", tmp_path / "out"))

        assert summary["chosen"] == "the best validation score"

        assert summary["step"] == (10 if losses[0] < losses[1] else 20)

        assert summary["score"] == pytest.approx(-min(losses), rel=1e-4)

    def test_step_can_be_chosen(self, copy_of_run: Path, tmp_path: Path) -> None:
        run = self.scored(copy_of_run, step_20=1.0)

        summary = summary_of(publish(run, tmp_path / "out", "--step", "10"))

        assert (summary["step"], summary["chosen"]) == (10, "asked for")


def test_updates_of_lora_are_merged(toy: Toy, run: Path, tmp_path: Path) -> None:
    options = [f"init={run}", "lora.rank=2", "trainable.text_rows=frozen", "regime.num_steps=10"]

    assert toy.s2st(tmp_path / "run", *options) == 0

    state, expected, before = (
        read_state(publish(tmp_path / "run", tmp_path / "out")),
        read_weights(tmp_path / "run"),
        read_weights(run),
    )

    assert state.keys() == expected.keys() == before.keys()

    assert all(torch.equal(state[key], value) for key, value in expected.items())

    assert any(not torch.equal(state[key], before[key]) for key in state if key.startswith("decoder.layers"))


class TestCodec:
    @pytest.fixture
    def own(self, copy_of_run: Path, tmp_path: Path, use_cards: Callable[[Path], None]) -> Path:
        """A run with a codec whose weights are on this machine alone."""
        cards = tmp_path / "cards"

        cards.mkdir()

        shutil.copy(assets_dir() / "codecs" / "demo_codec.safetensors", cards / "own.safetensors")

        cards.joinpath("own.yaml").write_text(
            "name: own_codec\nmodel_family: codec_s2st_melcodec\nmodel_arch: demo\ncheckpoint: own.safetensors\n"
            "license: ours\n"
        )

        file = copy_of_run / "checkpoints" / "model.yaml"

        # YAML folds lines at blanks only.
        file.write_text(file.read_text().replace("codec_s2st_demo_codec", "own_codec"))

        use_cards(cards)

        return copy_of_run

    def test_it_goes_along(self, own: Path, tmp_path: Path, use_cards: Callable[[Path], None]) -> None:
        out = publish(own, tmp_path / "out", "--with-codec")

        wav = write_speech(tmp_path / "in.wav")

        shutil.rmtree(tmp_path / "cards")

        # As a folder on a machine that does not know the codec, and by name.
        use_cards(shutil.copytree(out, tmp_path / "assets" / "copy").parent)

        assert main(["translate", str(wav), str(tmp_path / "by_name.wav"), "--model", "toy_s2st"]) == 0

        (tmp_path / "none").mkdir()

        use_cards(tmp_path / "none")

        assert main(["translate", str(wav), str(tmp_path / "by_path.wav"), "--model", str(out)]) == 0

        assert (tmp_path / "by_name.wav").read_bytes() == (tmp_path / "by_path.wav").read_bytes()

        translator = SpeechTranslator.from_card(str(out))

        assert translator.codec.fingerprint.name == "own_codec"

        cards = {card.name: card for card in read_cards(out)}

        assert cards["own_codec"].kind == "codec" and cards["own_codec"].metadata["license"] == "ours"

    def test_it_is_left_out_on_purpose_only(
        self, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], use_cards: Callable[[Path], None]
    ) -> None:
        assert main(["publish", str(own), str(tmp_path / "out"), "--name", "mine"]) == 2

        err = capsys.readouterr().err

        assert "codec 'own_codec' is on this machine alone" in err and "--with-codec" in err and "--no-codec" in err

        publish(own, tmp_path / "out", "--no-codec")

        assert not (tmp_path / "out" / "codecs").exists()

        (tmp_path / "none").mkdir()

        use_cards(tmp_path / "none")

        wav = write_speech(tmp_path / "in.wav")

        assert main(["translate", str(wav), str(tmp_path / "out.wav"), "--model", str(tmp_path / "out")]) == 2

        assert "unknown codec 'own_codec'" in capsys.readouterr().err

    def test_another_codec_of_the_name_is_refused(
        self, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], use_cards: Callable[[Path], None]
    ) -> None:
        publish(own, tmp_path / "before", "--no-codec")

        file = tmp_path / "cards" / "own.safetensors"

        content = bytearray(file.read_bytes())

        content[-1] ^= 1

        file.write_bytes(content)

        assert main(["publish", str(own), str(tmp_path / "out"), "--name", "mine", "--with-codec"]) == 2

        (line,) = capsys.readouterr().err.splitlines()[-1:]

        # Both sides.
        for part in ("482fe189", hashlib.sha256(content).hexdigest()[:8], "own_codec"):
            assert part in line

        assert not (tmp_path / "out").exists()

        # And when a model is loaded whose codec is another one here.
        wav = write_speech(tmp_path / "in.wav")

        assert main(["translate", str(wav), str(tmp_path / "out.wav"), "--model", str(tmp_path / "before")]) == 2

        (line,) = capsys.readouterr().err.splitlines()[-1:]

        for part in ("482fe189", hashlib.sha256(content).hexdigest()[:8], "own_codec", "--with-codec"):
            assert part in line


class TestReports:
    def write(self, folder: Path, sha256: object) -> Path:
        score = {"system": "model", "metric": "asr-bleu", "value": 12.5, "transcriber": "open", "num_items": 20}

        report = {
            "task": "s2st",
            "model": {"name": "x", "weights_hash": sha256},
            "manifest": "/home/me/corpus/manifest.parquet",
            "manifest_hash": "ab" * 32,
            "seed": 11,
            "scores": [score, {**score, "metric": "asr-wer", "value": None}],
        }

        folder.mkdir(parents=True)

        folder.joinpath("report.json").write_text(json.dumps(report))

        return folder

    def test_one_that_is_given(self, run: Path, published: Path, tmp_path: Path) -> None:
        scores = self.write(tmp_path / "scores", read_card(published)["checkpoint_sha256"])

        out = publish(run, tmp_path / "out", "--report", str(scores))

        text = (out / "README.md").read_text()

        assert "| model | open | asr-bleu | 12.500 | 20 |" in text
        assert "| model | open | asr-wer | not measured | 20 |" in text
        assert "s2st on `manifest.parquet` (SHA-256 `abababababababab`), seed 11:" in text

        assert "/home/me" not in (out / "evaluation" / "scores.json").read_text()

    def test_one_in_the_run(self, copy_of_run: Path, published: Path, tmp_path: Path) -> None:
        self.write(copy_of_run / "good", read_card(published)["checkpoint_sha256"])
        self.write(copy_of_run / "of_others", "cd" * 32)

        out = publish(copy_of_run, tmp_path / "out")

        assert {path.name for path in (out / "evaluation").iterdir()} == {"good.json"}

    def test_one_of_other_weights_is_refused(
        self, run: Path, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        scores = self.write(tmp_path / "scores", "cd" * 32)

        args = ["publish", str(run), str(tmp_path / "out"), "--name", "mine", "--report", str(scores)]

        assert main(args) == 2

        (line,) = capsys.readouterr().err.splitlines()[-1:]

        assert "cd" * 32 in line and str(read_card(published)["checkpoint_sha256"]) in line

        scores.joinpath("report.json").write_text("{}")

        assert main(args) == 2

        assert "is not a report of codec-s2st evaluate" in capsys.readouterr().err

        assert not (tmp_path / "out").exists()


class TestRefused:
    def refused(self, capsys: pytest.CaptureFixture[str], run: Path, out: Path, *options: str, name: str = "x") -> str:
        before = contents(out) if out.is_dir() else None

        capsys.readouterr()

        assert main(["publish", str(run), str(out), "--name", name, *options]) == 2

        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("codec-s2st: error: ")]

        # A next command, or something to do.
        assert line.endswith(")")

        assert (contents(out) if out.is_dir() else None) == before

        assert not [path for path in out.parent.iterdir() if path.name.startswith(f".{out.name}.")]

        return line

    def test_names(self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("", "a/b", "../x", "a@user", "a b", ".hidden", "card.yaml", "x" * 101, "é", "a\nb", "codec_s2st_"):
            assert "cannot be that of a card" in self.refused(capsys, run, tmp_path / "out", name=name)

        assert "is the name of a card that is shipped" in self.refused(capsys, run, tmp_path / "out", name="demo_s2st")

    def test_what_is_no_run(
        self, run: Path, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"

        assert "there is no run" in self.refused(capsys, tmp_path / "absent", out)
        assert "is a published model, not a run" in self.refused(capsys, published, out)
        assert "has no checkpoints/model.yaml" in self.refused(capsys, assets_dir(), out)

        line = self.refused(capsys, run.parent, out)

        assert "is not a run, but a folder of runs" in line and str(run.parent) in line

    def test_run_without_a_checkpoint(
        self, copy_of_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in copy_of_run.glob("checkpoints/step_*"):
            path.rename(path.with_name(f"{path.name}.tmp"))

        assert "has no checkpoint yet" in self.refused(capsys, copy_of_run, tmp_path / "out")

        shutil.rmtree(copy_of_run / "checkpoints")

        assert "has no checkpoint yet" in self.refused(capsys, copy_of_run, tmp_path / "out")

    def test_step_that_is_not_there(self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        line = self.refused(capsys, run, tmp_path / "out", "--step", "11")

        assert "has no checkpoint of step 11" in line and "10, 20, 30" in line

    def test_run_of_a_codec(self, copy_of_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = copy_of_run / "checkpoints" / "model.yaml"

        file.write_text("name: checkpoint\nmodel_family: codec_s2st_melcodec\nmodel_config: {sample_rate: 16000}\n")

        assert "codec_s2st_melcodec" in self.refused(capsys, copy_of_run, tmp_path / "out")

    def change(self, run: Path, name: str, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
        change_model(run / "checkpoints" / name, change)

        return run

    def test_weights_that_are_not_finite(
        self, copy_of_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        key = "decoder.layers.1.ffn.gate_proj.weight"

        for value in (float("nan"), float("inf")):
            run = self.change(copy_of_run, "step_30", lambda state, value=value: state[key][0, 0].fill_(value))  # type: ignore[misc]

            line = self.refused(capsys, run, tmp_path / "out")

            assert f"`{key}` of checkpoint 30" in line and "--step N" in line

        publish(run, tmp_path / "out", "--step", "20")

    def test_weights_that_the_type_cannot_hold(
        self, copy_of_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = self.change(copy_of_run, "step_30", lambda state: state["heads.stream0_weight"][0, 0].fill_(1e6))

        line = self.refused(capsys, run, tmp_path / "out", "--dtype", "float16")

        assert "is too large for float16" in line and "--dtype bfloat16" in line

        publish(run, tmp_path / "out", "--dtype", "bfloat16")

    def test_keys_and_shapes(self, copy_of_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        key = "decoder.layers.1.ffn.gate_proj.weight"

        for step, change, message in (
            (10, lambda state: state.pop(key), f"has no `{key}`"),
            (20, lambda state: state.update(more=torch.zeros(2)), "has a surplus `more`"),
            (30, lambda state: state.update({key: torch.zeros(2, 3)}), f"`{key}` of checkpoint 30 "),
        ):
            run = self.change(copy_of_run, f"step_{step}", change)  # type: ignore[arg-type]

            assert message in self.refused(capsys, run, tmp_path / "out", "--step", str(step))

    def test_tokenizer_that_has_changed(
        self, copy_of_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = copy_of_run / "checkpoints" / "model.yaml"

        mine = load_text_tokenizer("demo_tokenizer").hash

        file.write_text(file.read_text().replace(mine, "ab" * 32))

        line = self.refused(capsys, copy_of_run, tmp_path / "out")

        assert "run '" in line and "SHA-256 abababab" in line and f"SHA-256 {mine[:8]}" in line

    def test_shards_that_are_gone(self, copy_of_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = copy_of_run / "config.yaml"

        file.write_text(file.read_text().replace("/shards", "/gone"))

        assert "languages are not known" in self.refused(capsys, copy_of_run, tmp_path / "out")

        publish(copy_of_run, tmp_path / "out", "--language", "spa-eng", "--task", "s2st")

    @pytest.mark.parametrize("option", [("--language", "spanish"), ("--task", "s2s"), ("--language", "spa-")])
    def test_options(
        self, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
    ) -> None:
        capsys.readouterr()

        assert main(["publish", str(run), str(tmp_path / "out"), "--name", "x", *option]) == 2

        assert option[1] in capsys.readouterr().err

    def test_output_that_exists(
        self, run: Path, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = shutil.copytree(published, tmp_path / "out")

        assert "is a published folder already (--overwrite replaces it)" in self.refused(capsys, run, out)

        publish(run, out, "--overwrite", name="another")

        assert read_card(out)["name"] == "codec_s2st_another"

        # What is no published folder stays.
        shutil.copytree(assets_dir() / "codecs", tmp_path / "mine")

        assert "exists already" in self.refused(capsys, run, tmp_path / "mine")

        assert "is no published folder" in self.refused(capsys, run, tmp_path / "mine", "--overwrite")

        assert {path.name for path in tmp_path.iterdir()} == {"out", "mine"}

    def test_nothing_is_left_of_what_fails(
        self, run: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("codec_s2st.exchange.publish.make_readme", fail)

        out = shutil.copytree(published, tmp_path / "out")

        before = contents(out)

        assert main(["publish", str(run), str(out), "--name", "mine", "--overwrite"]) == 1

        assert contents(out) == before

        assert main(["publish", str(run), str(tmp_path / "new"), "--name", "mine"]) == 1

        assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_guide_works(
    toy: Toy, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_cards: Callable[[Path], None]
) -> None:
    """Every command of docs/guides/share-a-model.md but the evaluation, which `TestReports` is about."""
    monkeypatch.chdir(tmp_path)

    shutil.copytree(run, "my_s2st")

    write_speech(Path("in.wav"))

    blocks = re.findall(r"^```\n(.*?)^```$", GUIDE.read_text(), flags=re.DOTALL | re.MULTILINE)

    publishing, making, copying, translating, training, exporting, evaluating, again = "".join(blocks).splitlines()

    def call(line: str, *more: str) -> None:
        words = line.split()

        assert words[0] == "codec-s2st" and main([*words[1:], *more]) == 0

    call(publishing)

    # As in the home of somebody who has no cards yet.
    subprocess.run(["sh", "-ec", f"{making}\n{copying}"], check=True, env={**os.environ, "HOME": str(tmp_path)})

    use_cards(tmp_path / ".config" / "fairseq2" / "assets")

    call(translating)

    Path("my_cpt.yaml").write_text("model: {family: codec_s2st_lm}\n")

    overrides = [override for override in toy.overrides if not override.startswith(("model.", "dataset."))]

    call(
        training.replace("/path/to/shards", str(toy.folder / "shards")),
        *("--config", *overrides, "regime.num_steps=2"),
    )

    call(exporting)

    assert evaluating.startswith("codec-s2st evaluate scores ")

    sha256 = read_card(Path("shared"))["checkpoint_sha256"]

    TestReports().write(Path("scores"), sha256)

    call(again)

    assert read_card(Path("shared"))["checkpoint_sha256"] == sha256

    assert "asr-bleu" in Path("shared", "README.md").read_text()


def test_config_of_the_card_builds_the_model(published: Path) -> None:
    config = get_codec_lm_hub().get_model_config(find_model_card(str(published)))

    model = get_codec_lm_hub().create_new_model(config, meta=True)

    assert {key: value.shape for key, value in model.state_dict().items()} == {
        key: value.shape for key, value in read_state(published).items()
    }
