"""Back-off language models of the demo world's English, in the ARPA format that PocketSphinx reads."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import log10
from typing import Final

_BEGIN: Final = "<s>"
_END: Final = "</s>"

# Taken off the count of each seen pair of words, and given to the pairs that were not seen.
_DISCOUNT: Final = 0.75

_NEVER: Final = -99.0


def arpa_lines(sentences: Iterable[str], words: Sequence[str], *, order: int) -> Iterator[str]:
    """Yields the lines of a model in which every sequence of ``words`` is possible.

    :param sentences: What frequencies are counted in.
    :param words: The vocabulary.
    :param order: 1 for the words' own frequencies, 2 for those of pairs of words too.

    :raises ValueError: ``order`` is another number, or a sentence has a word that is not in ``words``.
    """
    if order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2, but is {order}")

    counts = Counter(dict.fromkeys((*words, _END), 1))

    followers: defaultdict[str, Counter[str]] = defaultdict(Counter)

    for sentence in sentences:
        tokens = [*sentence.split(), _END]

        if not counts.keys() >= set(tokens):
            raise ValueError(f"the sentence '{sentence}' has a word that is not in the vocabulary")

        counts.update(tokens)

        for first, second in zip([_BEGIN, *tokens], tokens, strict=False):
            followers[first][second] += 1

    total = counts.total()

    probabilities = {word: count / total for word, count in counts.items()}

    pairs = [(a, b) for a in sorted(followers) for b in sorted(followers[a])] if order == 2 else []

    yield f"\\data\\\nngram 1={len(counts) + 1}\n"

    if pairs:
        yield f"ngram 2={len(pairs)}\n"

    yield "\n\\1-grams:\n"

    yield f"{_NEVER} {_BEGIN} {_back_off(followers[_BEGIN], probabilities, order):.4f}\n"

    for word in sorted(probabilities):
        yield f"{log10(probabilities[word]):.4f} {word} {_back_off(followers[word], probabilities, order):.4f}\n"

    if pairs:
        yield "\n\\2-grams:\n"

    for first, second in pairs:
        probability = (followers[first][second] - _DISCOUNT) / followers[first].total()

        yield f"{log10(probability):.4f} {first} {second}\n"

    yield "\n\\end\\\n"


def _back_off(followers: Counter[str], probabilities: dict[str, float], order: int) -> float:
    """Returns the logarithm of the weight of the words that were not seen after a word."""
    if order == 1 or not followers:
        return 0.0

    freed = _DISCOUNT * len(followers) / followers.total()

    unseen = 1.0 - sum(probabilities[word] for word in followers)

    return log10(freed / unseen)
