from __future__ import annotations

import re

import pytest

from codec_s2st.demo.grammar import WORLDS, english_automaton, sample_second_text
from codec_s2st.demo.grammar.automaton import build_automaton
from codec_s2st.demo.grammar.world import second_text
from codec_s2st.errors import UserInputError


def test_it_has_words_and_sentences_enough() -> None:
    domain = second_text()

    automaton = build_automaton(domain.grammar, [template.symbol for template in domain.templates])

    assert len(automaton.words()) >= 150

    assert automaton.count(4, 14) > 500_000


def test_its_sentences_are_in_no_world() -> None:
    automata = [english_automaton(world) for world in WORLDS]

    for text in sample_second_text(2_000, seed=1):
        assert re.fullmatch(r"[a-z]+( [a-z]+)*", text) and 4 <= len(text.split()) <= 14

        assert not any(automaton.accepts(text) for automaton in automata)


def test_its_splits_share_nothing_and_a_longer_draw_begins_like_a_shorter_one() -> None:
    train = sample_second_text(5_000, seed=3)

    assert train[:100] == sample_second_text(100, seed=3) and len(set(train)) == 5_000

    for split in ("valid", "test"):
        assert set(sample_second_text(300, seed=4, split=split)).isdisjoint(train)


def test_the_rest_of_a_sentence_follows_from_its_beginning() -> None:
    texts = sample_second_text(5_000, seed=5)

    assert not [t for t in texts if re.search("the (onions|peas|beans) .* (it|it is)$", t)]
    assert not [t for t in texts if re.search("the (lamb|salmon|dough) .* them", t)]


def test_its_words_are_spelt_by_the_demos_tokenizer() -> None:
    from sentencepiece import SentencePieceProcessor

    from codec_s2st.share import assets_dir

    tokenizer = SentencePieceProcessor(str(assets_dir() / "tokenizers" / "demo_tokenizer.model"))

    for text in sample_second_text(1_000, seed=6):
        assert tokenizer.unk_id() not in tokenizer.encode(text)


def test_what_it_lacks_is_refused() -> None:
    with pytest.raises(UserInputError, match="test-unseen-voice"):
        sample_second_text(1, seed=0, split="test-unseen-voice")
