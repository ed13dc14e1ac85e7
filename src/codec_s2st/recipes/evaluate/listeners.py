"""The listeners that can be named in a configuration. Legend: N sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, final

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.listeners.ctc import CtcTranscriber
from codec_s2st.evaluation.listeners.fairseq2_ctc import Fairseq2Transcriber
from codec_s2st.evaluation.listeners.seamless import SeamlessTranscriber
from codec_s2st.evaluation.listeners.whisper import WhisperTranscriber
from codec_s2st.evaluation.transcriber import Transcriber
from codec_s2st.recipes.evaluate.own_listener import OwnTranscriber

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@final
class _DemoListener:
    """A listener of the demo world under a name that says which version it is."""

    def __init__(self, name: str, transcribe: Callable[[NDArray[np.float32], int], str]) -> None:
        self.name = f"{name} (pocketsphinx {version('pocketsphinx')})"

        self.instrument: Identity | None = _acoustic_model()

        self._transcribe = transcribe

    def check_languages(self, languages: Iterable[str]) -> None:
        for language in languages:
            if language != "eng":
                raise UserInputError(
                    f"transcriber '{self.name.partition(' ')[0]}' understands eng, but the manifest's target language "
                    f"is {language}",
                    hint="transcriber=whisper:FOLDER",
                )

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int, language: str | None) -> str:
        return self._transcribe(wave, sample_rate)


def _acoustic_model() -> Identity:
    """Returns the weights that come with PocketSphinx."""
    from pathlib import Path

    from pocketsphinx import get_model_path

    from codec_s2st.codecs.weights import hash_weights

    return Identity("en-us", hash_weights(list(Path(get_model_path("en-us/en-us")).iterdir())))


def _open_listener(world: str, name: str) -> Transcriber:
    from codec_s2st.demo.listener import OpenListener

    return _DemoListener(name, OpenListener(world=world).transcribe)


def _constrained_listener(world: str, name: str) -> Transcriber:
    from codec_s2st.demo.listener import ConstrainedListener

    return _DemoListener(name, ConstrainedListener(world=world).transcribe)


LISTENERS: Final[dict[str, Callable[[], Transcriber]]] = {
    "open": partial(_open_listener, "demo", "open"),
    "constrained": partial(_constrained_listener, "demo", "constrained"),
    "open-small": partial(_open_listener, "small", "open-small"),
    "constrained-small": partial(_constrained_listener, "small", "constrained-small"),
    "open-large": partial(_open_listener, "large", "open-large"),
    "constrained-large": partial(_constrained_listener, "large", "constrained-large"),
}
"""Those that need nothing but their name."""

FAMILIES: Final[dict[str, Callable[..., Transcriber]]] = {
    "whisper": WhisperTranscriber,
    "wav2vec2": CtcTranscriber,
    "seamless": SeamlessTranscriber,
    "fairseq2": Fairseq2Transcriber,
    "model": OwnTranscriber,
}
"""Those that a model is named for, behind a colon; each is made of it and a device."""

SELF: Final = "self"
"""The model that is scored."""


def parse_listeners(names: str) -> list[str]:
    """Returns the names in ``names``, which has commas between them.

    :raises UserInputError: there is none, or no listener has that name.
    """
    found = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))

    known = [*LISTENERS, SELF, *(f"{family}:MODEL" for family in FAMILIES)]

    if not found:
        raise UserInputError("`transcriber` names no listener", hint=f"known: {', '.join(known)}")

    for name in found:
        family, colon, model = name.partition(":")

        if name not in (*LISTENERS, SELF) and not (family in FAMILIES and colon and model):
            raise unknown_name("transcriber", name, known)

    return found


def make_listeners(
    names: Sequence[str], languages: Iterable[str | None], *, device: torch.device, scored: str = ""
) -> list[Transcriber]:
    """Returns the listeners of these names.

    :param languages: Those that they will hear, as ISO 639-3 codes.
    :param scored: The card of the model that is scored.

    :raises UserInputError: one cannot be loaded, or does not understand one of ``languages``.
    """
    listeners = [_make(name, device, scored) for name in names]

    known = sorted({language for language in languages if language is not None})

    for listener in listeners:
        listener.check_languages(known)

    return listeners


def _make(name: str, device: torch.device, scored: str) -> Transcriber:
    if name in LISTENERS:
        return LISTENERS[name]()

    if name == SELF:
        return OwnTranscriber(scored, device=device, scored=scored)

    family, _, model = name.partition(":")

    options = {"scored": scored} if family == "model" else {}

    return FAMILIES[family](model, device=device, **options)
