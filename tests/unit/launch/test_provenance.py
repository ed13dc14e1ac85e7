from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from codec_s2st import __version__
from codec_s2st.cards import CardEntry
from codec_s2st.catalog import list_cards
from codec_s2st.launch.provenance import describe_commit, describe_packages, dump_cards, named_cards, write_provenance


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of one commit and one file."""
    folder = tmp_path / "checkout"

    folder.mkdir()

    folder.joinpath("a.py").write_text("x = 1\n")

    for command in (
        ["init", "-q"],
        ["add", "a.py"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "First"],
    ):
        subprocess.run(["git", "-C", str(folder), *command], check=True)

    return folder


class TestDescribeCommit:
    def test_names_the_commit_and_what_has_changed(self, checkout: Path) -> None:
        checkout.joinpath("a.py").write_text("x = 2\n")
        checkout.joinpath("b.py").touch()

        commit, changes = describe_commit(checkout)

        head = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
        ).stdout.strip()

        assert commit.splitlines() == [
            f"codec_s2st {__version__}",
            f"checkout: {checkout}",
            f"commit: {head}",
            "changed:",
            " M a.py",
            "?? b.py",
        ]

        assert "-x = 1\n+x = 2\n" in changes

    def test_a_clean_checkout_has_no_changes(self, checkout: Path) -> None:
        commit, changes = describe_commit(checkout)

        assert "changed" not in commit and changes == ""

    def test_an_installation_has_no_commit(self, tmp_path: Path) -> None:
        commit, changes = describe_commit(tmp_path)

        assert commit.startswith(f"codec_s2st {__version__}\nno checkout: ") and changes == ""

    def test_a_broken_repository_does_not_hinder(self, tmp_path: Path) -> None:
        tmp_path.joinpath(".git").write_text("gitdir: /nowhere\n")

        assert "its commit could not be read: fatal: not a git repository" in describe_commit(tmp_path)[0]


def test_packages_have_their_versions() -> None:
    lines = describe_packages().splitlines()

    assert lines[0].startswith("# Python 3.")
    assert f"submitit=={version('submitit')}" in lines
    assert lines[1:] == sorted(set(lines[1:]), key=str.lower)


class TestNamedCards:
    def test_cards_bring_those_that_they_name(self) -> None:
        config = {"init": "demo_s2st", "data": [{"task": "s2st"}], "seed": 2}

        names = [card.name for card in named_cards(config, list_cards())]

        assert names == ["codec_s2st_demo_codec", "codec_s2st_demo_s2st"]

    def test_a_base_is_followed_and_a_circle_ends(self) -> None:
        cards = [
            CardEntry(name=name, kind="model", file=Path("x.yaml"), metadata={"name": name, "base": base})
            for name, base in (("a", "b"), ("b", "a"), ("c", "a"))
        ]

        assert [card.name for card in named_cards({"model": {"name": "a"}}, cards)] == ["a", "b"]

    def test_the_dump_can_be_read(self) -> None:
        cards = named_cards(["demo_codec"], list_cards())

        text = dump_cards(cards)

        assert list(YAML(typ="safe").load_all(text)) == [card.metadata for card in cards]

        assert f"# {cards[0].file}\n" in text


def test_no_secret_is_written(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.joinpath("a.py").write_text("token = 'hf_abcdefgh'\n")

    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    monkeypatch.setattr("codec_s2st.__file__", str(checkout / "src" / "codec_s2st" / "__init__.py"))

    folder = tmp_path / "record"

    folder.mkdir()

    write_provenance(folder, {"codec": "demo_codec"})

    assert {file.name for file in folder.iterdir()} == {"cards.yaml", "changes.diff", "commit.txt", "packages.txt"}

    assert "+token = '***'\n" in folder.joinpath("changes.diff").read_text()

    assert not any("hf_abcdefgh" in file.read_text() for file in folder.iterdir())
