"""The recipe cpt: continual pre-training, with every segment but the tags in the loss."""

from __future__ import annotations

from typing import final

from codec_s2st.recipes.common.training import SpeechTextTrainRecipe
from codec_s2st.recipes.cpt.config import CptConfig


@final
class CptRecipe(SpeechTextTrainRecipe):
    def __init__(self) -> None:
        super().__init__(CptConfig, loss="all")
