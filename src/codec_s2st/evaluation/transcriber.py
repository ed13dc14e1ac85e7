"""Who listens to speech that is scored by its words. Legend: N sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Transcriber(Protocol):
    """Writes down what is heard. It must share nothing with the model that is scored."""

    @property
    def name(self) -> str:
        """What reports call it: a word and, behind a blank, what is needed to do the same again, such as a version."""

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int) -> str:
        """Returns the words in ``wave`` [N], float32 in [-1, 1]; empty if none are heard."""
