"""The folders that this process alone may write to while it runs a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from codec_s2st.data.files import folder_lock


class _Scope:
    def __init__(self) -> None:
        self.stack: Final = ExitStack()

        self.folders: Final[set[Path]] = set()


# The first is that of a program that runs recipes by itself: its locks are held until the process ends.
_scopes: Final = [_Scope()]


@contextmanager
def lock_scope() -> Iterator[None]:
    """Releases in the end what :func:`lock_folder` has locked within."""
    scope = _Scope()

    _scopes.append(scope)

    try:
        with scope.stack:
            yield
    finally:
        _scopes.remove(scope)


def lock_folder(folder: Path) -> None:
    """Locks a folder until the :func:`lock_scope` ends, or the process where there is none; once more is no more.

    :raises UserInputError: another process has locked it.
    """
    if any(folder in scope.folders for scope in _scopes):
        return

    scope = _scopes[-1]

    scope.stack.enter_context(folder_lock(folder))

    scope.folders.add(folder)
