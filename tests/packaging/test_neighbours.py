"""Beside other extensions and other people's cards: good ones do not disturb us, bad ones are named with their file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codec_s2st.cards import read_cards
from codec_s2st.share import assets_dir

# A command of `codec-s2st` that opens the asset store, as every command that loads a model does.
PROBE = """
import sys
from codec_s2st import cli

def main(argv):
    from fairseq2.assets import get_asset_store
    print(*sorted(get_asset_store().asset_names), sep="\\n")
    return 0

sys.modules["probe"] = sys.modules["__main__"]
cli.COMMANDS["probe"] = cli.Command("probe:main", "")
sys.exit(cli.main(["probe"]))
"""

GOOD = """
from fairseq2.composition import register_in_memory_assets

def setup(container):
    register_in_memory_assets(container, "memory:neighbour", [{"name": "neighbours_card", "model_family": "qwen"}])
"""


@pytest.fixture
def add_extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Installs an extension of the package ``neighbour`` for the processes to come; returns its file."""

    def add(code: str) -> Path:
        info = tmp_path / "site" / "neighbour-1.0.dist-info"

        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: neighbour\nVersion: 1.0\n")
        info.joinpath("entry_points.txt").write_text("[fairseq2.extension]\nneighbour = neighbour:setup\n")

        file = info.parent / "neighbour.py"

        file.write_text(code)

        monkeypatch.setenv("PYTHONPATH", str(info.parent))

        return file

    return add


@pytest.fixture
def user_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own cards."""
    path = tmp_path / "user"

    path.mkdir()

    monkeypatch.setenv("FAIRSEQ2_USER_ASSET_DIR", str(path))

    return path


def run(*args: str, is_traced: bool = False) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "FAIRSEQ2_EXTENSION_TRACE"}

    if is_traced:
        env["FAIRSEQ2_EXTENSION_TRACE"] = "1"

    return subprocess.run([sys.executable, *args], env=env, capture_output=True, text=True, check=False)


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    [line] = [line for line in result.stderr.splitlines() if line.startswith("codec-s2st: error: ")]

    assert "Traceback" not in result.stderr

    return line


class TestExtensions:
    def test_a_good_one_works_beside_us(self, add_extension: Callable[[str], Path]) -> None:
        add_extension(GOOD)

        result = run("-c", PROBE, is_traced=True)

        assert result.returncode == 0, result.stderr

        names = result.stdout.splitlines()

        assert "neighbours_card@" in names

        for card in read_cards(assets_dir()):
            assert f"{card.name}@" in names

    def test_one_that_fails_is_named_by_check_and_stops_nobody(self, add_extension: Callable[[str], Path]) -> None:
        file = add_extension("def setup(container):\n    raise RuntimeError('no licence')\n")

        result = run("-m", "codec_s2st", "check")

        expected = f"neighbour:setup of the package neighbour fails in {file}:2: RuntimeError: no licence"

        assert result.returncode == 1
        assert expected in result.stdout
        assert "pip uninstall neighbour" in result.stdout

        result = run("-c", PROBE)

        assert result.returncode == 0, result.stderr
        assert f"{read_cards(assets_dir())[0].name}@" in result.stdout.splitlines()

    def test_one_that_stops_everybody_is_named_by_every_command(self, add_extension: Callable[[str], Path]) -> None:
        file = add_extension("def setup(container):\n    return 1 + None\n")

        result = run("-c", PROBE)

        assert result.returncode == 1
        assert f"neighbour:setup of the package neighbour fails in {file}:2: TypeError" in error_line(result)

    def test_a_traced_one_is_named_too(self, add_extension: Callable[[str], Path]) -> None:
        file = add_extension("import no_such_module\n")

        result = run("-c", PROBE, is_traced=True)

        assert result.returncode == 1
        assert f"neighbour:setup fails in {file}:1: ModuleNotFoundError" in error_line(result)


class TestCards:
    def test_a_nameless_card_is_named_by_its_file(self, user_dir: Path) -> None:
        file = user_dir / "mine.yaml"

        file.write_text("name: fine\nmodel_family: qwen\n---\nmodel_family: qwen\n")

        for args in (("-m", "codec_s2st", "ls"), ("-c", PROBE)):
            result = run(*args)

            assert result.returncode == 2
            assert f"asset card 1 in {file} has no name" in error_line(result)

    def test_a_card_with_our_name_is_named_with_both_files(self, user_dir: Path) -> None:
        ours = read_cards(assets_dir())[0]

        file = user_dir / "mine.yaml"

        file.write_text(f"name: {ours.name}\nmodel_family: qwen\n")

        for args in (("-m", "codec_s2st", "ls"), ("-c", PROBE)):
            result = run(*args)

            assert result.returncode == 2

            line = error_line(result)

            assert f"two asset cards are named '{ours.name}'" in line
            assert str(ours.file) in line
            assert str(file) in line

    def test_a_card_with_fairseq2s_name_is_named_with_both_files(self, user_dir: Path) -> None:
        file = user_dir / "mine.yaml"

        file.write_text("name: qwen25_7b\nmodel_family: qwen\n")

        result = run("-c", PROBE)

        assert result.returncode == 2

        line = error_line(result)

        assert "two asset cards are named 'qwen25_7b'" in line
        assert str(file) in line
        assert "fairseq2/assets/cards/models/qwen.yaml" in line
