"""The words of the demo world, except verbs (see :mod:`codec_s2st.demo.grammar.verbs`).

To add a word, add a line. A noun is ``gender spanish english``; an adjective is ``spanish english``; irregular plurals
follow a slash. Every English word must be in PocketSphinx's dictionary (a unit test looks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

NOUNS: Final = {
    "Person": """
        m niño boy
        f niña girl
        m hermano brother
        f hermana sister
        m amigo friend
        f amiga friend
        m médico doctor
        f profesora teacher
    """,
    "Thing": """
        m libro book
        f carta letter
        f llave key
        f mesa table
        f camisa shirt
        m sombrero hat
        m coche car
        f flor flower
        f casa house
    """,
    "Food": """
        m pan bread
        m queso cheese
        m arroz rice
        f fruta fruit
        f sopa soup
    """,
    "Drink": """
        f leche milk
        m café coffee
        m té tea
    """,
    "Place": """
        m parque park
        f escuela school
        m mercado market
        f cocina kitchen
        f ciudad city
        f tienda store
        m hospital hospital
        m jardín/jardines garden
    """,
}

_SINGULAR: Final = ("Food", "Drink", "Place")
"""Categories whose words are used in the singular alone."""

ADJECTIVES: Final = {
    # After the noun, and after "ser".
    "Quality": """
        rojo red
        negro black
        blanco white
        verde green
        nuevo new
        viejo old
        grande big
        pequeño small
        bonito pretty
    """,
    "Trait": """
        alto tall
        joven/jóvenes young
        viejo old
        amable kind
    """,
    # After "estar".
    "Mood": """
        cansado tired
        contento happy
        triste sad
        enfermo sick
        ocupado busy
        listo ready
    """,
    "Condition": """
        roto broken
        sucio dirty
        limpio clean
    """,
    "Warmth": """
        frío cold
        caliente hot
    """,
}

WORDS: Final = """
    el.m.s : el => the
    el.f.s : la => the
    el.m.p : los => the
    el.f.p : las => the

    al.m.s : al => the
    al.f.s : a la => the
    al.m.p : a los => the
    al.f.p : a las => the

    del.m.s : del => the
    del.f.s : de la => the

    un.m.s : un => a
    un.f.s : una => a

    este.m.s : este => this
    este.f.s : esta => this
    este.m.p : estos => these
    este.f.p : estas => these

    mi.s : mi => my | tu => your
    mi.p : mis => my | tus => your
    nuestro.m.s : nuestro => our
    nuestro.f.s : nuestra => our
    nuestro.m.p : nuestros => our
    nuestro.f.p : nuestras => our

    Name.m : juan => john | pedro => peter
    Name.f : ana => anna | maría => mary

    Name_s.m : juan => john's | pedro => peter's
    Name_s.f : ana => anna's | maría => mary's

    Num : dos => two | tres => three | cuatro => four | cinco => five | seis => six | siete => seven | ocho => eight
    Num : diez => ten | veinte => twenty

    mucho.m : muchos => many
    mucho.f : muchas => many
    cuanto.m : cuántos => how many
    cuanto.f : cuántas => how many
    todo.m : todos los => all the
    todo.f : todas las => all the

    Before : ayer => yesterday | anoche => last night | la semana pasada => last week
    Later : mañana => tomorrow | esta noche => tonight | la próxima semana => next week
    Often : todos los días => every day | los domingos => on sundays
    Always : siempre => always | nunca => never | también => also

    Today : hoy => today | ahora => now
    Lack : hambre => hungry | sed => thirsty | frío => cold
    Weather : frío => cold | calor => hot

    pron.1.s.g : yo => i | => i
    pron.1.p.m : nosotros => we | => we
    pron.1.p.f : nosotras => we | => we
    pron.2.s.g : tú => you
    pron.3.s.m : él => he
    pron.3.s.f : ella => she
    pron.3.p.m : ellos => they
    pron.3.p.f : ellas => they

    it.m.s : lo => it
    it.f.s : la => it
    it.m.p : los => them
    it.f.p : las => them

    her.m.s : lo => him
    her.f.s : la => her
    her.m.p : los => them
    her.f.p : las => them

    me.1.s : me => me
    me.2.s : te => you
    me.1.p : nos => us

    // Not "te": that begins a question.
    I.1.s : me => i
    I.1.p : nos => we

    // Articles that English leaves out, and the "do" that Spanish does without.
    art.m.s : el =>
    art.f.s : la =>
    art.m.p : los =>
    art.f.p : las =>
    they.1.s.g : => i
    they.2.s.g : => you
    they.3.s.m : => he
    they.3.s.f : => she
    they.1.p.g : => we
    they.3.p.g : => they
    be.s : => is
    be.p : => are
    do.1.n : => do
    do.2.n : => do
    do.3.s : => does
    do.3.p : => do
"""


def noun_rules(nouns: Mapping[str, str]) -> Iterator[str]:
    """Yields the rules ``Noun.gender.number`` and, for persons, ``Noun_s.gender`` (the English possessive)."""
    for category, table in nouns.items():
        for line in table.strip().splitlines():
            gender, spa, eng = line.split()

            spa, spa_plural = _forms(spa, _spanish_plural)
            eng, eng_plural = _forms(eng, _english_plural)

            yield f"{category}.{gender}.s : {spa} => {eng}"

            if category not in _SINGULAR:
                yield f"{category}.{gender}.p : {spa_plural} => {eng_plural}"

            if category == "Person":
                yield f"Person_s.{gender} : {spa} => {eng}'s"


def adjective_rules(adjectives: Mapping[str, str]) -> Iterator[str]:
    """Yields the rules ``Adjective.gender.number``."""
    for category, table in adjectives.items():
        for line in table.strip().splitlines():
            spa, eng = line.split()

            masculine, _ = _forms(spa, _spanish_plural)

            feminine = masculine[:-1] + "a" if masculine.endswith("o") else spa

            for gender, form in (("m", spa), ("f", feminine)):
                singular, plural = _forms(form, _spanish_plural)

                yield f"{category}.{gender}.s : {singular} => {eng}"
                yield f"{category}.{gender}.p : {plural} => {eng}"


def rule_lines(text: str) -> Iterator[str]:
    """Yields the rules in ``text``: a rule a line, continued by a line that begins with ``=>``; ``//`` comments."""
    for line in text.replace("\n        =>", " =>").splitlines():
        line = line.strip()

        if line and not line.startswith("//"):
            yield line


def _forms(text: str, plural: Callable[[str], str]) -> tuple[str, str]:
    singular, _, irregular = text.partition("/")

    return singular, irregular or plural(singular)


def _spanish_plural(word: str) -> str:
    return word + ("s" if word[-1] in "aeiouáéíóú" else "es")


def _english_plural(word: str) -> str:
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")
