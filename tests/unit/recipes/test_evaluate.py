"""The recipe evaluate, with a tiny random model and the shipped demo codec on a corpus of three sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from codec_s2st.codecs import load_codec
from codec_s2st.codecs.audio import read_audio, write_audio
from codec_s2st.data.manifest import ManifestRow, iter_rows, manifest_frame, read_manifest, write_manifest
from codec_s2st.data.text import load_text_tokenizer
from codec_s2st.demo.corpus import write_corpus
from codec_s2st.demo.listener import OpenListener
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.report import Identity
from codec_s2st.file_hashes import sha256_of_file
from codec_s2st.models.codec_lm.backbones import BackboneConfig
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
from codec_s2st.models.codec_lm.factory import create_codec_lm
from codec_s2st.recipes.common.command import build_arguments
from codec_s2st.recipes.common.entry import recipe_main
from codec_s2st.recipes.evaluate.config import EvaluateConfig
from codec_s2st.recipes.evaluate.items import rank_file, read_items
from codec_s2st.recipes.evaluate.own_listener import OwnTranscriber
from codec_s2st.recipes.evaluate.recipe import EvaluateRecipe
from codec_s2st.tokens.compatibility import VocabularyFingerprint
from codec_s2st.translator import SpeechTranslator


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), split="test", num=3, seed=7)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the card and the weights of a random model."""
    folder = tmp_path_factory.mktemp("model")

    codec = load_codec("demo_codec", num_streams=2)

    tokenizer = load_text_tokenizer("demo_tokenizer")

    fingerprint = VocabularyFingerprint(tokenizer.name, tokenizer.hash, tokenizer.size, codec.fingerprint, "parallel")

    decoder = BackboneConfig(
        model_dim=32,
        max_seq_len=512,
        vocab_size=tokenizer.size,
        num_layers=1,
        num_attn_heads=4,
        num_key_value_heads=2,
        ffn_inner_dim=64,
    )

    config = CodecLMConfig(decoder=decoder, codebook_sizes=[512, 512], vocabulary=fingerprint.to_json())

    torch.manual_seed(0)

    state = create_codec_lm(config).state_dict()

    folder.joinpath("tiny").mkdir()

    save_file({key: value.contiguous() for key, value in state.items()}, folder / "tiny" / "model.safetensors")

    card = {
        "name": "codec_s2st_tiny_test_lm",
        "model_family": CODEC_LM_FAMILY,
        "model_config": asdict(config),
        "checkpoint": "tiny",
        "codec": codec.fingerprint.name,
        "tasks": ["s2st", "asr", "s2st_chain", "tts", "t2st"],
        "languages": ["spa-eng"],
    }

    with folder.joinpath("tiny.yaml").open("w") as fp:
        YAML(typ="safe", pure=True).dump(card, fp)

    return folder


def arguments(corpus: Path, model: Path, out: Path, *config: str) -> list[str]:
    return [str(out), "--config", f"manifest={corpus}", f"model_card={model}", *config]


