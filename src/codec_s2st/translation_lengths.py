"""How long a translation may become, and what it is made of, so that both have room."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from codec_s2st.tokens.sequence import Modality

MAX_LENGTH_RATIO: Final = 2.0
"""Speech may become so many times as long as the prompt's speech, and a second longer."""

MAX_TEXT_PER_SECOND: Final = 12.0
"""Text tokens for a second of speech, at most; and 16 more."""

SECONDS_PER_TOKEN: Final = 0.4
"""What a token of text is taken for where there is no recording to compare with."""


@dataclass(frozen=True, kw_only=True)
class TranslationLengths:
    """The lengths that a model has room for."""

    max_seq_len: int
    """The model's positions."""

    frame_rate: float
    """The codec's frames a second."""

    steps_per_frame: int
    """The positions that a frame of speech takes."""

    @property
    def max_seconds(self) -> float:
        """The longest recording that has room beside its translation."""
        return (self.max_seq_len / self._steps_per_second - 2.0) / (1.0 + MAX_LENGTH_RATIO)

    @property
    def max_text_tokens(self) -> int:
        """The longest text that has room beside what is made of it."""
        rate = self._steps_per_second

        return math.floor((self.max_seq_len - 2.0 * rate) / (1.0 + MAX_LENGTH_RATIO * SECONDS_PER_TOKEN * rate))

    def frames_of_text(self, num_tokens: int) -> int:
        """Returns the frames that a text is taken for."""
        return round(SECONDS_PER_TOKEN * num_tokens * self.frame_rate)

    def max_length(self, modality: Modality, num_frames: int) -> int:
        """Returns the frames, or tokens of text, at which what is made of ``num_frames`` is cut."""
        if modality is Modality.SPEECH:
            return math.ceil(MAX_LENGTH_RATIO * num_frames + self.frame_rate)

        return math.ceil(MAX_TEXT_PER_SECOND * num_frames / self.frame_rate) + 16

    @property
    def _steps_per_second(self) -> float:
        return self.frame_rate * self.steps_per_frame
