from __future__ import annotations

import os
from pathlib import Path

import pytest

from codec_s2st.catalog import copy_preset, list_cards, list_presets, main_cp, main_ls
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.share import assets_dir, recipes_dir


@pytest.fixture
def user_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own cards."""
    monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(tmp_path))

    return tmp_path


class TestMainLs:
    def test_lists_our_cards_and_presets_with_their_files(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main_ls([]) == 0

        lines = capsys.readouterr().out.splitlines()

        files = [*assets_dir().rglob("*.yaml"), *recipes_dir().rglob("*.yaml")]

        assert files

        for file in files:
            assert any(line.endswith(f"  {file}") for line in lines), file

    def test_kind_chooses(self, capsys: pytest.CaptureFixture[str]) -> None:
        main_ls(["--kind", "cards"])

        assert "presets (" not in capsys.readouterr().out

        main_ls(["--kind", "presets"])

        assert "cards (" not in capsys.readouterr().out

    def test_lists_the_cards_of_the_user(self, user_dir: Path) -> None:
        user_dir.joinpath("mine.yaml").write_text("name: mine\nmodel_family: x\n")

        assert ("model", "mine") in [(card.kind, card.name) for card in list_cards()]

    def test_raises_error_when_a_name_occurs_twice(self, user_dir: Path) -> None:
        first, second = user_dir / "1.yaml", user_dir / "2.yaml"

        for file in (first, second):
            file.write_text("name: same\n")

        with pytest.raises(UserInputError, match=f"named 'same', one in {first} and one in {second}"):
            list_cards()


class TestMainCp:
    def test_copies_the_preset(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        name, source = next(iter(list_presets().items()))

        target = tmp_path / "mine.yaml"

        assert main_cp([name, str(target)]) == 0

        assert target.read_bytes() == source.read_bytes()
        assert capsys.readouterr().out == f"{target}\n"

        umask = os.umask(0)
        os.umask(umask)

        assert target.stat().st_mode & 0o777 == 0o666 & ~umask

    def test_copies_into_a_folder(self, tmp_path: Path) -> None:
        name, source = next(iter(list_presets().items()))

        main_cp([name, str(tmp_path)])

        assert [path.name for path in tmp_path.iterdir()] == [source.name]

    def test_raises_error_when_the_preset_is_not_known(self, tmp_path: Path) -> None:
        name = next(iter(list_presets()))

        with pytest.raises(UserInputError, match=f"unknown preset '{name}x': did you mean '{name}'"):
            main_cp([f"{name}x", str(tmp_path / "x.yaml")])

        assert list(tmp_path.iterdir()) == []

    def test_never_replaces_a_file(self, tmp_path: Path) -> None:
        source, target = tmp_path / "a.yaml", tmp_path / "b.yaml"

        source.write_text("new")
        target.write_text("old")

        with pytest.raises(UserInputError, match=f"{target} exists"):
            copy_preset(source, target)

        assert target.read_text() == "old"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "b.yaml"]

    def test_full_disk_is_the_machines_fault_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = recipes_dir() / "cpt" / "demo" / "joint.yaml"

        def write_bytes(path: Path, data: bytes) -> int:
            path.touch()

            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", write_bytes)

        with pytest.raises(CodecS2STError, match=r"x\.yaml cannot be written: No space left on device") as info:
            copy_preset(source, tmp_path / "x.yaml")

        assert info.value.exit_code == 1

        assert not list(tmp_path.iterdir())

    def test_raises_error_when_the_folder_does_not_exist(self, tmp_path: Path) -> None:
        source = tmp_path / "a.yaml"

        source.write_text("new")

        with pytest.raises(UserInputError, match="cannot be written: No such file or directory"):
            copy_preset(source, tmp_path / "gone" / "b.yaml")
