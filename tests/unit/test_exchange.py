"""``codec-s2st import-hf`` and ``export-hf``: a textual LLM comes in, and comes out again."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from fairseq2 import init_fairseq2
from safetensors.torch import load_file, save_file

from codec_s2st.cli import main
from codec_s2st.codecs import load_codec
from codec_s2st.data.text import load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.exchange.export_hf import export_hf
from codec_s2st.exchange.import_hf import import_hf
from codec_s2st.exchange.publish import publish_model
from codec_s2st.file_hashes import sha256_of_file
from codec_s2st.model_cards import find_model_card
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.initial import read_run
from codec_s2st.tokens.compatibility import VocabularyFingerprint
from codec_s2st.translator import SpeechTranslator
from tests.factories import WORDS, toy_rows, write_toy_shards
from tests.llms import SHAPES, load_llm, read_llm_state, write_llm

NUM_TEXT = 300

SENTENCE = "cero uno dos"


def write_json_tokenizer(folder: Path) -> Path:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()

    bpe.train_from_iterator([" ".join(WORDS)] * 10, vocab_size=270, show_progress=False)

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<|endoftext|>")

    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})

    tokenizer.save_pretrained(str(folder))

    return folder


def write_sentencepiece_tokenizer(folder: Path) -> Path:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS)] * 20),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=20,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )

    return folder


@pytest.fixture(scope="module", params=list(SHAPES))
def llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_json_tokenizer(write_llm(tmp_path_factory.mktemp("llm"), request.param, vocab_size=NUM_TEXT))


@pytest.fixture(scope="module")
def one_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_json_tokenizer(write_llm(tmp_path_factory.mktemp("llm"), "qwen3", vocab_size=NUM_TEXT))


def load_published(folder: Path) -> CodecLM:
    model = get_codec_lm_hub().load_model(find_model_card(str(folder)))

    return model.eval()


def exchange_weights(file: Path, state: dict[str, torch.Tensor]) -> None:
    """Writes other weights, and their hash into the card."""
    before = sha256_of_file(file)

    save_file(state, file)

    card = file.parents[1] / "card.yaml"

    card.write_text(card.read_text().replace(before, sha256_of_file(file)))


@torch.inference_mode()
def text_logits(model: CodecLM, ids: torch.Tensor) -> torch.Tensor:
    steps = torch.full((*ids.shape, model.vocabulary.num_streams), model.vocabulary.pad)

    steps[..., 0] = ids

    return model.heads.logits(model(steps).hidden.flatten(0, 1))[0][:, : model.vocabulary.text_size]


@torch.inference_mode()
def test_round_trip(llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published, exported = tmp_path / "published", tmp_path / "exported"

    assert main(["import-hf", str(llm), str(published), "--codec", "demo_codec"]) == 0
    assert main(["export-hf", str(published), str(exported)]) == 0

    assert capsys.readouterr().out.splitlines() == [str(published / "card.yaml"), str(exported)]

    before, after = read_llm_state(llm), read_llm_state(exported)

    # Tied models come out tied.
    assert before.keys() == after.keys()

    assert all(torch.equal(before[key], after[key]) for key in before)

    ids = torch.randint(0, NUM_TEXT, (2, 60), generator=torch.Generator().manual_seed(0))

    expected = load_llm(llm)(ids).logits

    assert torch.equal(load_llm(exported)(ids).logits, expected)

    torch.testing.assert_close(
        text_logits(load_published(published), ids), expected.flatten(0, 1), rtol=1e-5, atol=1e-5
    )

    check_tokenizer(llm, published, exported)


def check_tokenizer(llm: Path, published: Path, exported: Path) -> None:
    from transformers import AutoTokenizer

    original, copy = AutoTokenizer.from_pretrained(llm), AutoTokenizer.from_pretrained(exported)

    assert copy.eos_token == original.eos_token

    tokenizer = load_text_tokenizer(find_model_card(str(published)))

    ids = original.encode(SENTENCE, add_special_tokens=False)

    assert tokenizer.encode(SENTENCE).tolist() == copy.encode(SENTENCE, add_special_tokens=False) == ids

    assert tokenizer.decode(torch.tensor(ids)) == SENTENCE

    # The added tokens count, which transformers' `vocab_size` leaves out.
    assert tokenizer.size == len(original) > original.vocab_size


class TestImport:
    def test_card_says_what_the_folder_holds(self, one_llm: Path, tmp_path: Path) -> None:
        out = tmp_path / "My LLM"

        card = find_model_card(str(import_hf(one_llm, out, num_streams=3)))

        assert card.name == "codec_s2st_my_llm"

        weights = out / "model" / "model.safetensors"

        assert card.field("checkpoint_sha256").as_(str) == hashlib.sha256(weights.read_bytes()).hexdigest()

        config = get_codec_lm_hub().get_model_config(card)

        fingerprint = VocabularyFingerprint.from_json(config.vocabulary)

        assert fingerprint.codec == load_codec("demo_codec", num_streams=3).fingerprint
        assert fingerprint.text_size == config.decoder.vocab_size == NUM_TEXT
        assert (fingerprint.tokenizer, fingerprint.tokenizer_hash) == (
            card.name,
            load_text_tokenizer(str(one_llm)).hash,
        )

        assert (
            "My LLM" not in out.joinpath("README.md").read_text()
            and "codec_s2st_my_llm" in (out / "README.md").read_text()
        )

        assert {path.name for path in out.iterdir()} == {"card.yaml", "README.md", "model", "tokenizer"}

        # Padded for tensor parallelism.
        assert all(value.shape[0] % 32 == 0 for key, value in load_file(weights).items() if "decoder.layers" not in key)

    def test_weights_keep_their_type(self, tmp_path: Path) -> None:
        llm = write_llm(tmp_path / "llm", "llama3_2")

        load_llm(llm).to(torch.bfloat16).save_pretrained(llm)

        import_hf(llm, tmp_path / "out")

        state = load_file(tmp_path / "out" / "model" / "model.safetensors")

        assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16}

        export_hf(str(tmp_path / "out"), tmp_path / "exported")

        assert json.loads((tmp_path / "exported" / "config.json").read_text())["torch_dtype"] == "bfloat16"

    def test_seed_and_initialisation_reach_the_rows(self, one_llm: Path, tmp_path: Path) -> None:
        def head(name: str, *options: str) -> torch.Tensor:
            assert main(["import-hf", str(one_llm), str(tmp_path / name), *options]) == 0

            return load_file(tmp_path / name / "model" / "model.safetensors")["heads.codebook_weight"]

        plain = head("plain")

        assert torch.equal(plain, head("again"))
        assert not torch.equal(plain, head("seeded", "--seed", "2"))

        assert plain.std() == pytest.approx(0.02, rel=0.02)

        assert head("old", "--new-rows", "old_rows").std() == pytest.approx(0.15, rel=0.1)

    def test_folder_without_a_tokenizer_can_be_trained_with_any(self, tmp_path: Path) -> None:
        llm = write_llm(tmp_path / "llm", "llama3_2", vocab_size=800)

        published = tmp_path / "published"

        import_hf(llm, published, num_streams=2)

        card = find_model_card(str(published))

        config = get_codec_lm_hub().get_model_config(card)

        assert VocabularyFingerprint.from_json(config.vocabulary).tokenizer == ""

        with pytest.raises(UserInputError, match="is bound to no text tokenizer"):
            SpeechTranslator.from_card(str(published))

        codec = load_codec("demo_codec").fingerprint

        write_toy_shards(tmp_path / "shards", toy_rows(20, num_streams=8, num_codes=512, num_valid=4), codec)

        run = tmp_path / "run"

        args = ["cpt", str(run), "--shards", str(tmp_path / "shards"), "--init", str(published), "--config"]

        tiny = ("regime.num_steps=1", "data.max_batch_steps=256", "data.max_seq_len=128", "optimizer.config.lr=0.0")

        args += [*tiny, "num_streams=2", "regime.checkpoint_every_n_steps=1"]

        assert main([*args]) == 2

        assert main([*args, "tokenizer.name=codec_s2st_demo_tokenizer"]) == 0

        config, _ = read_run(run)

        assert VocabularyFingerprint.from_json(config.vocabulary).tokenizer == "codec_s2st_demo_tokenizer"

        # And the run's model is handed on.
        publish_model(run, tmp_path / "out", "trained", tasks=["s2st"], languages=[], notes={})

        export_hf(str(tmp_path / "out"), tmp_path / "exported")

        assert (tmp_path / "exported" / "tokenizer.model").is_file()

        before, after = read_llm_state(llm), read_llm_state(tmp_path / "exported")

        assert all(torch.equal(before[key], after[key]) for key in before)

    def test_sentencepiece_model_is_a_tokenizer_too(self, tmp_path: Path) -> None:
        llm = write_sentencepiece_tokenizer(write_llm(tmp_path / "llm", "llama3_2"))

        import_hf(llm, tmp_path / "out")

        tokenizer = load_text_tokenizer(find_model_card(str(tmp_path / "out")))

        assert tokenizer.decode(tokenizer.encode(SENTENCE)) == SENTENCE

        export_hf(str(tmp_path / "out"), tmp_path / "exported")

        assert (tmp_path / "exported" / "tokenizer.model").read_bytes() == (llm / "tokenizer.model").read_bytes()

    def test_published_folder_works_by_name_in_the_users_asset_folder(
        self, one_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import_hf(one_llm, tmp_path / "out", name="shared")

        assets = tmp_path / "assets"

        shutil.copytree(tmp_path / "out", assets / "anywhere")

        shutil.rmtree(tmp_path / "out")

        monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(assets))

        # The cards of this process were read before.
        monkeypatch.setattr("fairseq2.runtime.dependency._resolver", None)

        init_fairseq2()

        assert get_codec_lm_hub().load_model("codec_s2st_shared").vocabulary.text_size == NUM_TEXT

        assert load_text_tokenizer("shared").size == load_text_tokenizer(str(one_llm)).size


class TestExport:
    def test_head_that_differs_comes_out_untied(self, one_llm: Path, tmp_path: Path) -> None:
        import_hf(one_llm, tmp_path / "published")

        file = tmp_path / "published" / "model" / "model.safetensors"

        state = load_file(file)

        state["heads.stream0_weight"][7] += 1.0

        exchange_weights(file, state)

        export_hf(str(tmp_path / "published"), tmp_path / "exported")

        config = json.loads((tmp_path / "exported" / "config.json").read_text())

        assert config["tie_word_embeddings"] is False

        after = read_llm_state(tmp_path / "exported")

        assert torch.equal(after["lm_head.weight"], state["heads.stream0_weight"][:NUM_TEXT])

        ids = torch.randint(0, NUM_TEXT, (1, 30), generator=torch.Generator().manual_seed(0))

        with torch.inference_mode():
            expected = load_llm(tmp_path / "exported")(ids).logits[0]

        torch.testing.assert_close(
            text_logits(load_published(tmp_path / "published"), ids), expected, rtol=1e-5, atol=1e-5
        )

    def test_tokenizer_can_be_left_out(self, one_llm: Path, tmp_path: Path) -> None:
        import_hf(one_llm, tmp_path / "published")

        assert main(["export-hf", str(tmp_path / "published"), str(tmp_path / "out"), "--no-tokenizer"]) == 0

        assert {path.name for path in (tmp_path / "out").iterdir()} == {"config.json", "model.safetensors"}

    def test_shipped_model_can_be_exported(self, tmp_path: Path) -> None:
        assert main(["export-hf", "demo_s2st", str(tmp_path / "out")]) == 0

        assert load_llm(tmp_path / "out").config.vocab_size == 800


class TestRefusals:
    def refused(self, capsys: pytest.CaptureFixture[str], *args: object) -> str:
        assert main([str(arg) for arg in args]) == 2

        err = capsys.readouterr().err

        assert err.startswith("codec-s2st: error: ") and err.count("\n") == 1

        return err

    def test_output_that_exists(self, one_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tmp_path.joinpath("out").mkdir()

        tmp_path.joinpath("out", "mine").write_text("mine")

        err = self.refused(capsys, "import-hf", one_llm, tmp_path / "out")

        assert f"'{tmp_path}/out' exists already" in err

        assert tmp_path.joinpath("out", "mine").read_text() == "mine"

    def test_nothing_is_left_of_what_fails(
        self, one_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("codec_s2st.data.text.shutil.copyfile", fail)

        with pytest.raises(OSError, match="No space left"):
            import_hf(one_llm, tmp_path / "out")

        assert list(tmp_path.iterdir()) == []

    def test_folder_that_does_not_exist(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        err = self.refused(capsys, "import-hf", "Qwen/Qwen3-0.6B", tmp_path / "out")

        assert "hf download Qwen/Qwen3-0.6B --local-dir" in err

    def test_unknown_codec(self, one_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        err = self.refused(capsys, "import-hf", one_llm, tmp_path / "out", "--codec", "demo_codek")

        assert "did you mean 'demo_codec'?" in err

    def test_tokenizer_with_more_ids_than_rows(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        llm = write_json_tokenizer(write_llm(tmp_path / "llm"))

        assert "ids, but the model has 50 text rows" in self.refused(capsys, "import-hf", llm, tmp_path / "out")

    def test_tokenizer_of_no_kind(self, one_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        llm = shutil.copytree(one_llm, tmp_path / "llm")

        llm.joinpath("tokenizer.json").write_text("{}")

        assert "tokenizer.json is not a tokenizer" in self.refused(capsys, "import-hf", llm, tmp_path / "out")

        llm.joinpath("tokenizer.json").unlink()

        llm.joinpath("tokenizer.model").write_text("IQ== 0\n")

        assert "tokenizer.model is not a SentencePiece model" in self.refused(
            capsys, "import-hf", llm, tmp_path / "out"
        )

    def test_pattern_that_does_not_exist(
        self, one_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "must be parallel, delay" in self.refused(
            capsys, "import-hf", one_llm, tmp_path / "out", "--pattern", "diagonal"
        )

    @pytest.mark.parametrize("key", ["heads.stream0_weight", "decoder.layers.1.ffn.inner_proj.weight"])
    def test_published_model_without_a_key(
        self, one_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
    ) -> None:
        import_hf(one_llm, tmp_path / "published")

        file = tmp_path / "published" / "model" / "model.safetensors"

        state = load_file(file)

        del state[key]

        exchange_weights(file, state)

        err = self.refused(capsys, "export-hf", tmp_path / "published", tmp_path / "out")

        assert f"`{key}`" in err and str(tmp_path / "published" / "model") in err

    def test_published_model_with_a_surplus_key(
        self, one_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import_hf(one_llm, tmp_path / "published")

        file = tmp_path / "published" / "model" / "model.safetensors"

        exchange_weights(file, {**load_file(file), "heads.extra": torch.zeros(1)})

        err = self.refused(capsys, "export-hf", tmp_path / "published", tmp_path / "out")

        assert "has a surplus `heads.extra` (fetch the checkpoint and its card again, together)" in err

    def test_card_of_something_else(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "is not a translation model" in self.refused(capsys, "export-hf", "demo_codec", tmp_path / "out")
