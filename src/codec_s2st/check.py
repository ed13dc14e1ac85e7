"""``codec-s2st check``: versions, and what is missing with the line that mends it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from codec_s2st._libsndfile import find_bundled_libsndfile, library_name, preload_libsndfile
from codec_s2st.arguments import CommandParser
from codec_s2st.errors import CodecS2STError

_REQUIRED_PACKAGES: Final = (
    "codec_s2st",
    "fairseq2",
    "fairseq2n",
    "torch",
    "torchaudio",
    "numpy",
    "transformers",
    "safetensors",
    "sentencepiece",
    "soundfile",
    "pyarrow",
    "polars",
    "submitit",
    "tensorboard",
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    name: str

    value: str

    mend: str | None = None
    """The line that mends it; ``None`` if all is well or nothing needs mending."""

    is_required: bool = True
    """Whether codec_s2st does not work without it."""

    @property
    def status(self) -> str:
        """``ok``, ``missing`` where something does not work, ``absent`` where an option is not there."""
        if self.mend is None:
            return "ok"

        return "missing" if self.is_required else "absent"


def main(argv: Sequence[str]) -> int:
    """Prints the report; returns 0 if everything that is required is there, else 1."""
    parser = CommandParser(
        prog="codec-s2st check",
        description="Print versions, and what is missing with the line that mends it.",
        epilog="Exit code: 0 if everything required is there (what is absent is optional), 1 if something is missing.",
    )

    parser.parse_args(argv)

    is_fine = True

    for finding in find_all():
        print(f"{finding.status:<8} {finding.name:<16} {finding.value}")

        if finding.mend is not None:
            print(f"{'':<8} {'':<16} -> {finding.mend}")

        is_fine = is_fine and finding.status != "missing"

    return 0 if is_fine else 1


def find_all() -> Iterator[Finding]:
    """Yields the findings, the cheap ones first."""
    yield _check_python()

    for package in _REQUIRED_PACKAGES:
        yield _check_package(package)

    yield _check_libsndfile()
    yield from _check_fairseq2()
    yield _check_module("espeak-ng", "espeakng_loader", "espeakng-loader")
    yield _check_module("pocketsphinx", "pocketsphinx", "pocketsphinx")
    yield _check_program("g++", "g++", "torch.compile on CPU needs it: apt install g++")
    yield _check_gpu()
    yield _check_program("SLURM", "sbatch", "for a cluster only: log in to a machine that has sbatch")


def _check_python() -> Finding:
    mend = None

    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        mend = "fairseq2n has wheels for Python 3.10, 3.11 and 3.12: make setup PYTHON=python3.11"

    return Finding(name="python", value=f"{platform.python_version()} at {sys.executable}", mend=mend)


def _check_package(package: str) -> Finding:
    try:
        return Finding(name=package, value=version(package))
    except PackageNotFoundError:
        return Finding(name=package, value="not installed", mend=_mend_package(package))


def _mend_package(package: str) -> str:
    if package == "codec_s2st":
        return "pip install --no-deps -e .   (in the checkout; it makes the fairseq2 extension known)"

    return "pip install codec_s2st   (or `make setup` in a checkout)"


def _check_libsndfile() -> Finding:
    name = library_name()

    bundled = find_bundled_libsndfile()

    path = preload_libsndfile()

    link = Path(sys.prefix, "lib", name)

    if path is None:
        from ctypes import CDLL

        try:
            CDLL(name)

            return Finding(name="libsndfile", value="the system's")
        except OSError:
            return Finding(name="libsndfile", value="not found", mend="apt install libsndfile1")

    if link.exists():
        return Finding(name="libsndfile", value=f"{link} -> {link.resolve()}")

    return Finding(
        name="libsndfile",
        value=f"{bundled}, for codec_s2st only: `python -m fairseq2.assets` does not find it",
        mend=f"ln -s {bundled} {link}",
        is_required=False,
    )


def _check_fairseq2() -> Iterator[Finding]:
    try:
        import fairseq2  # noqa: F401
    except Exception as ex:
        yield Finding(name="import fairseq2", value=f"{type(ex).__name__}: {ex}", mend=_mend_import(ex))

        return

    from codec_s2st.environment import EXTENSION_GROUP, find_card_problems, find_extension_problems

    names = {entry_point.name for entry_point in entry_points(group=EXTENSION_GROUP)}

    if "codec_s2st" not in names:
        yield Finding(name="extension", value="fairseq2 does not know us", mend=_mend_package("codec_s2st"))

        return

    yield _report("extensions", f"{', '.join(sorted(names))}", find_extension_problems)
    yield _report("asset cards", "no name twice, none without a name", find_card_problems)


def _mend_import(ex: BaseException) -> str:
    bundled = find_bundled_libsndfile()

    # Inside Conda, fairseq2n looks for libraries in the environment only.
    if "sndfile" in str(ex) and bundled is not None:
        return f"ln -s {bundled} {Path(sys.prefix, 'lib', library_name())}"

    if "libcudart" in str(ex):
        return "pip install --force-reinstall torch==2.9.1 torchaudio==2.9.1   (fairseq2n needs PyPI's CUDA build)"

    return "pip install fairseq2==0.8.1 fairseq2n==0.8.1 torch==2.9.1 torchaudio==2.9.1"


def _report(name: str, value: str, find_problems: Callable[[], list[CodecS2STError]]) -> Finding:
    try:
        problems = find_problems()
    except Exception as ex:
        from codec_s2st.explain import explain

        problems = [explain(ex)]

    if not problems:
        return Finding(name=name, value=value)

    mend = problems[0].hint or "mend the file that is named"

    return Finding(name=name, value="; ".join(problem.message for problem in problems), mend=mend)


def _check_module(name: str, module: str, package: str) -> Finding:
    if find_spec(module) is None:
        return Finding(
            name=name,
            value="not installed",
            mend=f"for the demo world: pip install {package}   (or the extra: codec_s2st[demo])",
            is_required=False,
        )

    return Finding(name=name, value=f"{package} {version(package)}")


def _check_program(name: str, program: str, mend: str) -> Finding:
    path = shutil.which(program)
    if path is None:
        return Finding(name=name, value="not found", mend=mend, is_required=False)

    return Finding(name=name, value=path)


def _check_gpu() -> Finding:
    try:
        import torch
    except Exception as ex:
        return Finding(name="GPU", value=f"torch cannot be imported: {ex}", mend="make setup")

    if not torch.cuda.is_available():
        return Finding(
            name="GPU",
            value="none: everything runs on the CPU",
            mend="to use one: install NVIDIA's driver, and see that `nvidia-smi` lists it",
            is_required=False,
        )

    names = [torch.cuda.get_device_name(idx) for idx in range(torch.cuda.device_count())]

    return Finding(name="GPU", value=f"{len(names)} x {names[0]}, CUDA {torch.version.cuda}")
