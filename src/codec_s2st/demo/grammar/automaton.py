"""The English side of the grammar as a finite automaton: what the listener is told, and how sentences are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from codec_s2st.demo.grammar.rules import Grammar, Production
from codec_s2st.demo.grammar.world import DEMO, is_vowel_word, load_world

_Stack: TypeAlias = "tuple[str, _Stack] | None"
"""What is still to come: words, and symbols marked by ``<``."""


@dataclass(frozen=True)
class Automaton:
    """A deterministic, minimal, acyclic automaton over words; state 0 is the start."""

    arcs: tuple[Mapping[str, int], ...]
    """By state: the next state for each word."""

    finals: frozenset[int]

    def accepts(self, sentence: str) -> bool:
        state = 0

        for word in sentence.split():
            if word not in self.arcs[state]:
                return False

            state = self.arcs[state][word]

        return state in self.finals

    def words(self) -> list[str]:
        """Returns the vocabulary, sorted."""
        return sorted({word for arcs in self.arcs for word in arcs})

    def count(self, min_words: int, max_words: int) -> int:
        """Returns how many different sentences of ``min_words`` to ``max_words`` words there are."""
        total = 0

        reached = {0: 1}

        for num_words in range(max_words + 1):
            if num_words >= min_words:
                total += sum(ways for state, ways in reached.items() if state in self.finals)

            further: dict[int, int] = {}

            for state, ways in reached.items():
                for target in self.arcs[state].values():
                    further[target] = further.get(target, 0) + ways

            reached = further

        return total


@lru_cache(maxsize=8)
def english_automaton(world: str = DEMO) -> Automaton:
    """Returns the automaton of all English sentences, those of any length and of held-out templates included.

    :param world: The world's name.

    :raises UserInputError: No world has that name.
    """
    spoken_of = load_world(world)

    return build_automaton(spoken_of.grammar, [template.symbol for template in spoken_of.templates])


def build_automaton(grammar: Grammar, symbols: Iterable[str]) -> Automaton:
    """Returns the automaton of the English sentences derived from ``symbols``."""
    sides, names = _sides(grammar.productions)

    arcs: list[dict[str, int]] = []
    finals: set[int] = set()

    # States that accept the same are one: children are built first, then looked up.
    by_content: dict[tuple[bool, tuple[tuple[str, int], ...]], int] = {}
    by_stacks: dict[tuple[frozenset[_Stack], str], int] = {}

    def build(stacks: frozenset[_Stack], allowed: str) -> int:
        key = (stacks, allowed)

        if key in by_stacks:
            return by_stacks[key]

        is_final, followers = _read_word(stacks, sides)

        targets: dict[str, int] = {}

        for word, rest in sorted(followers.items()):
            if allowed and is_vowel_word(word) != (allowed == "vowel"):
                continue

            if word == "a":
                for article, kind in (("a", "consonant"), ("an", "vowel")):
                    if _leads_on(rest, kind):
                        targets[article] = build(rest, kind)
            else:
                targets[word] = build(rest, "")

        content = (is_final, tuple(targets.items()))

        if content not in by_content:
            by_content[content] = len(arcs)

            arcs.append(targets)

            if is_final:
                finals.add(by_content[content])

        by_stacks[key] = by_content[content]

        return by_stacks[key]

    def _leads_on(stacks: frozenset[_Stack], kind: str) -> bool:
        return any(is_vowel_word(word) == (kind == "vowel") for word in _read_word(stacks, sides)[1])

    start = build(frozenset((names[s], None) for s in symbols), "")

    # The start was made last; it becomes state 0.
    def swap(state: int) -> int:
        return {start: 0, 0: start}.get(state, state)

    arcs[0], arcs[start] = arcs[start], arcs[0]

    return Automaton(
        tuple({word: swap(target) for word, target in targets.items()} for targets in arcs),
        frozenset(swap(state) for state in finals),
    )


def _sides(
    productions: Mapping[str, tuple[Production, ...]],
) -> tuple[dict[str, tuple[tuple[str, ...], ...]], dict[str, str]]:
    """Returns the English rewritings of each distinct symbol, and the distinct symbol of each symbol.

    Symbols that differ in Spanish alone (by gender, say) become one.
    """
    sides: dict[str, tuple[tuple[str, ...], ...]] = {}

    names: dict[str, str] = {}

    by_content: dict[tuple[tuple[str, ...], ...], str] = {}

    def visit(symbol: str) -> str:
        if symbol not in names:
            content = tuple(
                sorted(
                    {
                        tuple(part if isinstance(part, str) else visit(p.symbols[part]) for part in p.eng)
                        for p in productions[symbol]
                    }
                )
            )

            names[symbol] = by_content.setdefault(content, f"<{symbol}")

            sides[names[symbol]] = content

        return names[symbol]

    for symbol in productions:
        visit(symbol)

    return sides, names


def _read_word(
    stacks: frozenset[_Stack], sides: Mapping[str, tuple[tuple[str, ...], ...]]
) -> tuple[bool, dict[str, frozenset[_Stack]]]:
    """Returns whether a sentence may end here, and what remains after each word that may come."""
    pending = list(stacks)

    seen = set(pending)

    is_final = False

    followers: dict[str, set[_Stack]] = {}

    while pending:
        stack = pending.pop()

        if stack is None:
            is_final = True

            continue

        top, rest = stack

        if not top.startswith("<"):
            followers.setdefault(top, set()).add(rest)

            continue

        for side in sides[top]:
            longer = rest

            for part in reversed(side):
                longer = (part, longer)

            if longer not in seen:
                seen.add(longer)

                pending.append(longer)

    return is_final, {word: frozenset(rests) for word, rests in followers.items()}
