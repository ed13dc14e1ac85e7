"""The listeners that can be named in a configuration. Legend: N sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, final

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.evaluation.transcriber import Transcriber
from codec_s2st.evaluation.whisper import WhisperTranscriber

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

WHISPER: Final = "whisper:"
"""Before a folder of transformers' or a repository of Hugging Face's."""


@final
class _DemoListener:
    """A listener of the demo world under a name that says which version it is."""

    def __init__(self, name: str, transcribe: Callable[[NDArray[np.float32], int], str]) -> None:
        self.name = f"{name} (pocketsphinx {version('pocketsphinx')})"

        self._transcribe = transcribe

    def check_languages(self, languages: Iterable[str]) -> None:
        for language in languages:
            if language != "eng":
                raise UserInputError(
                    f"transcriber '{self.name.partition(' ')[0]}' understands eng, but the manifest's target language "
                    f"is {language}",
                    hint=f"transcriber={WHISPER}FOLDER",
                )

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int, language: str | None) -> str:
        return self._transcribe(wave, sample_rate)


def _open_listener() -> Transcriber:
    from codec_s2st.demo.listener import OpenListener

    return _DemoListener("open", OpenListener().transcribe)


def _constrained_listener() -> Transcriber:
    from codec_s2st.demo.listener import ConstrainedListener

    return _DemoListener("constrained", ConstrainedListener().transcribe)


LISTENERS: Final[dict[str, Callable[[], Transcriber]]] = {
    "open": _open_listener,
    "constrained": _constrained_listener,
}
"""Those that need nothing but their name."""


def parse_listeners(names: str) -> list[str]:
    """Returns the names in ``names``, which has commas between them.

    :raises UserInputError: there is none, or no listener has that name.
    """
    found = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))

    known = [*LISTENERS, f"{WHISPER}FOLDER"]

    if not found:
        raise UserInputError("`transcriber` names no listener", hint=f"known: {', '.join(known)}")

    for name in found:
        if name not in LISTENERS and not (name.startswith(WHISPER) and name != WHISPER):
            raise unknown_name("transcriber", name, known)

    return found


def make_listeners(names: Sequence[str], languages: Iterable[str | None], *, device: torch.device) -> list[Transcriber]:
    """Returns the listeners of these names.

    :param languages: Those that they will hear, as ISO 639-3 codes.

    :raises UserInputError: one cannot be loaded, or does not understand one of ``languages``.
    """
    listeners = [
        LISTENERS[name]() if name in LISTENERS else WhisperTranscriber(name.removeprefix(WHISPER), device=device)
        for name in names
    ]

    known = sorted({language for language in languages if language is not None})

    for listener in listeners:
        listener.check_languages(known)

    return listeners
