"""A model of ours as a listener: its own recognition, of its own tokens. Legend: N sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

from codec_s2st import __version__
from codec_s2st.evaluation.identity import Identity
from codec_s2st.evaluation.pretrained import name_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@final
class OwnTranscriber:
    """Hears with the task ``asr``. Of the model that is scored it tells how well it understands itself, no more."""

    def __init__(self, card: str, *, device: torch.device, scored: str = "") -> None:
        """
        :param card: A model card, a card file, or a published folder.
        :param scored: That of the model that is scored.

        :raises UserInputError: there is no such model, or it was not trained to write down what it hears.
        """
        from codec_s2st.model_cards import find_model_card, hash_model
        from codec_s2st.translator import SpeechTranslator

        found = find_model_card(card)

        self._translator = SpeechTranslator.from_card(card, device=device)

        self._translator.check("asr", None, None)

        self.instrument: Identity | None = Identity(found.name.replace(" ", "_"), hash_model(found))

        is_scored = bool(scored) and hash_model(find_model_card(scored)) == self.instrument.weights_hash

        remark = ", the scored model itself: not independent" if is_scored else ""

        self.name = name_of("model", self.instrument, f"codec_s2st {__version__}{remark}")

    def check_languages(self, languages: Iterable[str]) -> None:
        """
        :raises UserInputError: the model does not hear one of them.
        """
        for language in languages:
            self._translator.check("asr", language, None)

    def transcribe(self, wave: NDArray[np.float32], sample_rate: int, language: str | None) -> str:
        import torch

        found = self._translator.translate(
            torch.from_numpy(wave), sample_rate=sample_rate, source_lang=language, task="asr"
        )

        assert found.text is not None

        return found.text
