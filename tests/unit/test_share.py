from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st import share
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.share import (
    assets_dir,
    cache_dir,
    card_name,
    experiments_dir,
    preset_names,
    preset_path,
    recipes_dir,
    slurm_dir,
)


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipes folder of its own with two presets of one recipe."""
    for name in ("cpt/demo.yaml", "cpt/demo/joint.yaml"):
        path = tmp_path / name

        path.parent.mkdir(parents=True, exist_ok=True)

        path.write_text("")

    monkeypatch.setattr(share, "recipes_dir", lambda: tmp_path)

    return tmp_path


def test_folders_are_those_of_the_checkout() -> None:
    root = Path(__file__).resolve().parents[2]

    assert (assets_dir(), recipes_dir(), slurm_dir()) == (root / "assets", root / "recipes", root / "slurm")
    assert experiments_dir() == root / "experiments"


def test_share_dir_raises_error_when_the_folders_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "__file__", str(tmp_path / "src" / "codec_s2st" / "share.py"))

    with pytest.raises(CodecS2STError, match=r"are missing beside .*reinstall"):
        share.share_dir()


@pytest.mark.parametrize("name", ["demo_codec", "codec_s2st_demo_codec"])
def test_card_name_adds_the_prefix_once(name: str) -> None:
    assert card_name(name) == "codec_s2st_demo_codec"


class TestPresetPath:
    def test_works_for_names_and_nested_names(self, presets: Path) -> None:
        assert preset_names("cpt") == ["demo", "demo/joint"]

        assert preset_path("cpt", "demo") == presets / "cpt/demo.yaml"
        assert preset_path("cpt", "demo/joint") == presets / "cpt/demo/joint.yaml"
        assert preset_path("cpt", "cpt/demo/joint") == presets / "cpt/demo/joint.yaml"

    def test_takes_a_file_of_the_user(self, presets: Path) -> None:
        file = presets / "mine.yaml"

        file.write_text("")

        assert preset_path("cpt", str(file)) == file

    @pytest.mark.parametrize(
        ("recipe", "preset", "message"),
        [
            ("cpt", "demo/jont", "unknown preset of cpt 'demo/jont': did you mean 'demo/joint'"),
            ("cpt", "../cpt/demo", "unknown preset of cpt '../cpt/demo'"),
            ("ctp", "demo", "unknown recipe 'ctp': did you mean 'cpt'"),
            ("../x", "demo", "unknown recipe '../x'"),
            ("cpt", "gone.yaml", "preset file 'gone.yaml' does not exist"),
        ],
    )
    def test_raises_error_when_there_is_none(self, presets: Path, recipe: str, preset: str, message: str) -> None:
        with pytest.raises(UserInputError) as exc_info:
            preset_path(recipe, preset)

        assert message in str(exc_info.value)


class TestCacheDir:
    def test_follows_the_variables_in_their_order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CODEC_S2ST_CACHE", str(tmp_path / "ours"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))

        assert cache_dir() == tmp_path / "ours"

        monkeypatch.delenv("CODEC_S2ST_CACHE")

        assert cache_dir() == tmp_path / "xdg" / "codec_s2st"

        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))

        assert cache_dir() == tmp_path / ".cache" / "codec_s2st"
