from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from fairseq2.assets import AssetCardError

from codec_s2st.errors import UserInputError
from codec_s2st.explain import explain
from codec_s2st.model_cards import card_strings, find_model_card, hash_model
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub

CARD = "name: mine\nmodel_family: codec_s2st_lm\nmodel_arch: tiny\ncheckpoint: weights\ntasks: [s2st, asr]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.joinpath("mine.yaml").write_text(CARD)

    tmp_path.joinpath("weights").mkdir()

    tmp_path.joinpath("weights", "model.safetensors").write_bytes(b"weights")

    return tmp_path


class TestFindModelCard:
    @pytest.mark.parametrize("name", ["", "mine.yaml"])
    def test_paths_of_a_card_are_relative_to_its_file(self, folder: Path, name: str) -> None:
        card = find_model_card(str(folder / name))

        assert card.name == "mine"

        assert card.field("checkpoint").as_uri().to_path() == folder / "weights"

    def test_file_may_be_relative_to_the_current_folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)

        for model in (f"{folder.name}/mine.yaml", folder.name):
            assert find_model_card(model).field("checkpoint").as_uri().to_path() == folder / "weights"

        monkeypatch.chdir(folder)

        assert find_model_card("mine.yaml").name == "mine"

    def test_cards_of_other_families_beside_it_do_not_matter(self, folder: Path) -> None:
        folder.joinpath("codec.yaml").write_text("name: c\nmodel_family: codec_s2st_melcodec\n")

        assert find_model_card(str(folder)).name == "mine"

    def test_two_models_in_a_folder_are_refused(self, folder: Path) -> None:
        folder.joinpath("other.yaml").write_text(CARD.replace("mine", "other"))

        with pytest.raises(UserInputError, match="holds 2 cards of translation models"):
            find_model_card(str(folder))

    def test_run_is_told_from_a_published_model(self, tmp_path: Path) -> None:
        tmp_path.joinpath("checkpoints").mkdir()

        with pytest.raises(UserInputError, match="is a run, not a published model"):
            find_model_card(str(tmp_path))

    def test_folder_without_a_card_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match="holds no card of a translation model"):
            find_model_card(str(tmp_path))

    def test_fields_of_the_base_are_inherited(self, folder: Path) -> None:
        folder.joinpath("mine.yaml").write_text(
            "name: mine\nbase: codec_s2st_demo_codec\nmodel_family: codec_s2st_lm\n"
        )

        assert find_model_card(str(folder / "mine.yaml")).field("license").as_(str) == "MIT"

    def test_unknown_base_is_refused(self, folder: Path) -> None:
        folder.joinpath("mine.yaml").write_text(
            "name: mine\nbase: codec_s2st_demo_codek\nmodel_family: codec_s2st_lm\n"
        )

        with pytest.raises(UserInputError, match=r"unknown base of card 'mine'.*did you mean"):
            find_model_card(str(folder / "mine.yaml"))

    def test_codec_is_refused(self) -> None:
        with pytest.raises(UserInputError, match="card 'codec_s2st_demo_codec' is not a translation model"):
            find_model_card("demo_codec")

    @pytest.mark.parametrize("model", ["no_such_model", "/no/such/card.yaml", "no/such/folder"])
    def test_what_does_not_exist_is_refused(self, model: str) -> None:
        with pytest.raises(UserInputError, match=r"unknown model card|does not exist"):
            find_model_card(model)

    def test_models_of_other_families_are_not_suggested(self) -> None:
        # One letter off the codec's name.
        with pytest.raises(UserInputError) as exc_info:
            find_model_card("demo_codex")

        assert "unknown model card 'demo_codex'" in str(exc_info.value)

        assert "'demo_codec'" not in str(exc_info.value)


class TestHashModel:
    def test_hash_is_of_the_bytes(self, folder: Path) -> None:
        card = find_model_card(str(folder))

        assert hash_model(card) == hashlib.sha256(b"weights").hexdigest()

        folder.joinpath("weights", "model.safetensors").write_bytes(b"others")

        os.utime(folder / "weights" / "model.safetensors", (1, 1))

        assert hash_model(card) == hashlib.sha256(b"others").hexdigest()

    def test_missing_checkpoint_is_named(self, folder: Path) -> None:
        folder.joinpath("mine.yaml").write_text(CARD.replace("weights", "gone"))

        with pytest.raises(UserInputError, match=r"checkpoint '.*gone' of card 'mine' does not exist"):
            hash_model(find_model_card(str(folder)))

    @pytest.mark.parametrize("line", ["", "checkpoint: null\n", "checkpoint: 5\n"])
    def test_card_without_a_checkpoint_is_not_called_gated(self, folder: Path, line: str) -> None:
        folder.joinpath("mine.yaml").write_text(CARD.replace("checkpoint: weights\n", line))

        with pytest.raises(UserInputError, match=r"^card 'mine' names no checkpoint \(give it a line"):
            hash_model(find_model_card(str(folder)))


class TestModelConfig:
    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ("{decoder: {num_attn_heads: 0}}", "`decoder.num_attn_heads` must be positive, but is 0"),
            ("{decoder: {num_layers: 3000000}}", "`decoder.num_layers` must be at most 1000"),
            ("{decoder: {vocab_size: -4}}", "`decoder.vocab_size` must not be negative, but is -4"),
            ("{vocabulary: '{}'}", "`vocabulary` cannot be read: it has no `tokenizer`"),
        ],
    )
    def test_what_cannot_be_built_is_refused(self, folder: Path, config: str, message: str) -> None:
        folder.joinpath("mine.yaml").write_text(CARD + f"model_config: {config}\n")

        with pytest.raises(AssetCardError) as info:
            get_codec_lm_hub().get_model_config(find_model_card(str(folder)))

        assert message in str(explain(info.value))


class TestCardStrings:
    def test_aliases_are_not_written_out(self, folder: Path) -> None:
        bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
        )

        folder.joinpath("mine.yaml").write_text(bomb + CARD.replace("[s2st, asr]", "*a11"))

        with pytest.raises(UserInputError, match="stands for more than 100,000 values") as info:
            card_strings(find_model_card(str(folder)), "tasks")

        assert len(str(info.value)) < 1_000

    def test_list_is_returned(self, folder: Path) -> None:
        card = find_model_card(str(folder))

        assert card_strings(card, "tasks") == ["s2st", "asr"]
        assert card_strings(card, "languages") == []

    def test_anything_else_is_refused(self, folder: Path) -> None:
        folder.joinpath("mine.yaml").write_text(CARD.replace("[s2st, asr]", "s2st"))

        with pytest.raises(UserInputError, match="`tasks` of card 'mine' must be a list"):
            card_strings(find_model_card(str(folder)), "tasks")
