"""Fresh environments that borrow the dependencies of this one, so that one is made in a second."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and a folder far from the checkout in which its commands run."""

    path: Path

    work_dir: Path

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    def run(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment; fails unless it ends with ``code``."""
        name, *args = map(str, command)

        variables = {**os.environ, **(env or {})}

        # The checkout must not be found by any way but the installation.
        if env is None or "PYTHONPATH" not in env:
            variables.pop("PYTHONPATH", None)

        result = subprocess.run(
            [str(self.path / "bin" / name), *args],
            cwd=self.work_dir,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )

        assert result.returncode == code, f"{command}\n{result.stdout}\n{result.stderr}"

        return result

    def install(self, *args: str | Path) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]

        # Nothing is fetched: the dependencies and the build backend are there.
        options = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]

        subprocess.run([*pip, *options, *map(str, args)], cwd=self.work_dir, check=True)


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Environment]:
    """Makes an environment in which only codec_s2st is not installed."""

    def make(name: str) -> Environment:
        path = tmp_path_factory.mktemp(name) / "venv"

        venv.create(path, symlinks=True, with_pip=False)

        paths = {"base": str(path), "platbase": str(path)}

        site_packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))

        # A .pth file adds a folder, but not the .pth files in that folder: our editable installation stays outside.
        site_packages.joinpath("borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

        # Wheels such as oneTBB's put their libraries beside the packages. libsndfile is what `make setup` adds.
        for library in Path(sys.prefix, "lib").glob("*.so*"):
            if "sndfile" not in library.name:
                path.joinpath("lib", library.name).symlink_to(library.resolve())

        work_dir = path.parent / "elsewhere"

        work_dir.mkdir()

        return Environment(path, work_dir)

    return make


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, the wheel, and the wheel that is made of the sdist alone."""
    output_dir = tmp_path_factory.mktemp("built")

    def build(source: Path, kind: str, name: str) -> Path:
        target = output_dir / name

        command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(target), str(source)]

        subprocess.run(command, check=True, capture_output=True)

        [file] = target.iterdir()

        return file

    sdist = build(ROOT, "sdist", "sdist")

    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(output_dir)], check=True)

    unpacked = output_dir / sdist.name.removesuffix(".tar.gz")

    return {
        "sdist": sdist,
        "wheel": build(ROOT, "wheel", "wheel"),
        "wheel from sdist": build(unpacked, "wheel", "wheel_from_sdist"),
    }
