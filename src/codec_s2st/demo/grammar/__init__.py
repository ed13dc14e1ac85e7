"""The two languages of the demo world: a synchronous Spanish-English grammar.

The words are in ``lexicon`` and ``verbs``, the phrases in ``phrases``, the sentences in ``templates``; the notation is
explained in ``rules``. Text is lower case without punctuation: Spanish with its accents, English in ASCII.
"""

from __future__ import annotations

from codec_s2st.demo.grammar.automaton import Automaton as Automaton
from codec_s2st.demo.grammar.automaton import english_automaton as english_automaton
from codec_s2st.demo.grammar.parser import translations as translations
from codec_s2st.demo.grammar.sampling import SPLITS as SPLITS
from codec_s2st.demo.grammar.sampling import Pair as Pair
from codec_s2st.demo.grammar.sampling import sample_pairs as sample_pairs
from codec_s2st.demo.grammar.sampling import sample_second_text as sample_second_text
from codec_s2st.demo.grammar.sampling import sample_text as sample_text
from codec_s2st.demo.grammar.sampling import sample_text_pairs as sample_text_pairs
from codec_s2st.demo.grammar.world import DEMO as DEMO
from codec_s2st.demo.grammar.world import WORLDS as WORLDS
from codec_s2st.demo.grammar.world import load_world as load_world
