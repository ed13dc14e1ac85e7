"""What is made of a text before it is compared. A score without the name of its normaliser says little."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codec_s2st.errors import UserInputError, unknown_name

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

WHISPER_BASIC: Final = "whisper-basic"

WHISPER_ENGLISH: Final = "whisper-english"


def find_normaliser(name: str) -> Normaliser:
    """Returns the normaliser of a name: ``basic-1``, ``whisper-basic`` or ``whisper-english[:FILE]``.

    The latter two are those of Whisper's authors, as transformers ships them; the English one spells numbers as digits
    and, with FILE (``normalizer.json`` of any of Whisper's tokenizers), British words as American ones. What stands
    behind the name in brackets, as in reports, is left out.

    :raises UserInputError: there is no such normaliser or file, or ``name`` says another version than there is.
    """
    wanted, bracket, _ = name.partition(" (")

    family, colon, file = wanted.partition(":")

    if wanted == BASIC.name:
        found = BASIC
    elif wanted == WHISPER_BASIC:
        found = _whisper_basic()
    elif family == WHISPER_ENGLISH and bool(colon) == bool(file):
        found = _whisper_english(file)
    else:
        known = [BASIC.name, WHISPER_BASIC, WHISPER_ENGLISH, f"{WHISPER_ENGLISH}:FILE"]

        raise unknown_name("normaliser", name, known)

    if bracket and found.name != name:
        raise UserInputError(f"normaliser '{name}' is not what there is: '{found.name}'", hint="evaluate again")

    return found


def _whisper_basic() -> Normaliser:
    import transformers
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return Normaliser(f"{WHISPER_BASIC} (transformers {transformers.__version__})", _joined(BasicTextNormalizer()))


def _whisper_english(file: str) -> Normaliser:
    import transformers
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    from codec_s2st.file_hashes import sha256_of_file

    spellings: dict[str, str] = {}

    name, remark = WHISPER_ENGLISH, ", no spellings"

    if file:
        path = Path(file)

        try:
            spellings = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as ex:
            raise UserInputError(
                f"the spellings '{file}' of normaliser '{WHISPER_ENGLISH}' cannot be read: {ex}",
                hint="normalizer.json of a Whisper tokenizer",
            ) from None

        if not isinstance(spellings, dict):
            raise UserInputError(
                f"the spellings '{file}' are no mapping", hint="normalizer.json of a Whisper tokenizer"
            )

        name, remark = f"{WHISPER_ENGLISH}:{file}", f", sha256 {sha256_of_file(path)[:12]}"

    return Normaliser(
        f"{name} (transformers {transformers.__version__}{remark})", _joined(EnglishTextNormalizer(spellings))
    )


def _joined(function: Callable[[str], str]) -> Callable[[str], str]:
    # Theirs leave blanks at the ends.
    return lambda text: " ".join(function(text).split())
