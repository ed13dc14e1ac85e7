"""Translates by parsing: what the demo world's grammar says that a Spanish sentence means."""

from __future__ import annotations

from codec_s2st.demo.grammar.rules import Grammar
from codec_s2st.demo.grammar.world import DEMO, english, load_world

_Result = tuple[int, tuple[str, ...]]


def translations(spa: str, *, world: str = DEMO) -> dict[str, set[str]]:
    """Returns the English translations of ``spa``, each with the names of the templates that give it.

    A sentence of that world has one, any other text has none.
    """
    words = spa.split()

    spoken_of = load_world(world)

    parser = _Parser(spoken_of.grammar, words)

    found: dict[str, set[str]] = {}

    for template in spoken_of.templates:
        for end, eng in parser.parse(template.symbol, 0):
            if end == len(words):
                found.setdefault(english(eng), set()).add(template.name)

    return found


class _Parser:
    def __init__(self, grammar: Grammar, words: list[str]) -> None:
        self._grammar = grammar
        self._words = words
        self._known: dict[tuple[str, int], set[_Result]] = {}

    def parse(self, symbol: str, begin: int) -> set[_Result]:
        """Returns where ``symbol`` may end if it begins at ``begin``, each time with its English words."""
        key = (symbol, begin)

        if key not in self._known:
            # No category contains itself, so the recursion ends.
            self._known[key] = {
                result
                for production in self._grammar.productions[symbol]
                for result in self._match(production.spa, production.eng, production.symbols, begin)
            }

        return self._known[key]

    def _match(
        self, spa: tuple[str | int, ...], eng: tuple[str | int, ...], symbols: tuple[str, ...], begin: int
    ) -> set[_Result]:
        partial: list[tuple[int, dict[int, tuple[str, ...]]]] = [(begin, {})]

        for part in spa:
            longer: list[tuple[int, dict[int, tuple[str, ...]]]] = []

            for position, slots in partial:
                if isinstance(part, int):
                    for end, words in self.parse(symbols[part], position):
                        longer.append((end, {**slots, part: words}))
                elif position < len(self._words) and self._words[position] == part:
                    longer.append((position + 1, slots))

            partial = longer

        results: set[_Result] = set()

        for end, slots in partial:
            meaning: tuple[str, ...] = ()

            for part in eng:
                meaning += slots[part] if isinstance(part, int) else (part,)

            results.add((end, meaning))

        return results
