"""The world ``small``: some templates of ``demo``, and of its words a few; nothing is in it that is not in ``demo``."""

from __future__ import annotations

from typing import Final

TEMPLATES: Final = frozenset(
    """
    get own go got not_get not_own will_get can act_place thing_is person_is where_is where_act
    """.split()
)

ENGLISH_WORDS: Final = frozenset(
    """
    i you he she we the a an my your this
    boy girl brother sister friend doctor john anna
    book letter key table shirt car house
    park school market kitchen
    red black white new old tall young very
    buy buys bought see sees saw have has want wants
    work works dance dances go goes do does not will can
    am is are where in to two three yesterday tomorrow
    """.split()
)
"""A rule is kept if all its English words are here."""
