"""The recipe s2st: fine-tuning, with the target segment alone in the loss."""

from __future__ import annotations

from typing import final

from codec_s2st.recipes.common.training import SpeechTextTrainRecipe
from codec_s2st.recipes.s2st.config import S2STConfig


@final
class S2STRecipe(SpeechTextTrainRecipe):
    def __init__(self) -> None:
        super().__init__(S2STConfig, loss="target")
