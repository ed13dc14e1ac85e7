"""Text tokenizers of base LLMs: Hugging Face's and SentencePiece's, by card and by path."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from codec_s2st.data.text import copy_tokenizer, has_tokenizer, load_text_tokenizer, load_tokenizer_files
from codec_s2st.errors import UserInputError
from codec_s2st.share import assets_dir
from tests.factories import WORDS

SENTENCES = ["cero uno dos", "", "Grüße, 世界! <|im_start|> 12345", " two  spaces\n"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()

    bpe.train_from_iterator([" ".join(WORDS)] * 10, vocab_size=270, show_progress=False)

    # What a chat model's tokenizer.json may say, and must not matter.
    bpe._tokenizer.enable_truncation(2)
    bpe._tokenizer.enable_padding(length=9)

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<|endoftext|>")

    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})

    folder = tmp_path_factory.mktemp("tokenizer")

    tokenizer.save_pretrained(str(folder))

    return folder


class TestHuggingFace:
    @pytest.mark.parametrize("text", SENTENCES)
    def test_ids_are_those_of_transformers(self, folder: Path, text: str) -> None:
        from transformers import AutoTokenizer

        expected = AutoTokenizer.from_pretrained(folder).encode(text, add_special_tokens=False)

        for path in (folder, folder / "tokenizer.json"):
            ids = load_text_tokenizer(str(path)).encode(text)

            assert ids.dtype == torch.int64

            assert ids.tolist() == expected

    def test_special_tokens_are_left_out_of_texts(self, folder: Path) -> None:
        tokenizer = load_text_tokenizer(str(folder))

        assert tokenizer.decode(tokenizer.encode("<|im_start|>uno dos<|im_end|>")) == "uno dos"

    def test_size_counts_added_tokens(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        tokenizer = load_text_tokenizer(str(folder))

        assert tokenizer.size == len(AutoTokenizer.from_pretrained(folder)) == int(tokenizer.encode("<|im_end|>")) + 1

    def test_encoder_wants_no_task(self, folder: Path) -> None:
        tokenizer = load_tokenizer_files(folder)

        assert tokenizer.create_encoder()("uno").tolist() == tokenizer.create_raw_encoder()("uno").tolist()

        with pytest.raises(ValueError, match="`task` must be `None`, but is 'translation'"):
            tokenizer.create_encoder(task="translation")

        tokens = tokenizer.create_raw_encoder().encode_as_tokens("uno dos")

        assert tokenizer.create_decoder().decode_from_tokens(tokens) == "uno dos"


class TestSentencePiece:
    FILE = assets_dir() / "tokenizers" / "demo_tokenizer.model"

    def test_file_and_folder_are_the_cards(self, tmp_path: Path) -> None:
        shutil.copyfile(self.FILE, tmp_path / "tokenizer.model")

        by_card = load_text_tokenizer("demo_tokenizer")

        for path in (self.FILE, tmp_path, tmp_path / "tokenizer.model"):
            by_path = load_text_tokenizer(str(path))

            assert (by_path.hash, by_path.size) == (by_card.hash, by_card.size)

            assert by_path.name == str(path)

            assert by_path.encode("la casa").tolist() == by_card.encode("la casa").tolist()

    def test_json_counts_first(self, folder: Path, tmp_path: Path) -> None:
        shutil.copytree(folder, tmp_path / "both")

        shutil.copyfile(self.FILE, tmp_path / "both" / "tokenizer.model")

        assert load_text_tokenizer(str(tmp_path / "both")).size == load_text_tokenizer(str(folder)).size


class TestFiles:
    def test_copy_has_the_hash_of_its_source(self, folder: Path, tmp_path: Path) -> None:
        for i, source in enumerate((folder, folder / "tokenizer.json", TestSentencePiece.FILE)):
            copy = tmp_path / str(i)

            copy.mkdir()

            assert not has_tokenizer(copy)

            copy_tokenizer(source, copy)

            assert has_tokenizer(copy)

            assert load_text_tokenizer(str(copy)).hash == load_text_tokenizer(str(source)).hash

        assert {"tokenizer_config.json", "special_tokens_map.json"} <= {
            file.name for file in (tmp_path / "0").iterdir()
        }

    def test_card_of_the_family_reads_both(self, folder: Path, tmp_path: Path) -> None:
        from fairseq2.assets import AssetCard

        for path in (folder, TestSentencePiece.FILE):
            card = AssetCard(
                "mine",
                {"tokenizer_family": "codec_s2st_tokenizer", "tokenizer": str(path), "__base_path__": tmp_path},
            )

            tokenizer = load_text_tokenizer(card)

            # No store knows the card.
            assert tokenizer.name == str(path)

            assert tokenizer.encode("la casa").tolist() == load_text_tokenizer(str(path)).encode("la casa").tolist()

    def test_text_llm_names_its_tokenizer(self) -> None:
        assert load_text_tokenizer("demo_text_lm").name == "codec_s2st_demo_tokenizer"

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("demo_tokeniser", "unknown tokenizer card 'demo_tokeniser'"),
            ("/no/such/folder", "there is no tokenizer at /no/such/folder"),
            ("demo_codec", "card 'codec_s2st_demo_codec' names no tokenizer"),
        ],
    )
    def test_what_is_none_is_refused(self, name: str, message: str) -> None:
        with pytest.raises(UserInputError, match=message):
            load_text_tokenizer(name)

    def test_folder_without_one_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=f"there is no tokenizer at {tmp_path}"):
            load_text_tokenizer(str(tmp_path))
