"""Finds files in the layouts of corpora. Every listing is sorted, so that a manifest does not depend on the machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from codec_s2st.data.files import read_retrying
from codec_s2st.errors import UserInputError


def subfolders(folder: Path) -> list[Path]:
    """Returns the folders in ``folder``, links to folders among them."""
    return [path for path in _entries(folder) if path.is_dir()]


def files(folder: Path, suffix: str) -> list[Path]:
    """Returns the files in ``folder`` whose names end in ``suffix``."""
    return [path for path in _entries(folder) if path.name.endswith(suffix) and path.is_file()]


def walk(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Yields all files below ``folder`` whose names end in one of ``suffixes``."""
    for path, names, found in os.walk(folder, followlinks=False):
        names.sort()

        for name in sorted(found):
            if name.lower().endswith(tuple(suffixes)) and not name.startswith("."):
                yield Path(path, name)


def root_of(src: Path, *names: str) -> Path:
    """Returns the first of ``src/name`` that is a folder, or ``src``: users give the corpus or the folder round it."""
    for name in names:
        if (src / name).is_dir():
            return src / name

    return src


def first_existing(*paths: Path) -> Path:
    """Returns the first path at which there is something, or the first of all."""
    return next((path for path in paths if path.exists()), paths[0])


def check_asked(src: Path, option: str, asked: Iterable[str], there: Iterable[str]) -> None:
    """Checks that what was asked for by ``--option`` is there, since one of several would be missed by nobody.

    A corpus that has nothing at all is left to whoever counts the rows.

    :raises UserInputError: ``src`` does not hold it.
    """
    names = sorted(set(there))

    for name in asked:
        if names and name not in names:
            raise UserInputError(f"--{option} is '{name}', but {src} holds only {', '.join(names)}")


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []

    names = read_retrying(folder, lambda: os.listdir(folder))

    # macOS leaves `._name` beside each file in archives, LibriTTS's among them.
    return [folder / name for name in sorted(names) if not name.startswith(".")]
