"""What a world of the demo is written down in: words, phrases and sentences, as text; and the rules they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from codec_s2st.demo.grammar.lexicon import adjective_rules, noun_rules, rule_lines
from codec_s2st.demo.grammar.verbs import verb_rules


@dataclass(frozen=True, kw_only=True)
class Tables:
    """One layer of a world; a world is made of one or more, whose rules are put together."""

    nouns: Mapping[str, str] = field(default_factory=dict)
    """By category; see :mod:`codec_s2st.demo.grammar.lexicon`."""

    adjectives: Mapping[str, str] = field(default_factory=dict)

    verbs: str = ""
    """See :mod:`codec_s2st.demo.grammar.verbs`."""

    verb_groups: Mapping[str, str] = field(default_factory=dict)

    rules: tuple[str, ...] = ()
    """Closed classes, helpers and phrases, in the notation of :mod:`codec_s2st.demo.grammar.rules`."""

    statements: str = ""

    questions: str = ""

    held_out: frozenset[str] = frozenset()
    """The templates of the split ``test-unseen-template`` alone: their words are all in other templates."""

    def word_rules(self) -> Iterator[str]:
        """Yields all rules but those of sentences."""
        yield from noun_rules(self.nouns)
        yield from adjective_rules(self.adjectives)

        yield from verb_rules(self.verbs, self.verb_groups)

        for text in self.rules:
            yield from rule_lines(text)

    def sentence_rules(self) -> Iterator[tuple[str, bool]]:
        """Yields the rule of each template, and whether its sentences are questions."""
        yield from ((rule, False) for rule in rule_lines(self.statements))
        yield from ((rule, True) for rule in rule_lines(self.questions))
