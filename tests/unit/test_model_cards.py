from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.model_cards import card_strings, find_model_card, hash_model

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


class TestCardStrings:
    def test_list_is_returned(self, folder: Path) -> None:
        card = find_model_card(str(folder))

        assert card_strings(card, "tasks") == ["s2st", "asr"]
        assert card_strings(card, "languages") == []

    def test_anything_else_is_refused(self, folder: Path) -> None:
        folder.joinpath("mine.yaml").write_text(CARD.replace("[s2st, asr]", "s2st"))

        with pytest.raises(UserInputError, match="`tasks` of card 'mine' must be a list"):
            card_strings(find_model_card(str(folder)), "tasks")
