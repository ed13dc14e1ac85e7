"""The demo world's grammar, put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from codec_s2st.demo.grammar.lexicon import adjective_rules, noun_rules, rule_lines, word_rules
from codec_s2st.demo.grammar.phrases import PHRASES
from codec_s2st.demo.grammar.rules import Grammar, Part
from codec_s2st.demo.grammar.templates import HELD_OUT, QUESTIONS, STATEMENTS
from codec_s2st.demo.grammar.verbs import HELPERS, verb_rules


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

    def template(self, name: str) -> Template:
        """Returns the template called ``name``; raises ``KeyError`` if there is none."""
        for template in self.templates:
            if template.name == name:
                return template

        raise KeyError(name)


@lru_cache(maxsize=1)
def world() -> World:
    """Returns the grammar and its templates; built at the first call (some 20 ms)."""
    rules = [*noun_rules(), *adjective_rules(), *word_rules(), *verb_rules()]

    rules += [*rule_lines(HELPERS), *rule_lines(PHRASES)]

    sentences = [(rule, False) for rule in rule_lines(STATEMENTS)] + [(rule, True) for rule in rule_lines(QUESTIONS)]

    grammar = Grammar([*rules, *(f"S_{rule}" for rule, _ in sentences)])

    templates = []

    for rule, is_question in sentences:
        name = rule.partition(":")[0].strip()
        symbol = f"S_{name}"

        templates.append(
            Template(
                name=name,
                symbol=symbol,
                is_question=is_question,
                is_held_out=name in HELD_OUT,
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
