"""Makes libsndfile known to the process where the system has none.

``fairseq2n`` opens ``libsndfile.so.1`` by that name at import and gives up when the dynamic linker does not find it.
The wheel of ``soundfile``, which we require anyway, carries the library under another file name; once it is loaded, the
linker answers the same name with it.
"""

from __future__ import annotations

import platform
from ctypes import CDLL, RTLD_GLOBAL
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_libraries: Final[list[CDLL]] = []


def library_name() -> str:
    """Returns the name under which fairseq2 asks for libsndfile on this system."""
    return "libsndfile.1.dylib" if platform.system() == "Darwin" else "libsndfile.so.1"


def find_bundled_libsndfile() -> Path | None:
    """Returns the copy inside the wheel of ``soundfile``, or ``None`` where that wheel has none."""
    spec = find_spec("_soundfile_data")
    if spec is None:
        return None

    for folder in spec.submodule_search_locations or ():
        for path in sorted(Path(folder).glob("libsndfile*")):
            return path

    return None


@cache
def preload_libsndfile() -> Path | None:
    """Loads libsndfile from the system or, failing that, from the wheel of ``soundfile``.

    :returns:
        The path of the wheel's copy if it was needed, also when asked again. Nothing is raised where there is no
        library at all: ``import fairseq2`` then says so, and ``codec-s2st check`` names the line that mends it.
    """
    if _load(library_name()):
        return None

    path = find_bundled_libsndfile()
    if path is None or not _load(str(path)):
        return None

    return path


def _load(name: str) -> bool:
    try:
        _libraries.append(CDLL(name, mode=RTLD_GLOBAL))
    except OSError:
        return False

    return True
