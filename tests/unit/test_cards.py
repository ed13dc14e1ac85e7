from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.cards import duplicate_cards, read_cards, well_known_dirs
from codec_s2st.errors import UserInputError


class TestReadCards:
    def test_works_for_a_folder(self, tmp_path: Path) -> None:
        tmp_path.joinpath("codecs").mkdir()
        tmp_path.joinpath("codecs/a.yaml").write_text("name: a\nmodel_family: x\n")
        tmp_path.joinpath("b.yml").write_text("name: b\ntokenizer_family: y\n---\nname: c@user\nbase: b\n")
        tmp_path.joinpath("notes.txt").write_text("no card")

        cards = read_cards(tmp_path)

        assert [(card.kind, card.name, card.file.name) for card in cards] == [
            ("tokenizer", "b", "b.yml"),
            ("other", "c@user", "b.yml"),
            ("codec", "a", "a.yaml"),
        ]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("model_family: x\n", "asset card 0 in {file} has no name"),
            ("name: a\n---\nname: ''\n", "asset card 1 in {file} has no name"),
            ("name: 3\n", "asset card 0 in {file} has no name"),
            ("name: '@user'\n", "asset card 0 in {file} has no name"),
            ("- name: a\n", "asset card 0 in {file} must be a mapping, but is of type list"),
            ("name: a\nb: [\n", "asset card file {file} is not valid YAML at line"),
            ("name: a\nname: b\n", "asset card file {file} is not valid YAML at line"),
            ("name: !!python/object/apply:os.getcwd []\n", "asset card file {file} is not valid YAML at line 1"),
        ],
    )
    def test_raises_error_that_names_the_file(self, tmp_path: Path, content: str, message: str) -> None:
        file = tmp_path / "card.yaml"

        file.write_text(content)

        with pytest.raises(UserInputError) as exc_info:
            read_cards(tmp_path)

        assert str(exc_info.value).startswith(message.format(file=file))
        assert "\n" not in str(exc_info.value)

    def test_raises_error_when_the_file_is_not_text(self, tmp_path: Path) -> None:
        file = tmp_path / "card.yaml"

        file.write_bytes(b"name: \xff\xfe\n")

        with pytest.raises(UserInputError, match=f"{file} is not valid YAML"):
            read_cards(file)

    def test_raises_error_when_the_file_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(UserInputError, match=r"gone.yaml cannot be read: No such file"):
            read_cards(tmp_path / "gone.yaml")


def test_duplicate_cards_pairs_each_with_the_first(tmp_path: Path) -> None:
    for name in ("1.yaml", "2.yaml", "3.yaml"):
        tmp_path.joinpath(name).write_text("name: same\n")

    pairs = [(a.file.name, b.file.name) for a, b in duplicate_cards(read_cards(tmp_path))]

    assert pairs == [("1.yaml", "2.yaml"), ("1.yaml", "3.yaml")]


class TestWellKnownDirs:
    def test_falls_back_when_a_variable_points_nowhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        user_dir = tmp_path / "config/fairseq2/assets"

        user_dir.mkdir(parents=True)

        monkeypatch.setenv("FAIRSEQ2_ASSET_DIR", str(tmp_path))
        monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(tmp_path / "gone"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

        assert well_known_dirs() == [tmp_path, user_dir]
