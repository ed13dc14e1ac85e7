"""A synchronous grammar: the engine behind the demo world's two languages.

A rule rewrites a category into Spanish and English at once::

    NP.g.n : {el.g.n} {Thing.g.n} {Colour.g.n} => {el} {Colour} {Thing}

``{Thing.g.n}`` is a slot: the category ``Thing`` with features. A feature is a value (``m f`` gender, ``s p`` number,
``1 2 3`` person) or a variable (``g h`` gender, ``n k`` number, ``x y`` person), and a variable has the same value
everywhere in its rule: that is how words agree. A digit at the end of a slot's name tells two slots of one category
apart (``{Thing2.h.k}``). The English side names slots without features. A slot on one side only (Spanish articles, the
English "do") must be empty on the other side. Alternatives are parted by ``|``.

:class:`Grammar` expands the variables, after which a category is a plain symbol such as ``Thing.f.s``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

Part: TypeAlias = "str | int"
"""A word, or the index of a slot."""

_DOMAINS: Final = {"g": "mf", "h": "mf", "n": "sp", "k": "sp", "x": "123", "y": "123"}

_SLOT: Final = re.compile(r"\{([A-Za-zñ_]+)(\d?)((?:\.\w)*)\}")


@dataclass(frozen=True)
class Production:
    """One way to rewrite a symbol, without variables."""

    spa: tuple[Part, ...]
    eng: tuple[Part, ...]

    symbols: tuple[str, ...]
    """What the slots stand for; every slot is on both sides exactly once."""


class Grammar:
    """The productions of every symbol."""

    def __init__(self, rules: Iterable[str]) -> None:
        """
        :param rules: Lines ``CATEGORY : spanish => english | spanish => english``.

        :raises ValueError: A rule is malformed, or names a category that no rule rewrites.
        """
        expanded: dict[str, list[Production]] = {}

        arity: dict[str, int] = {}

        for rule in rules:
            head, _, body = rule.partition(":")

            name, *features = head.strip().split(".")

            if arity.setdefault(name, len(features)) != len(features):
                raise ValueError(f"category '{name}' has {arity[name]} features, but not in the rule '{rule}'")

            for alternative in body.split("|"):
                for symbol, production in _expand(head.strip(), alternative, rule):
                    productions = expanded.setdefault(symbol, [])

                    if production not in productions:
                        productions.append(production)

        for productions in expanded.values():
            for symbol in {s for production in productions for s in production.symbols}:
                name, *features = symbol.split(".")

                if arity.get(name) != len(features):
                    raise ValueError(f"no rule rewrites '{symbol}', used in the grammar")

        self.productions: Mapping[str, tuple[Production, ...]] = _prune(expanded)

    def restricted(self, eng_words: Collection[str]) -> Grammar:
        """Returns the part of the grammar whose English side has these words alone."""
        part = copy(self)

        part.productions = _prune(
            {
                symbol: [p for p in productions if all(isinstance(part, int) or part in eng_words for part in p.eng)]
                for symbol, productions in self.productions.items()
            }
        )

        return part


def _expand(head: str, alternative: str, rule: str) -> Iterator[tuple[str, Production]]:
    """Yields the symbol and the production for every assignment of the variables."""
    sides = alternative.split("=>")

    if len(sides) != 2:
        raise ValueError(f"the rule '{rule}' needs one '=>' in each alternative")

    slots: dict[str, str] = {}

    spa = _parse_side(sides[0], slots)
    eng = _parse_side(sides[1], slots)

    labels = list(slots)

    for missing_from in (spa, eng):
        missing_from += [part for part in (f"{{{label}}}" for label in labels) if part not in missing_from]

    features = {f for text in (head, *slots.values()) for f in text.split(".")[1:]}

    variables = sorted(features & _DOMAINS.keys())

    for values in product(*(_DOMAINS[v] for v in variables)):
        binding = dict(zip(variables, values, strict=True))

        production = Production(
            tuple(_part(part, labels) for part in spa),
            tuple(_part(part, labels) for part in eng),
            tuple(_bind(symbol, binding) for symbol in slots.values()),
        )

        yield _bind(head, binding), production


def _parse_side(side: str, slots: dict[str, str]) -> list[str]:
    """Returns the parts of ``side``, slots as ``{label}``; notes the symbol of each new slot in ``slots``."""
    parts: list[str] = []

    for token in side.split():
        match = _SLOT.fullmatch(token)

        if match is None:
            if not token.isalpha() and "'" not in token:
                raise ValueError(f"'{token}' is neither a word nor a slot")

            parts.append(token)
        else:
            name, number, features = match.groups()

            slots.setdefault(name + number, name + features)

            parts.append(f"{{{name}{number}}}")

    return parts


def _part(part: str, labels: list[str]) -> Part:
    return labels.index(part[1:-1]) if part.startswith("{") else part


def _bind(symbol: str, binding: Mapping[str, str]) -> str:
    name, *features = symbol.split(".")

    return ".".join([name, *(binding.get(f, f) for f in features)])


def _prune(expanded: Mapping[str, list[Production]]) -> dict[str, tuple[Production, ...]]:
    """Drops productions that cannot end, such as those in the second person plural, which no verb has."""
    kept = {symbol: tuple(productions) for symbol, productions in expanded.items()}

    while True:
        smaller = {
            symbol: tuple(p for p in productions if all(s in kept for s in p.symbols))
            for symbol, productions in kept.items()
        }

        smaller = {symbol: productions for symbol, productions in smaller.items() if productions}

        if smaller == kept:
            return kept

        kept = smaller
