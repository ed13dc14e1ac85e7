"""What is made of a text before it is compared. A score without the name of its normaliser says little."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_APOSTROPHES: Final = frozenset("'’‘ʼ`´")


@dataclass(frozen=True)
class Normaliser:
    """A function from text to text with the name that goes into reports."""

    name: str
    """Changes whenever the function does, so that scores of different versions are not compared by mistake."""

    function: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return self.function(text)


def _basic(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()

    characters = []

    for character in text:
        # Within a word: "don't" stays one word.
        if character in _APOSTROPHES:
            continue

        is_punctuation = unicodedata.category(character)[0] in "PS"

        characters.append(" " if is_punctuation else character)

    return " ".join("".join(characters).split())


BASIC: Final = Normaliser("basic-1", _basic)
"""Unicode NFKC, lower case, apostrophes dropped, other punctuation and symbols to blanks, blanks collapsed."""

NORMALISERS: Final = {normaliser.name: normaliser for normaliser in (BASIC,)}
