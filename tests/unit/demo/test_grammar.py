from __future__ import annotations

import pytest

from codec_s2st.demo.grammar import (
    SPLITS,
    english_automaton,
    sample_pairs,
    sample_text,
    translations,
)
from codec_s2st.demo.grammar.automaton import build_automaton
from codec_s2st.demo.grammar.rules import Grammar
from codec_s2st.demo.grammar.world import english, load_world
from codec_s2st.errors import UserInputError


def test_known_sentences() -> None:
    expected = {
        "la niña compra un libro viejo": "the girl buys an old book",
        "a mi hermana le gusta el queso": "my sister likes cheese",
        "me gustan las flores rojas": "i like the red flowers",
        "tú no tienes dos casas": "you do not have two houses",
        "dónde trabaja el médico": "where does the doctor work",
        "ayer ana me dio una carta": "anna gave me a letter yesterday",
        "el coche de juan está en la ciudad": "john's car is in the city",
        "ellas lo venden en el mercado": "they sell it in the market",
        "tenemos hambre ahora": "we are hungry now",
        "busqué mis llaves la semana pasada": None,
    }

    for spa, eng in expected.items():
        assert set(translations(spa)) == ({eng} if eng else set())


def test_draws_are_repeatable_and_prefixes_of_longer_ones() -> None:
    pairs = sample_pairs("train", 300, seed=5)

    assert pairs == sample_pairs("train", 300, seed=5)
    assert pairs[:100] == sample_pairs("train", 100, seed=5)
    assert pairs != sample_pairs("train", 300, seed=6)

    assert len({pair.id for pair in pairs}) == len({pair.spa for pair in pairs}) == len({p.eng for p in pairs}) == 300


def test_impossible_draws_are_refused() -> None:
    with pytest.raises(UserInputError, match="did you mean 'train'"):
        sample_pairs("trian", 1, seed=0)

    with pytest.raises(UserInputError, match="-1"):
        sample_pairs("train", -1, seed=0)

    with pytest.raises(UserInputError, match="unknown language 'fra'"):
        sample_text("fra", 1, seed=0)

    assert sample_pairs("train", 0, seed=0) == []


def test_the_automaton_accepts_the_grammar_and_nothing_else() -> None:
    automaton = english_automaton()

    for split in SPLITS:
        assert all(automaton.accepts(pair.eng) for pair in sample_pairs(split, 200, seed=13))

    assert automaton.accepts("i buy an old car")

    for wrong in ("i buy a old car", "i buy an red car", "he buy the car", "the the car", "i buy", ""):
        assert not automaton.accepts(wrong)


def test_the_automaton_counts_sentences() -> None:
    automaton = build_automaton(load_world("demo").grammar, ["S_age"])

    # By hand: subject, "is", nine numbers, "years old". A pronoun is one word.
    assert automaton.count(5, 5) == 9 * (len(["i", "you", "he", "she", "we", "they"]) + len(world_names()))


def world_names() -> list[str]:
    grammar = load_world("demo").grammar

    return [str(p.eng[0]) for gender in "mf" for p in grammar.productions[f"Name.{gender}"]]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["A : uno one"], "needs one '=>'"),
        (["A : {B} => {B}"], "no rule rewrites 'B'"),
        (["A.g : uno => one", "A : dos => two"], "has 1 features"),
        (["A : un@ => one"], "neither a word nor a slot"),
    ],
)
def test_malformed_rules_are_refused(rules: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grammar(rules)


def test_articles() -> None:
    assert english(["a", "old", "car", "and", "a", "red", "car"]) == "an old car and a red car"
