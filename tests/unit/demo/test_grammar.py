from __future__ import annotations

import re

import pytest

from codec_s2st.demo.grammar import (
    SPLITS,
    english_automaton,
    sample_pairs,
    sample_text,
    sample_text_pairs,
    translations,
)
from codec_s2st.demo.grammar.automaton import build_automaton
from codec_s2st.demo.grammar.rules import Grammar
from codec_s2st.demo.grammar.world import english, load_world
from codec_s2st.errors import UserInputError


def test_it_is_as_large_as_promised() -> None:
    pairs = sample_pairs("train", 20_000, seed=0)

    assert len({word for pair in pairs for word in pair.spa.split()}) >= 120
    assert len({word for pair in pairs for word in pair.eng.split()}) >= 120

    templates = load_world("demo").templates

    assert len(templates) >= 40
    assert sum(template.reorders for template in templates) >= 10

    assert english_automaton().count(4, 9) > 1_000_000


def test_every_template_is_drawn() -> None:
    drawn = {pair.template for pair in sample_pairs("train", 20_000, seed=1)}
    held_out = {pair.template for pair in sample_pairs("test-unseen-template", 2_000, seed=1)}

    assert drawn == {t.name for t in load_world("demo").templates if not t.is_held_out}
    assert held_out == {t.name for t in load_world("demo").templates if t.is_held_out}


@pytest.mark.parametrize("split", SPLITS)
def test_a_sentence_has_one_translation_from_one_template(split: str) -> None:
    for pair in sample_pairs(split, 150, seed=2):
        assert translations(pair.spa) == {pair.eng: {pair.template}}


def test_every_template_is_unambiguous() -> None:
    seen: dict[str, int] = {}

    for pair in sample_pairs("train", 6_000, seed=3):
        seen[pair.template] = seen.get(pair.template, 0) + 1

        if seen[pair.template] <= 12:
            assert translations(pair.spa) == {pair.eng: {pair.template}}


def test_text_has_the_promised_form() -> None:
    for split in SPLITS:
        for pair in sample_pairs(split, 200, seed=4):
            assert re.fullmatch(r"[a-záéíóúñ]+( [a-záéíóúñ]+)*", pair.spa)
            assert re.fullmatch(r"[a-z']+( [a-z']+)*", pair.eng)
            assert 4 <= len(pair.eng.split()) <= 9


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


def test_a_draw_stays_what_it_is() -> None:
    # Whoever changes the grammar changes this, and knows that shipped models must be trained anew.
    assert [(pair.id, pair.spa, pair.eng) for pair in sample_pairs("test", 1, seed=7)] == [
        ("test-ba5745a78f8c", "nos gustan las flores blancas", "we like the white flowers")
    ]


def test_what_is_tested_is_in_no_training_data() -> None:
    train = {pair.eng for pair in sample_pairs("train", 6_000, seed=8)}
    train |= {pair.eng for pair in sample_text_pairs(6_000, seed=8)}
    train |= set(sample_text("eng", 6_000, seed=8))

    train_spa = {pair.spa for pair in sample_pairs("train", 6_000, seed=9)}
    train_spa |= set(sample_text("spa", 6_000, seed=9))

    for split in ("valid", "test", "test-unseen-voice", "test-unseen-template"):
        for pair in sample_pairs(split, 400, seed=10):
            assert pair.eng not in train
            assert pair.spa not in train_spa

    valid = {pair.eng for pair in sample_pairs("valid", 400, seed=11)}

    assert valid.isdisjoint(pair.eng for pair in sample_pairs("test", 400, seed=11))


def test_held_out_templates_use_known_words_only() -> None:
    known = {word for pair in sample_pairs("train", 20_000, seed=12) for word in (pair.spa + " " + pair.eng).split()}

    for pair in sample_pairs("test-unseen-template", 500, seed=12):
        assert known.issuperset((pair.spa + " " + pair.eng).split())


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
