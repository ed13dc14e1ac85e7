"""The exceptions of codec_s2st and the exit code of each.

Exit codes of ``codec-s2st`` and of the recipes' ``__main__``: 0 done, 1 the machine's or the run's fault, 2 the user's
input, 3 diverged, 85 stopped on request and saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar, Final

STOPPED_EXIT_CODE: Final = 85


class CodecS2STError(Exception):
    """The base of every error that we raise on purpose: one line, and the next command where there is one."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)

        self.message = " ".join(message.split())
        self.hint = hint

    def __str__(self) -> str:
        if self.hint is None:
            return self.message

        return f"{self.message} ({self.hint})"


class UserInputError(CodecS2STError):
    """Something that the user gave (a file, a name, a value) cannot be used."""

    exit_code = 2


class DivergedError(CodecS2STError):
    """The loss or a gradient is not finite any more."""

    exit_code = 3


class StoppedError(CodecS2STError):
    """The run was asked to stop, has saved what it has done, and goes on when it is started again."""

    exit_code = STOPPED_EXIT_CODE


def unknown_name(kind: str, name: str, known: Iterable[str], *, hint: str | None = None) -> UserInputError:
    """Returns the error for ``name``, which is none of ``known``; the nearest known name is suggested."""
    names = sorted(known)

    nearest = get_close_matches(name, names, n=1, cutoff=0.5)

    if nearest:
        advice = f"did you mean '{nearest[0]}'?"
    elif len(names) <= 20:
        advice = f"known: {', '.join(names) or 'none'}"
    else:
        advice = f"{len(names)} are known"

    return UserInputError(f"unknown {kind} '{name}': {advice}", hint=hint)
