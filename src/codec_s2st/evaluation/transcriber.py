"""Who listens to speech that is scored by its words. Legend: N sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from codec_s2st.evaluation.identity import Identity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Transcriber(Protocol):
    """Writes down what is heard. It must share nothing with the model that is scored."""

    @property
    def name(self) -> str:
        """What reports call it: a word and, behind a blank, what is needed to do the same again, such as a version."""

    @property
    def instrument(self) -> Identity | None:
        """Its weights; ``None`` if they have no hash."""

    def check_languages(self, languages: Iterable[str]) -> None:
        """
        :param languages: ISO 639-3 codes.

        :raises UserInputError: one of them is not understood.
        """

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int, language: str | None) -> str:
        """Returns the words in ``wave`` [N], float32 in [-1, 1]; empty if none are heard.

        :param language: Its ISO 639-3 code; ``None`` if it is not known.
        """
