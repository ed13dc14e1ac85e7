"""The worlds of the demo: their grammars, put together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from codec_s2st.demo.grammar import large_sentences, large_words, small
from codec_s2st.demo.grammar.lexicon import ADJECTIVES, NOUNS, WORDS
from codec_s2st.demo.grammar.numbers import number_rules
from codec_s2st.demo.grammar.phrases import PHRASES
from codec_s2st.demo.grammar.rules import Grammar, Part
from codec_s2st.demo.grammar.second_text import second_text_rules
from codec_s2st.demo.grammar.tables import Tables
from codec_s2st.demo.grammar.templates import HELD_OUT, QUESTIONS, STATEMENTS
from codec_s2st.demo.grammar.verbs import HELPERS, VERB_GROUPS, VERBS
from codec_s2st.errors import unknown_name

DEMO: Final = "demo"
"""The world of the shipped models and of published figures."""

WORLDS: Final = ("small", DEMO, "large")

_DEMO: Final = Tables(
    nouns=NOUNS,
    adjectives=ADJECTIVES,
    verbs=VERBS,
    verb_groups=VERB_GROUPS,
    rules=(WORDS, HELPERS, PHRASES),
    statements=STATEMENTS,
    questions=QUESTIONS,
    held_out=HELD_OUT,
)

_MORE: Final = Tables(
    nouns=large_words.NOUNS,
    adjectives=large_words.ADJECTIVES,
    verbs=large_words.VERBS,
    verb_groups=large_words.VERB_GROUPS,
    rules=(large_words.WORDS, "\n".join(number_rules()), large_sentences.PHRASES),
    statements=large_sentences.STATEMENTS,
    questions=large_sentences.QUESTIONS,
    held_out=large_sentences.HELD_OUT,
)


@dataclass(frozen=True, kw_only=True)
class Template:
    """One kind of sentence."""

    name: str

    symbol: str
    """The symbol of the grammar that stands for the whole sentence."""

    is_question: bool

    is_held_out: bool
    """Whether its sentences are in the split ``test-unseen-template`` alone."""

    reorders: bool
    """Whether the phrases of the sentence come in another order in English than in Spanish."""


@dataclass(frozen=True)
class World:
    """The grammar and what it is about."""

    grammar: Grammar

    templates: tuple[Template, ...]

    max_words: int = 9
    """The most English words of a sentence that is drawn."""

    def template(self, name: str) -> Template:
        """Returns the template called ``name``; raises ``KeyError`` if there is none."""
        for template in self.templates:
            if template.name == name:
                return template

        raise KeyError(name)


def load_world(name: str) -> World:
    """Returns the world called ``name``, one of ``WORLDS``; built at the first call (some 20 ms).

    :raises UserInputError: There is none.
    """
    if name not in WORLDS:
        raise unknown_name("world of the demo", name, WORLDS)

    return _load_world(name)


@lru_cache(maxsize=len(WORLDS))
def _load_world(name: str) -> World:
    if name == "small":
        return _restricted(build_world(_DEMO), small.TEMPLATES, small.ENGLISH_WORDS)

    return build_world(_DEMO) if name == DEMO else build_world(_DEMO, _MORE)


def _restricted(world: World, templates: Collection[str], eng_words: Collection[str]) -> World:
    return World(
        world.grammar.restricted(eng_words),
        tuple(template for template in world.templates if template.name in templates),
    )


@lru_cache(maxsize=1)
def second_text() -> World:
    """Returns the second domain of English text, as a world whose Spanish side is empty."""
    rules, sentences = second_text_rules()

    domain = build_world(Tables(rules=(rules,), statements=sentences))

    return replace(domain, max_words=14)


def build_world(*layers: Tables) -> World:
    """Returns the world whose rules are those of ``layers`` together."""
    sentences = [sentence for layer in layers for sentence in layer.sentence_rules()]

    rules = [rule for layer in layers for rule in layer.word_rules()]

    grammar = Grammar([*rules, *(f"S_{rule}" for rule, _ in sentences)])

    held_out = {name for layer in layers for name in layer.held_out}

    templates = []

    for rule, is_question in sentences:
        name = rule.partition(":")[0].strip()
        symbol = f"S_{name}"

        templates.append(
            Template(
                name=name,
                symbol=symbol,
                is_question=is_question,
                is_held_out=name in held_out,
                reorders=_reorders(grammar, symbol),
            )
        )

    return World(grammar, tuple(templates))


def english(words: Sequence[str]) -> str:
    """Joins English words, "a" turned into "an" where the next word needs it."""
    return " ".join(_articles(words))


def is_vowel_word(word: str) -> bool:
    """Returns whether "an" stands before ``word``. There is no "hour" and no "university" in the demo world."""
    return word[0] in "aeiou"


def _articles(words: Sequence[str]) -> Iterator[str]:
    for word, following in zip(words, [*words[1:], "."], strict=True):
        yield "an" if word == "a" and is_vowel_word(following) else word


def _reorders(grammar: Grammar, symbol: str) -> bool:
    production = grammar.productions[symbol][0]

    # A slot that is empty on one side has no place there (a dropped pronoun still has one).
    silent = {
        i
        for i, s in enumerate(production.symbols)
        if any(not p.spa or not p.eng for p in grammar.productions[s]) and not s.startswith("pron")
    }

    def order(side: tuple[Part, ...]) -> list[int]:
        return [part for part in side if isinstance(part, int) and part not in silent]

    return order(production.spa) != order(production.eng)
