"""The listeners that can be named in a configuration: those of the demo world. Legend: N sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, final

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.evaluation.transcriber import Transcriber

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@final
class _DemoListener:
    """A listener of the demo world under a name that says which version it is."""

    def __init__(self, name: str, transcribe: Callable[[NDArray[np.float32], int], str]) -> None:
        self.name = f"{name} (pocketsphinx {version('pocketsphinx')})"

        self._transcribe = transcribe

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int) -> str:
        return self._transcribe(wave, sample_rate)


def _open_listener() -> Transcriber:
    from codec_s2st.demo.listener import OpenListener

    return _DemoListener("open", OpenListener().transcribe)


def _constrained_listener() -> Transcriber:
    from codec_s2st.demo.listener import ConstrainedListener

    return _DemoListener("constrained", ConstrainedListener().transcribe)


@dataclass(frozen=True)
class ListenerEntry:
    language: str
    """The language that it understands."""

    make: Callable[[], Transcriber]


LISTENERS: Final = {
    "open": ListenerEntry("eng", _open_listener),
    "constrained": ListenerEntry("eng", _constrained_listener),
}


def parse_listeners(names: str) -> list[str]:
    """Returns the names in ``names``, which has commas between them.

    :raises UserInputError: there is none, or no listener has that name.
    """
    found = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))

    if not found:
        raise UserInputError("`transcriber` names no listener", hint=f"known: {', '.join(LISTENERS)}")

    for name in found:
        if name not in LISTENERS:
            raise unknown_name("transcriber", name, LISTENERS)

    return found


def check_languages(names: Iterable[str], languages: Iterable[str | None]) -> None:
    """
    :raises UserInputError: a listener does not understand one of ``languages``.
    """
    for name in names:
        for language in languages:
            if language is not None and language != LISTENERS[name].language:
                raise UserInputError(
                    f"transcriber '{name}' understands {LISTENERS[name].language}, "
                    f"but the manifest's target language is {language}"
                )
