"""What holds for every world of the demo."""

from __future__ import annotations

import re

import pytest

from codec_s2st.demo.grammar import (
    SPLITS,
    WORLDS,
    english_automaton,
    load_world,
    sample_pairs,
    sample_text,
    sample_text_pairs,
    translations,
)
from codec_s2st.demo.grammar.large_words import ADJECTIVES, NOUNS, VERBS
from codec_s2st.demo.grammar.lexicon import ADJECTIVES as DEMO_ADJECTIVES
from codec_s2st.demo.grammar.lexicon import NOUNS as DEMO_NOUNS
from codec_s2st.demo.grammar.verbs import VERBS as DEMO_VERBS
from codec_s2st.errors import UserInputError

in_every_world = pytest.mark.parametrize("world", WORLDS)


def _words(world: str, *, held_out: bool) -> set[str]:
    """Returns the words of both languages that sentences of held-out templates, or of the others, can have."""
    grammar = load_world(world).grammar

    pending = [t.symbol for t in load_world(world).templates if t.is_held_out == held_out]

    seen = set(pending)

    words: set[str] = set()

    while pending:
        for production in grammar.productions[pending.pop()]:
            words.update(part for part in production.spa + production.eng if isinstance(part, str))

            pending += set(production.symbols) - seen

            seen.update(production.symbols)

    return words


@in_every_world
def test_it_is_as_large_as_promised(world: str) -> None:
    templates = load_world(world).templates

    automaton = english_automaton(world)

    num_words, num_templates, num_sentences = {
        "small": (60, 12, 50_000),
        "demo": (200, 80, 10_000_000),
        "large": (600, 150, 20_000_000_000),
    }[world]

    assert num_words <= len(automaton.words()) < 1.2 * num_words
    assert num_templates <= len(templates) < 1.2 * num_templates
    assert num_sentences <= automaton.count(4, 9) < 2 * num_sentences

    assert sum(template.is_held_out for template in templates) >= {"small": 2, "demo": 5, "large": 10}[world]
    assert sum(template.reorders for template in templates) >= len(templates) // 5


def test_the_large_one_has_enough_base_words() -> None:
    tables = [*DEMO_NOUNS.values(), *NOUNS.values(), *DEMO_ADJECTIVES.values(), *ADJECTIVES.values(), DEMO_VERBS, VERBS]

    lines = [re.sub(r"^ *[mf] ", "", line) for table in tables for line in table.strip().splitlines()]

    base = {line.split()[0].split("/")[0] for line in lines}

    for category in ("Weekday", "Month", "Simple", "Tens", "Hundreds.m"):
        base |= {str(part) for p in load_world("large").grammar.productions[category] for part in p.spa}

    assert len(base) >= 300


@in_every_world
def test_every_template_is_drawn(world: str) -> None:
    drawn = {pair.template for pair in sample_pairs("train", 10_000, seed=1, world=world)}
    held_out = {pair.template for pair in sample_pairs("test-unseen-template", 200, seed=1, world=world)}

    templates = load_world(world).templates

    assert drawn == {t.name for t in templates if not t.is_held_out}
    assert held_out == {t.name for t in templates if t.is_held_out}


@in_every_world
def test_a_sentence_has_one_translation_from_one_template(world: str) -> None:
    for split in SPLITS:
        for pair in sample_pairs(split, 100, seed=2, world=world):
            assert translations(pair.spa, world=world) == {pair.eng: {pair.template}}


@in_every_world
def test_every_template_is_unambiguous(world: str) -> None:
    seen: dict[str, int] = {}

    for pair in sample_pairs("train", 4_000, seed=3, world=world):
        seen[pair.template] = seen.get(pair.template, 0) + 1

        if seen[pair.template] <= 6:
            assert translations(pair.spa, world=world) == {pair.eng: {pair.template}}


@in_every_world
def test_text_has_the_promised_form(world: str) -> None:
    for split in SPLITS:
        for pair in sample_pairs(split, 100, seed=4, world=world):
            assert re.fullmatch(r"[a-záéíóúñ]+( [a-záéíóúñ]+)*", pair.spa)
            assert re.fullmatch(r"[a-z']+( [a-z']+)*", pair.eng)
            assert 4 <= len(pair.eng.split()) <= 9

            assert english_automaton(world).accepts(pair.eng)


@in_every_world
def test_a_draw_stays_what_it_is(world: str) -> None:
    # Whoever changes the grammar changes this, and knows that shipped models must be trained anew.
    expected = {
        "small": [("test-3619636db7b2", "no veo la llave", "i do not see the key")],
        "demo": [("test-ba5745a78f8c", "nos gustan las flores blancas", "we like the white flowers")],
        "large": [("test-feda2994753f", "la guitarra amarilla es marrón", "the yellow guitar is brown")],
    }[world]

    assert [(pair.id, pair.spa, pair.eng) for pair in sample_pairs("test", 1, seed=7, world=world)] == expected


@in_every_world
def test_what_is_tested_is_in_no_training_data(world: str) -> None:
    train = {pair.eng for pair in sample_pairs("train", 3_000, seed=8, world=world)}
    train |= {pair.eng for pair in sample_text_pairs(3_000, seed=8, world=world)}
    train |= set(sample_text("eng", 3_000, seed=8, world=world))

    train_spa = {pair.spa for pair in sample_pairs("train", 3_000, seed=9, world=world)}
    train_spa |= set(sample_text("spa", 3_000, seed=9, world=world))

    for split in ("valid", "test", "test-unseen-voice", "test-unseen-template"):
        for pair in sample_pairs(split, 100, seed=10, world=world):
            assert pair.eng not in train
            assert pair.spa not in train_spa

    valid = {pair.eng for pair in sample_pairs("valid", 100, seed=11, world=world)}

    assert valid.isdisjoint(pair.eng for pair in sample_pairs("test", 100, seed=11, world=world))


@in_every_world
def test_held_out_templates_use_known_words_only(world: str) -> None:
    assert _words(world, held_out=True) <= _words(world, held_out=False)


@in_every_world
def test_its_listener_knows_all_words(world: str) -> None:
    pytest.importorskip("pocketsphinx")

    from pocketsphinx import get_model_path

    with open(f"{get_model_path()}/en-us/cmudict-en-us.dict", encoding="utf-8") as lines:
        known = {line.split()[0] for line in lines}

    assert known.issuperset(english_automaton(world).words())


@in_every_world
def test_what_a_smaller_world_says_a_larger_one_says_too(world: str) -> None:
    smaller = WORLDS[max(0, WORLDS.index(world) - 1)]

    for pair in sample_pairs("train", 100, seed=12, world=smaller):
        assert translations(pair.spa, world=world) == {pair.eng: {pair.template}}


def test_no_other_world_is_known() -> None:
    with pytest.raises(UserInputError, match="did you mean 'small'"):
        load_world("smal")


def test_more_than_a_world_can_hold_is_refused_at_once() -> None:
    with pytest.raises(UserInputError, match="holds fewer than 1000000000 different sentences"):
        sample_pairs("train", 10**9, 1, world="demo")
