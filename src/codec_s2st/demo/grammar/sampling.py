"""Draws sentences; keeps what is tested apart from what is trained on.

Whether a sentence is for training, validation or testing is decided by a hash of its English side, so that no list is
kept and every draw, of pairs and of text alone, agrees. All Spanish sentences with one translation stay together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from math import sqrt
from random import Random
from typing import Final

from codec_s2st.demo.grammar.rules import Grammar
from codec_s2st.demo.grammar.world import DEMO, Template, World, english, load_world, second_text
from codec_s2st.errors import UserInputError, unknown_name

SPLITS: Final = ("train", "valid", "test", "test-unseen-voice", "test-unseen-template")

MIN_WORDS: Final = 4

# In hundredths of all sentences; the rest is for training.
_NUM_TEST: Final = 3
_NUM_VALID: Final = 2

# A template with fewer sentences than this is drawn less often.
_FEW_SENTENCES: Final = 5_000

_MAX_MISSES: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A sentence in both languages: lower case, without punctuation."""

    id: str
    """Unique within a split, and the same wherever the sentence is drawn."""

    spa: str
    eng: str

    template: str

    is_question: bool

    def spoken(self, text: str) -> str:
        """Returns ``text``, one of the two sides, as it is given to a speech synthesiser."""
        return f"{text}?" if self.is_question else text


def sample_pairs(split: str, num: int, seed: int, *, world: str = DEMO) -> list[Pair]:
    """Draws ``num`` pairs of ``split``, all different in both languages.

    The first sentences of a longer draw are those of a shorter one. ``test`` and ``test-unseen-voice`` draw from the
    same sentences (they differ in voice), each in an order of its own.

    :param world: The world's name.

    :raises UserInputError: ``split`` or ``world`` is unknown, or the split does not hold ``num`` sentences.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)

    return _take(load_world(world), split, num, seed, split)


def sample_text(language: str, num: int, seed: int, *, world: str = DEMO) -> list[str]:
    """Draws ``num`` sentences of the training part in one language, for text-only training.

    :param language: ``spa`` or ``eng``.

    :raises UserInputError: The language is not of the demo world, or there are not ``num`` sentences.
    """
    if language not in ("spa", "eng"):
        raise unknown_name("language", language, ("spa", "eng"))

    pairs = _take(load_world(world), "train", num, seed, f"text-{language}")

    return [pair.spa if language == "spa" else pair.eng for pair in pairs]


def sample_text_pairs(num: int, seed: int, *, world: str = DEMO) -> list[Pair]:
    """Draws ``num`` pairs of the training part whose audio nobody hears, for training on parallel text."""
    return _take(load_world(world), "train", num, seed, "text-pairs")


def sample_second_text(num: int, seed: int, *, split: str = "train") -> list[str]:
    """Draws ``num`` different sentences of the second domain of English text, which has no translations.

    :param split: ``train``, ``valid`` or ``test``; no sentence is in two of them.

    :raises UserInputError: The domain has no such split, or there are not ``num`` sentences.
    """
    splits = ("train", "valid", "test")

    if split not in splits:
        raise unknown_name("split of the second text", split, splits)

    return [pair.eng for pair in _take(second_text(), split, num, seed, f"second-text-{split}")]


def split_of(eng: str, template: Template) -> str:
    """Returns the split of the sentence ``eng``, an English side made by ``template``.

    ``test`` stands for ``test-unseen-voice`` too.
    """
    if template.is_held_out:
        return "test-unseen-template"

    bucket = int.from_bytes(sha256(eng.encode()).digest()[:8], "big") % 100

    if bucket < _NUM_TEST:
        return "test"

    return "valid" if bucket < _NUM_TEST + _NUM_VALID else "train"


def _take(world: World, split: str, num: int, seed: int, stream: str) -> list[Pair]:
    if num < 0:
        raise UserInputError(f"the number of sentences is {num}, but it must be 0 or more")

    pairs: list[Pair] = []

    if num == 0:
        return pairs

    num_derivations = _num_derivations(world.grammar)

    # Else it is found out when memory is full of sentences.
    if num <= sum(num_derivations[template.symbol] for template in world.templates):
        for pair in _draw(world, split, seed, stream):
            pairs.append(pair)

            if len(pairs) == num:
                return pairs

    raise UserInputError(f"the split '{split}' of the demo world holds fewer than {num} different sentences")


def _draw(world: World, split: str, seed: int, stream: str) -> Iterator[Pair]:
    """Yields different pairs until new ones have become rare."""
    rng = Random(int.from_bytes(sha256(f"{stream}/{seed}".encode()).digest()[:8], "big"))

    part = "test" if split == "test-unseen-voice" else split

    templates = [t for t in world.templates if t.is_held_out == (split == "test-unseen-template")]

    num_derivations = _num_derivations(world.grammar)

    weights = [min(1.0, sqrt(num_derivations[t.symbol] / _FEW_SENTENCES)) for t in templates]

    bounds = [sum(weights[: i + 1]) for i in range(len(weights))]

    seen: set[str] = set()

    misses = 0

    while misses < _MAX_MISSES:
        misses += 1

        point = rng.random() * bounds[-1]

        template = templates[next((i for i, bound in enumerate(bounds) if point < bound), len(bounds) - 1)]

        spa, eng_words = _derive(world.grammar, template.symbol, rng)

        if not MIN_WORDS <= len(eng_words) <= world.max_words:
            continue

        eng = english(eng_words)

        if eng in seen or split_of(eng, template) != part:
            continue

        seen.add(eng)

        misses = 0

        text = " ".join(spa)

        digest = sha256(text.encode()).hexdigest()[:12]

        yield Pair(id=f"{split}-{digest}", spa=text, eng=eng, template=template.name, is_question=template.is_question)


def _derive(grammar: Grammar, symbol: str, rng: Random) -> tuple[list[str], list[str]]:
    productions = grammar.productions[symbol]

    # `random` alone: the only method of Random whose numbers are promised to stay.
    production = productions[int(rng.random() * len(productions))]

    parts = [_derive(grammar, s, rng) for s in production.symbols]

    spa: list[str] = []
    eng: list[str] = []

    for part in production.spa:
        spa += [part] if isinstance(part, str) else parts[part][0]

    for part in production.eng:
        eng += [part] if isinstance(part, str) else parts[part][1]

    return spa, eng


@lru_cache(maxsize=8)
def _num_derivations(grammar: Grammar) -> dict[str, int]:
    """Returns how many ways there are to derive a sentence from each symbol."""
    productions = grammar.productions

    counts: dict[str, int] = {}

    def count(symbol: str) -> int:
        if symbol not in counts:
            total = 0

            for production in productions[symbol]:
                ways = 1

                for s in production.symbols:
                    ways *= count(s)

                total += ways

            counts[symbol] = total

        return counts[symbol]

    for symbol in productions:
        count(symbol)

    return counts
