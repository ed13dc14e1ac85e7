"""Tells a file that cannot be read from storage that cannot."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from codec_s2st.data import files
from codec_s2st.errors import CodecS2STError, UserInputError

T = TypeVar("T")


class StorageWatch:
    """Reads files, and again after a pause while it is their storage that fails.

    A disk that went away looks like files that do not exist. So a file that was read before is looked at as well, of
    the same kind (the source side, say, as the two sides may lie in different places): if it is gone too, the storage
    is. Before the first file was read, a file whose folder is missing or empty is a suspect.
    """

    def __init__(self) -> None:
        self._witnesses: dict[str, Path] = {}

        self._suspects: dict[str, Path] = {}

    def read(self, kind: str, path: Path, read: Callable[[], T]) -> T:
        """Returns what ``read`` returns.

        :param kind: what else lies in the same place.
        :param path: the file, for messages.
        :raises UserInputError: the file cannot be read, and it is not the storage's fault.
        :raises CodecS2STError: the storage failed every time.
        """
        for delay in (*files.RETRY_DELAYS, None):
            try:
                result = read()
            except UserInputError as ex:
                cause = ex.__cause__

                if not isinstance(cause, OSError) or not self._has_failed(kind, path, cause):
                    raise

                if delay is None:
                    raise CodecS2STError(
                        f"{path} cannot be read after {len(files.RETRY_DELAYS) + 1} tries: {cause.strerror or cause}",
                        hint="run it again when the storage answers: what is done stays",
                    ) from ex

                time.sleep(delay)
            else:
                self._witnesses[kind] = path

                return result

        raise AssertionError("unreachable")

    def check_suspects(self) -> None:
        """To be called before it is taken for granted that files are missing; forgets the suspects.

        :raises CodecS2STError: of their kind, no file at all could be read.
        """
        suspects = {kind: path for kind, path in self._suspects.items() if kind not in self._witnesses}

        self._suspects.clear()

        for path in suspects.values():
            raise CodecS2STError(
                f"{path} does not exist, nor do others, nor is anything in its folder: its storage may not be mounted",
                hint="mount it and run it again, or leave such rows out of the manifest",
            )

    def forget_suspects(self) -> None:
        """Takes it for granted that the files are missing."""
        self._suspects.clear()

    def _has_failed(self, kind: str, path: Path, cause: OSError) -> bool:
        if cause.errno not in files.USER_ERRNOS:
            return True

        witness = self._witnesses.get(kind)

        if witness is not None:
            return not _answers(witness)

        if not _has_entries(path.parent):
            self._suspects.setdefault(kind, path)

        return False


def _answers(path: Path) -> bool:
    try:
        with path.open("rb") as fp:
            fp.read(1)
    except OSError:
        return False

    return True


def _has_entries(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