def read_report(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(out.joinpath("report.json").read_text())

    return report


def value_of(report: dict[str, Any], system: str, metric: str, listener: str | None) -> float:
    values = [
        record["value"]
        for record in report["scores"]
        if record["system"] == system
        and record["metric"] == metric
        and (record["transcriber"] or "").partition(" ")[0] == (listener or "")
    ]

    assert len(values) == 1

    return float(values[0])


@pytest.fixture(scope="module")
def s2st_run(tmp_path_factory: pytest.TempPathFactory, corpus: Path, model: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"

    assert recipe_main(EvaluateRecipe(), arguments(corpus, model, out)) == 0

    return out


class TestS2ST:
    def test_systems_are_ordered_as_they_must_be(self, s2st_run: Path) -> None:
        report = read_report(s2st_run)

        # The demo's codec is transparent to the constrained listener; a random model says nothing sensible.
        assert value_of(report, "reference audio", "asr-bleu", "constrained") > 90
        assert value_of(report, "codec topline", "asr-wer", "constrained") < 0.2
        assert value_of(report, "codec topline", "asr-bleu", "open") > value_of(report, "model", "asr-bleu", "open")
        assert value_of(report, "model", "asr-bleu", "constrained") < 30
        assert value_of(report, "chance", "asr-bleu", None) < 30

    def test_page_has_three_recordings_of_each_item(self, s2st_run: Path) -> None:
        page = s2st_run.joinpath("report.html").read_text()

        for name in ("source", "model", "reference"):
            assert page.count(f"<figcaption>{name}</figcaption>") == 3

        assert page.count('src="data:audio/flac;base64,') == 9

        assert f"{read_report(s2st_run)['task']} of codec_s2st_tiny_test_lm" in page

    def test_chains_are_scored_by_what_they_say(self, corpus: Path, model: Path, tmp_path: Path) -> None:
        options = ["task=s2st_chain", "max_items=1", "transcriber=constrained"]

        assert recipe_main(EvaluateRecipe(), arguments(corpus, model, tmp_path / "run", *options)) == 0

        report = read_report(tmp_path / "run")

        assert report["task"] == "s2st_chain"

        assert value_of(report, "codec topline", "asr-wer", "constrained") < 0.2
        assert value_of(report, "model", "asr-wer", "constrained") > 0.5

    def test_time_to_first_audio_ends_no_evaluation(
        self, corpus: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: Any, **options: Any) -> None:
            raise RuntimeError("no stream")

        monkeypatch.setattr(SpeechTranslator, "stream", fail)

        for num, reason in ((1, "RuntimeError: no stream"), (0, "first_audio_items is 0")):
            options = [f"first_audio_items={num}", "transcriber=constrained"]

            assert recipe_main(EvaluateRecipe(), arguments(corpus, model, tmp_path / "run", *options)) == 0

            report = read_report(tmp_path / "run")

            assert report["not_measured"]["time to first audio"] == reason

            assert report["speed"]["first_audio_seconds"] is None and report["speed"]["first_audio_items"] == 0

    def test_speech_from_text_is_scored_by_what_it_says(self, corpus: Path, model: Path, tmp_path: Path) -> None:
        options = ["task=t2st", "max_items=1", "transcriber=constrained"]

        assert recipe_main(EvaluateRecipe(), arguments(corpus, model, tmp_path / "run", *options)) == 0

        report = read_report(tmp_path / "run")

        assert value_of(report, "codec topline", "asr-wer", "constrained") < 0.2
        assert value_of(report, "model", "asr-wer", "constrained") > 0.5

        # There is no source to be as long as, and speed is that of what comes out.
        metrics = {record["metric"] for record in report["scores"]}

        assert "duration-ratio-reference" in metrics and "slc-0.2" not in metrics

        speed = report["speed"]

        assert speed["seconds_in"] == 0 and speed["peak_memory"] > 2**20

        if speed["seconds_out"]:
            assert speed["real_time_factor"] == pytest.approx(speed["work_seconds"] / speed["seconds_out"])

        assert "<figcaption>source</figcaption>" not in tmp_path.joinpath("run", "report.html").read_text()

    def test_every_score_says_what_it_is(self, s2st_run: Path, model: Path, corpus: Path) -> None:
        report = read_report(s2st_run)

        weights_hash = sha256_of_file(model / "tiny" / "model.safetensors")

        assert report["model"] == {"name": "codec_s2st_tiny_test_lm", "weights_hash": weights_hash}
        assert report["manifest_hash"] == sha256_of_file(corpus)

        # Two listeners, three systems, four metrics; and chance.
        texts = [record for record in report["scores"] if record["normaliser"] is not None]

        assert len(texts) == 2 * 3 * 4 + 4

        for record in texts:
            assert record["signature"].startswith("jiwer:" if record["metric"] == "asr-wer" else "nrefs:1|")
            assert record["normaliser"] == "basic-1"
            assert record["num_items"] == 3

            if record["system"] == "model":
                assert record["subject"] == report["model"]
                assert "pocketsphinx" in record["transcriber"]

            if record["system"] == "codec topline":
                assert record["subject"] == report["codec"]

    def test_speech_itself_is_measured(self, s2st_run: Path, corpus: Path) -> None:
        report = read_report(s2st_run)

        rows, items = list(iter_rows(read_manifest(corpus))), read_items(rank_file(s2st_run, 0))

        ratios = [item.seconds_out / item.seconds_in for item in items]

        assert value_of(report, "model", "duration-ratio-source", None) == pytest.approx(sum(ratios) / 3)

        ratios = [(row.target_seconds or 0) / (row.source_seconds or 1) for row in rows]

        assert value_of(report, "reference audio", "duration-ratio-source", None) == pytest.approx(sum(ratios) / 3)

        # What the codec is worth by itself: the shipped one is good.
        assert value_of(report, "codec topline", "stoi", None) > 0.7

        measured = [record for record in report["scores"] if record["normaliser"] is None]

        assert len(measured) == 5 + 4 and all(record["signature"].startswith("mean|") for record in measured)

        for record in measured:
            if record["system"] == "codec topline":
                assert record["subject"] == report["codec"]

            assert record["value"] is None or (record["num_items"] == 3 and len(record["interval"]) == 2)

    def test_judges_hear_all_systems(self, corpus: Path, model: Path, tmp_path: Path) -> None:
        program = "import sys; [print(len(line)) for line in open(sys.argv[1])]"

        config = tmp_path / "config.yaml"

        # A crash of one judge leaves the others; another has no weights.
        config.write_text(f"""
judges:
  - name: mine
    command: {sys.executable} -c "{program}" {{list}}
  - name: broken
    command: {sys.executable} -c "raise SystemExit('no weights')" {{list}} {{references}}
  - name: squim
    model: /nowhere/squim.pth
""")

        out = tmp_path / "run"

        options = ["--config-file", str(config), *arguments(corpus, model, out, "max_items=2", "transcriber=open")[1:]]

        assert recipe_main(EvaluateRecipe(), [str(out), *options]) == 0

        report = read_report(out)

        records = {(record["metric"], record["system"]): record for record in report["scores"]}

        for system in ("model", "codec topline", "reference audio"):
            assert records["mine", system]["num_items"] == 2 and records["mine", system]["judge"] == "mine (command)"

            assert "curl -LO https://" in records["squim-pesq", system]["not_measured"]

        assert records["broken", "model"]["not_measured"] == "broken: it ended with 1: no weights"

        assert list(report["not_measured"]) == ["text retention"]

        assert not list(out.glob(".judged_*"))

        assert "mine" in out.joinpath("report.md").read_text()

    def test_items_and_speed_agree(self, s2st_run: Path, corpus: Path) -> None:
        report = read_report(s2st_run)

        items = read_items(rank_file(s2st_run, 0))

        rows = list(iter_rows(read_manifest(corpus)))

        assert [item.id for item in items] == [row.id for row in rows]
        assert [item.reference for item in items] == [row.target_text for row in rows]

        for item, row in zip(items, rows, strict=True):
            assert item.seconds_in == pytest.approx(row.source_seconds)
            assert len(item.hypotheses) == 2 * 3
            assert item.output is None or s2st_run.joinpath(item.output).is_file()

        speed = report["speed"]

        assert speed["seconds_out"] == pytest.approx(sum(item.seconds_out for item in items))

        num_spoken = sum(item.output is not None for item in items)

        assert 0 < speed["first_audio_items"] <= num_spoken and speed["first_audio_seconds"] > 0

        assert "time to first audio" not in report["not_measured"]

        work_seconds = sum(item.work_seconds for item in items)

        assert speed["real_time_factor"] == pytest.approx(work_seconds / sum(item.seconds_in for item in items))

    def test_two_ranks_score_as_one(self, tmp_path: Path, s2st_run: Path, corpus: Path, model: Path) -> None:
        out = tmp_path / "two"

        # What an earlier run on more ranks left must not be read.
        out.mkdir()

        rank_file(out, 3).write_text("{}\n")

        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

        command += ["-m", "codec_s2st.recipes.evaluate", *arguments(corpus, model, out)]

        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")

        assert run.returncode == 0, run.stderr

        assert [len(read_items(rank_file(out, rank))) for rank in (0, 1)] == [2, 1]

        assert not rank_file(out, 3).exists()

        assert read_report(out)["scores"] == read_report(s2st_run)["scores"]

        # The tables are there once: a line a listener, and a column.
        assert run.stdout.count("codec topline") == 2 + 1


class TestOwnListener:
    def test_hears_what_the_model_writes_down(self, corpus: Path, model: Path) -> None:
        cpu = torch.device("cpu")

        listener = OwnTranscriber(str(model), device=cpu, scored=str(model))

        [row, *_] = iter_rows(read_manifest(corpus))

        wave = read_audio(corpus.parent / str(row.source_audio), sample_rate=16_000)[0]

        theirs = SpeechTranslator.from_card(str(model), device=cpu).translate(
            wave, sample_rate=16_000, source_lang="spa", task="asr"
        )

        assert listener.transcribe(wave.numpy(), 16_000, "spa") == theirs.text != ""

        assert listener.instrument == Identity(
            "codec_s2st_tiny_test_lm", sha256_of_file(model / "tiny" / "model.safetensors")
        )

        # Nobody is to take it for a stranger.
        assert "the scored model itself: not independent" in listener.name

        assert "independent" not in OwnTranscriber(str(model), device=cpu).name

        listener.check_languages(["spa"])

        with pytest.raises(UserInputError, match="unknown source language 'eng'"):
            listener.check_languages(["eng"])


class TestText:
    def test_asr_is_scored_against_the_source(
        self, tmp_path: Path, corpus: Path, model: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"

        config = ["task=asr", "max_items=2"]

        assert recipe_main(EvaluateRecipe(), arguments(corpus, model / "tiny.yaml", out, *config)) == 0

        report = read_report(out)

        assert [(record["system"], record["metric"]) for record in report["scores"]] == [
            ("model", "wer"),
            ("model", "cer"),
            ("chance", "wer"),
            ("chance", "cer"),
        ]

        rows = list(iter_rows(read_manifest(corpus)))[:2]

        assert [item.reference for item in read_items(rank_file(out, 0))] == [row.source_text for row in rows]

        assert not out.joinpath("wav").exists()

        table = capfd.readouterr().out

        assert "asr of codec_s2st_tiny_test_lm" in table
        assert "real-time factor" in table


class TestBadItems:
    def test_bad_audio_is_named_and_the_others_are_scored(self, tmp_path: Path, corpus: Path, model: Path) -> None:
        rows = list(iter_rows(read_manifest(corpus)))

        fields = [asdict(row) for row in rows]

        for row in fields:
            for side in ("source", "target"):
                row[f"{side}_audio"] = f"{corpus.parent}/{row[f'{side}_audio']}"

        fields[0]["source_audio"] = "gone.wav"
        fields[1]["target_audio"] = None
        fields[2]["target_text"] = None

        fields.append({**fields[1], "id": "extra"})
        fields.append({**fields[1], "id": "mute", "target_text": "?!"})

        write_manifest(manifest_frame([ManifestRow(**row) for row in fields]), tmp_path)

        out = tmp_path / "out"

        assert recipe_main(EvaluateRecipe(), arguments(tmp_path, model, out, "transcriber=constrained")) == 0

        report = read_report(out)

        assert (report["num_selected"], report["num_translated"]) == (3, 2)

        left_out = {item["id"]: item["reason"] for item in report["left_out"]}

        assert left_out[rows[2].id] == "target_text is null"
        assert left_out["mute"] == "target_text has no words"
        assert "gone.wav" in left_out[rows[0].id]

        for record in report["scores"]:
            if record["system"] in ("codec topline", "reference audio"):
                assert record["value"] is None
                assert record["not_measured"]
            elif record["metric"] == "duration-ratio-reference":
                assert record["value"] is None
            else:
                assert record["num_items"] == 2

        assert "not measured" in out.joinpath("report.md").read_text()

    def test_odd_recordings_and_crashes_are_named_and_the_others_are_scored(
        self, tmp_path: Path, corpus: Path, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = [asdict(row) for row in iter_rows(read_manifest(corpus))]

        for row in rows:
            row["source_audio"] = f"{corpus.parent}/{row['source_audio']}"
            row["target_audio"] = f"{corpus.parent}/{row['target_audio']}"

        write_audio(tmp_path / "quiet.wav", 1e-4 * torch.ones(1, 16_000), 16_000)

        rows[0]["source_audio"] = str(tmp_path / "quiet.wav")

        write_audio(tmp_path / "loud.wav", torch.tensor([[1.0, -1.0]]).repeat(1, 8_000), 16_000)

        rows[1]["target_audio"] = str(tmp_path / "loud.wav")

        write_manifest(manifest_frame([ManifestRow(**row) for row in rows]), tmp_path)

        transcribe, calls = OpenListener.transcribe, []

        def crash_once(self: OpenListener, wave: Any, sample_rate: int) -> str:
            calls.append(sample_rate)

            if len(calls) == 1:
                raise RuntimeError("out of ears")

            return transcribe(self, wave, sample_rate)

        monkeypatch.setattr(OpenListener, "transcribe", crash_once)

        out = tmp_path / "out"

        assert recipe_main(EvaluateRecipe(), arguments(tmp_path, model, out, "transcriber=open")) == 0

        report = read_report(out)

        assert (report["num_translated"], report["left_out"]) == (3, [])

        warnings = [(warning["id"], warning["reason"]) for warning in report["warnings"]]

        assert (rows[0]["id"], "source_audio is nearly silent: its peak is -81 dB") in warnings
        assert (rows[0]["id"], "listener open of model: RuntimeError: out of ears") in warnings
        assert any(id_ == rows[1]["id"] and "target_audio is clipped: 100.0 %" in reason for id_, reason in warnings)

        [bleu] = [r for r in report["scores"] if (r["system"], r["metric"]) == ("model", "asr-bleu")]

        assert (bleu["num_items"], bleu["failed"]) == (2, [rows[0]["id"]])

        for name in ("report.md", "report.html"):
            assert f"{len(warnings)} warning(s) of " in out.joinpath(name).read_text()

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            ("manifest=null", "`manifest` is not set (set `manifest`, or give --manifest M)"),
            ("manifest=/nowhere", "manifest /nowhere does not exist"),
            ("model_card=demo_s2ts_x", "unknown model card 'demo_s2ts_x'"),
            ("model_card=/nowhere/card.yaml", "model '/nowhere/card.yaml' does not exist"),
            ("model_card=demo_codec", "is not a translation model"),
            ("task=s2s", "did you mean 's2st'?"),
            ("task=s2tt", "unknown task"),
            ("transcriber=opne", "did you mean 'open'?"),
            ("transcriber=''", "`transcriber` names no listener"),
            ("split=tset", "did you mean 'test'?"),
            ("max_items=0", "`max_items` must be greater"),
            ("generation.temprature=1", "temprature"),
        ],
    )
    def test_bad_input_is_one_line(
        self, tmp_path: Path, corpus: Path, model: Path, capfd: pytest.CaptureFixture[str], config: str, words: str
    ) -> None:
        assert recipe_main(EvaluateRecipe(), arguments(corpus, model, tmp_path / "out", config)) == 2

        error = capfd.readouterr().err

        assert words in error.splitlines()[-1]

        assert "Traceback" not in error

        assert not list(tmp_path.rglob("report.*"))

    def test_manifest_without_what_is_scored_is_refused(
        self, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        row = ManifestRow(id="a", split="test", source_audio="a.wav", source_text="hola", source_lang="spa")

        write_manifest(manifest_frame([row]), tmp_path)

        assert recipe_main(EvaluateRecipe(), arguments(tmp_path, model, tmp_path / "out")) == 2

        assert "has no target_text, which task 's2st' is scored on" in capfd.readouterr().err.splitlines()[-1]

    def test_listener_refuses_a_language_that_it_does_not_know(
        self, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        row = ManifestRow(
            id="a", split="test", source_audio="a.wav", source_lang="spa", target_text="bonjour", target_lang="fra"
        )

        write_manifest(manifest_frame([row]), tmp_path)

        assert recipe_main(EvaluateRecipe(), arguments(tmp_path, model, tmp_path / "out")) == 2

        assert "understands eng, but the manifest's target language is fra" in capfd.readouterr().err.splitlines()[-1]


class TestCommand:
    def test_options_are_keys_of_the_config(self, tmp_path: Path) -> None:
        argv = [str(tmp_path), "--manifest", "m", "--model", "card", "--task", "asr", "--split", "test"]

        overrides = build_arguments("evaluate", argv)[2:]

        assert {override.partition("=")[0] for override in overrides} <= set(vars(EvaluateConfig()))

        assert 'model_card="card"' in overrides
