"""The phonemes of the demo world, as numbers. Legend: K phoneme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from codec_s2st.data.alignment import TimedSpan
from codec_s2st.demo.espeak import SAMPLE_RATE

# By espeak-ng's names, without stress.
_NAMES: Final = (
    "** 0 3 3: ; @ @- @2 @L A: A@ B D E I I# I2 J^ N O2 O: O@ OI Q R2 S T U U@ V a a# aI aI3 aU aa b d dZ e "
    "e@ eI eU f g h i i: i@ i@3 j k l l^ m n n^ o o@ oI oU p r r- s t t# t2 tS u u: v w x z"
)

SILENCE: Final = 0

_NUMBERS: Final = {name: number for number, name in enumerate(_NAMES.split(), start=SILENCE + 1)}

NUM_PHONEMES: Final = 1 + len(_NUMBERS)
"""Silence, which is also what an unknown name counts as, is one of them."""

_STRESS_MARKS: Final = "',%="


def number_phonemes(spans: Sequence[TimedSpan]) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Returns at which samples phonemes begin, and their numbers below :data:`NUM_PHONEMES`.

    :param spans: As :func:`~codec_s2st.demo.espeak.synthesise_timed` returns them.

    :returns: *Shape:* [K] and [K].
    """
    begins = np.array([round(span.start * SAMPLE_RATE) for span in spans], dtype=np.int32)

    numbers = [_NUMBERS.get(span.text.lstrip(_STRESS_MARKS), SILENCE) for span in spans]

    return begins, np.array(numbers, dtype=np.int16)
