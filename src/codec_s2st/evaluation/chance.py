"""The baseline of knowing the kind of sentence and nothing else: each item answered by another item's reference."""

from __future__ import annotations

from random import Random


def derangement(size: int, seed: int) -> list[int]:
    """Returns a random permutation of 0 .. ``size`` - 1 that leaves nothing in its place (one cycle; Sattolo).

    :raises ValueError: ``size`` is 1, for which there is none.
    """
    if size == 1:
        raise ValueError("One item cannot be exchanged with another.")

    random = Random(seed)

    items = list(range(size))

    for i in range(size - 1, 0, -1):
        # Never i itself: that is what keeps the permutation a single cycle.
        j = random.randrange(i)

        items[i], items[j] = items[j], items[i]

    return items
