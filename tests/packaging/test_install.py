"""Our wheel, the wheel of our sdist and an editable installation, each in a fresh environment and another folder."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codec_s2st.cards import read_cards
from codec_s2st.share import assets_dir, experiments_dir, recipes_dir, slurm_dir

if TYPE_CHECKING:
    from tests.packaging.conftest import Environment

ROOT = Path(__file__).resolve().parents[2]

KINDS = ["wheel", "wheel from sdist", "editable"]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def environment(kind: str, built: dict[str, Path], make_environment: Callable[[str], Environment]) -> Environment:
    environment = make_environment(kind.replace(" ", "_"))

    if kind == "editable":
        environment.install("--editable", ROOT)
    else:
        environment.install(built[kind])

    return environment


@pytest.fixture(scope="module")
def check_output(environment: Environment) -> str:
    return environment.run(["codec-s2st", "check"]).stdout


def shared_files(suffixes: tuple[str, ...]) -> list[Path]:
    folders = (assets_dir(), experiments_dir(), recipes_dir(), slurm_dir())

    files = [file for folder in folders for file in folder.rglob("*")]

    return sorted(file.relative_to(ROOT) for file in files if file.suffix in suffixes)


class TestInstallation:
    def test_code_is_that_of_the_installation(self, environment: Environment, kind: str) -> None:
        result = environment.run(["python", "-c", "import codec_s2st; print(codec_s2st.__file__)"])

        home = ROOT / "src" if kind == "editable" else environment.path

        assert Path(result.stdout.strip()).is_relative_to(home)

    def test_ls_lists_every_card_and_preset(self, environment: Environment, kind: str) -> None:
        lines = environment.run(["codec-s2st", "ls"]).stdout.splitlines()

        files = [Path(line.split()[-1]) for line in lines if line.startswith("  ")]

        home = ROOT if kind == "editable" else environment.path

        for file in files:
            assert file.is_absolute()
            assert file.is_relative_to(home)
            assert file.is_file()

        for expected in shared_files((".yaml",)):
            assert any(file.parts[-len(expected.parts) :] == expected.parts for file in files), expected

    def test_check_finds_nothing_missing(self, check_output: str) -> None:
        assert not re.search("^missing", check_output, flags=re.MULTILINE), check_output

    def test_fairseq2_lists_and_shows_our_cards(self, environment: Environment, kind: str, check_output: str) -> None:
        if kind == "wheel from sdist":
            pytest.skip("It holds the same files as the wheel, see below.")

        # Where the system has no libsndfile, fairseq2 by itself needs the line that `check` names.
        if match := re.search(r"-> ln -s (\S+) (\S+)$", check_output, flags=re.MULTILINE):
            Path(match.group(2)).symlink_to(match.group(1))

        env = {"FAIRSEQ2_EXTENSION_TRACE": "1", "COLUMNS": "200"}

        listed = environment.run(["python", "-m", "fairseq2.assets", "list"], env=env).stdout

        cards = read_cards(assets_dir())

        for card in cards:
            assert f":{card.name}@" in listed, card.name

        card = cards[0]

        shown = environment.run(["python", "-m", "fairseq2.assets", "show", card.name], env=env).stdout

        home = ROOT if kind == "editable" else environment.path

        assert card.name in shown
        assert str(home) in shown.replace("\n", "")

    def test_cli_runs_without_the_console_script(self, environment: Environment) -> None:
        assert "codec-s2st" in environment.run(["python", "-m", "codec_s2st", "--version"]).stdout


class TestBuilt:
    def test_sdist_installs(self, built: dict[str, Path], make_environment: Callable[[str], Environment]) -> None:
        environment = make_environment("sdist")

        environment.install(built["sdist"])

        assert "presets (" in environment.run(["codec-s2st", "ls", "--kind", "presets"]).stdout

    @pytest.mark.parametrize("kind", ["wheel", "wheel from sdist"])
    def test_wheel_holds_the_shared_files_and_no_others(self, built: dict[str, Path], kind: str) -> None:
        with zipfile.ZipFile(built[kind]) as archive:
            names = set(archive.namelist())

        for file in shared_files((".yaml", ".safetensors", ".model")):
            assert f"codec_s2st/_share/{file.as_posix()}" in names

        assert "codec_s2st/py.typed" in names

        tops = {name.partition("/")[0] for name in names}

        assert {top for top in tops if not top.endswith(".dist-info")} == {"codec_s2st"}

    def test_both_wheels_hold_the_same(self, built: dict[str, Path]) -> None:
        contents = []

        for kind in ("wheel", "wheel from sdist"):
            with zipfile.ZipFile(built[kind]) as archive:
                contents.append({info.filename: info.CRC for info in archive.infolist()})

        assert contents[0] == contents[1]

    def test_espeak_is_no_requirement_of_the_core(self, built: dict[str, Path]) -> None:
        with zipfile.ZipFile(built["wheel"]) as archive:
            [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]

            lines = archive.read(name).decode().splitlines()

        [line] = [line for line in lines if line.startswith("Requires-Dist: espeakng-loader")]

        assert "extra == 'demo'" in line.replace('"', "'")


def test_the_lock_names_no_registry() -> None:
    lock = ROOT.joinpath("requirements.lock").read_text()

    assert "fairseq2==0.8.1" in lock
    assert "torch==2.9.1" in lock
    assert "torchaudio==2.9.1" in lock

    assert "://" not in lock
    assert "--" not in lock
