"""Training runs of a tiny model, from nothing to a published card."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from codec_s2st.checkpoints.state_files import read_state
from codec_s2st.cli import main
from codec_s2st.exchange.publish import publish_model, publish_text_llm
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from codec_s2st.translator import SpeechTranslator
from tests.factories import random_sequence
from tests.toy_runs import NUM_STEPS, Toy, assert_equal_weights, load_run, read_losses, read_metrics, read_weights


class TestPreTraining:
    def test_loss_falls(self, cpt_run: Path) -> None:
        losses = read_losses(cpt_run)

        assert len(losses) == NUM_STEPS / 2 and losses[-1] < 0.6 * losses[0]

    def test_optimizer_is_fused(self, cpt_run: Path) -> None:
        state = read_state(cpt_run / "checkpoints" / "step_60" / "optimizer" / "tp_00" / "sdp_00.safetensors")

        assert [group["fused"] for group in state["param_groups"]] == [True]

    @pytest.mark.parametrize("task", ["s2st", "asr-reverse", "s2tt"])
    def test_every_validation_reads_the_data(self, cpt_run: Path, task: str) -> None:
        metrics = read_metrics(cpt_run, f"valid/{task}")

        assert list(metrics) == [20, 40, 60]

        assert {values["Number of Examples"] for values in metrics.values()} == {20}

        losses = read_losses(cpt_run, f"valid/{task}")

        assert losses[2] < losses[0]

    def test_metrics_are_those_that_the_tasks_have(self, cpt_run: Path) -> None:
        def names(name: str) -> set[str]:
            return {key for key in read_metrics(cpt_run, name)[60] if key.startswith("loss/")}

        streams = {"loss/stream_0", "loss/stream_1"}

        assert names("train") == {"loss/text", *streams, "loss/task_s2st", "loss/task_asr-reverse", "loss/task_s2tt"}
        assert names("valid/s2st") == {*streams, "loss/task_s2st"}
        assert names("valid/asr-reverse") == {"loss/text", *streams, "loss/task_asr-reverse"}

    def test_loss_is_the_mean_of_its_parts(self, cpt_run: Path) -> None:
        values = read_metrics(cpt_run, "valid/s2st")[60]

        assert values["Loss"] == pytest.approx(values["loss/task_s2st"], rel=1e-5)

        # Boundaries have a target in stream 0 alone.
        assert values["loss/stream_0"] < values["Loss"] < values["loss/stream_0"] + values["loss/stream_1"]


class TestFineTuning:
    def test_starts_from_the_runs_weights_and_scores_the_target_alone(
        self, toy: Toy, cpt_run: Path, tmp_path: Path
    ) -> None:
        options = ["data.mixture=[{task: s2st}, {task: asr}]", "optimizer.config.lr=0.003", f"init={cpt_run}"]

        assert toy.s2st(tmp_path / "run", *options) == 0

        losses = read_losses(tmp_path / "run")

        assert losses[0] < 0.6 * read_losses(cpt_run)[0]

        assert sum(losses[-5:]) < sum(losses[:5])

        names = {key for key in read_metrics(tmp_path / "run", "valid/asr")[60] if key.startswith("loss/")}

        assert names == {"loss/text", "loss/task_asr"}

    def test_learning_rate_of_zero_keeps_the_weights(self, toy: Toy, cpt_run: Path, tmp_path: Path) -> None:
        options = ["optimizer.config.lr=0", "regime.num_steps=2", f"init={cpt_run}"]

        assert toy.s2st(tmp_path / "run", *options) == 0

        assert_equal_weights(read_weights(tmp_path / "run"), read_weights(cpt_run))


class TestPublishing:
    @pytest.fixture(scope="class")
    def card(self, cpt_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        out = tmp_path_factory.mktemp("published")

        return publish_model(
            cpt_run,
            out / "toy_model",
            "toy_model",
            tasks=["s2st", "s2tt"],
            languages=["spa-eng"],
            notes={"license": "MIT"},
            dtype=torch.float16,
        )

    @torch.inference_mode()
    def test_model_of_the_card_equals_that_of_the_run(self, cpt_run: Path, card: Path) -> None:
        model, published = load_run(cpt_run), SpeechTranslator.from_card(str(card)).model

        # The card holds half precision.
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())

        assert_equal_weights(dict(model.state_dict()), dict(published.state_dict()))

        builder = SequenceBuilder(model.vocabulary, model.pattern)

        ids = random_sequence(builder, (Modality.SPEECH, Modality.TEXT, Modality.SPEECH), 12, seed=0).ids[None]

        for one, two in zip(
            model.heads.logits(model(ids).hidden[0]), published.heads.logits(published(ids).hidden[0]), strict=True
        ):
            assert torch.equal(one, two)

    @pytest.mark.parametrize("max_shard_bytes", [10_000_000, 30_000])
    @torch.inference_mode()
    def test_text_llm_of_a_run_is_read_by_transformers_and_by_us(
        self, toy: Toy, cpt_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_shard_bytes: int
    ) -> None:
        from transformers import Qwen2ForCausalLM

        monkeypatch.setattr("codec_s2st.exchange.publish.MAX_SHARD_BYTES", max_shard_bytes)

        publish_text_llm(cpt_run, tmp_path, "toy_llm", notes={})

        model, llm = load_run(cpt_run), Qwen2ForCausalLM.from_pretrained(tmp_path / "toy_llm", dtype=torch.float32)

        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())

        ids = torch.randint(0, model.vocabulary.text_size, (1, 20), generator=torch.Generator().manual_seed(0))

        steps = torch.full((1, 20, 2), model.vocabulary.pad)

        steps[..., 0] = ids

        logits = model.heads.logits(model(steps).hidden[0])[0][:, : model.vocabulary.text_size]

        torch.testing.assert_close(logits, llm.eval()(ids).logits[0], rtol=1e-5, atol=1e-5)

        num_files = len(list(tmp_path.joinpath("toy_llm").glob("*.safetensors")))

        assert (num_files == 1) == (max_shard_bytes == 10_000_000)

        options = ["optimizer.config.lr=0", "regime.num_steps=2", f"init={tmp_path / 'toy_llm'}"]

        options.append("tokenizer.name=codec_s2st_demo_tokenizer")

        with torch.inference_mode(False):
            assert toy.s2st(tmp_path / "run", *options) == 0

        grown = read_weights(tmp_path / "run")["decoder_frontend.embed.weight"]

        num_text = model.vocabulary.text_size

        embed = model.decoder_frontend.embed.weight

        assert torch.equal(grown[:num_text], embed[:num_text])

        assert not torch.equal(grown[num_text:], embed[num_text:])

    def test_card_translates(self, card: Path) -> None:
        translator = SpeechTranslator.from_card(str(card))

        wave = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0))

        spoken = translator.translate(wave, sample_rate=16_000, source_lang="spa", target_lang="eng")

        assert spoken.waveform is not None and spoken.codes is not None and spoken.text is None

        assert spoken.codes.size(1) == 2 and spoken.seconds == pytest.approx(len(spoken.codes) / 25)

        written = translator.translate(wave, sample_rate=16_000, task="s2tt")

        assert written.waveform is None and isinstance(written.text, str)


class TestCommand:
    def test_gives_the_losses_of_the_module(self, toy: Toy, cpt_run: Path, tmp_path: Path) -> None:
        options = ["--shards", str(toy.folder / "shards"), "--config", *toy.overrides, "regime.num_steps=12"]

        assert main(["cpt", str(tmp_path / "run"), *options]) == 0

        whole = read_metrics(cpt_run)

        assert read_metrics(tmp_path / "run") == {step: whole[step] for step in range(2, 13, 2)}

    def test_dumps_the_configuration_of_the_module(self, toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["cpt", "--dump-config", "--config", *toy.overrides]) == 0

        dumped = capfd.readouterr().out

        command = [sys.executable, "-m", "codec_s2st.recipes.cpt", "--dump-config", "--config", *toy.overrides]

        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == dumped

        assert "max_batch_steps: 300" in dumped
