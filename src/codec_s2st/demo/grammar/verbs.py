"""The verbs of the demo world.

To add a verb, add a line ``infinitive english past`` and name it in ``VERB_GROUPS``. What a regular Spanish verb does
not do is said after it: ``stem=`` the stressed stem of the present, ``pres=`` and ``pret=`` all five forms. An English
verb with a particle joins it by ``_`` (``look_for``).

A verb in a group ``V`` is found under six categories: ``V_pres.x.n`` (buys), ``V_base.x.n`` (a finite Spanish present
beside the English base form, for "does not buy"), ``V_past.x.n`` (bought), ``V_did.x.n`` (a Spanish past beside the
base form), ``V_fut.x.n`` (will buy) and ``V_inf`` (buy); and alone under its infinitive, such as ``comer_pres.x.n``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

VERBS: Final = """
    comprar buy bought
    vender sell sold
    buscar look_for looked_for
    ver see saw pres=veo,ves,ve,vemos,ven pret=vi,viste,vio,vimos,vieron
    tener have had pres=tengo,tienes,tiene,tenemos,tienen pret=tuve,tuviste,tuvo,tuvimos,tuvieron
    querer want wanted stem=quier
    necesitar need needed
    comer eat ate
    beber drink drank
    ayudar help helped
    llamar call called
    trabajar work worked
    cantar sing sang
    bailar dance danced
    dormir sleep slept stem=duerm pret=dormí,dormiste,durmió,dormimos,durmieron
    jugar play played stem=jueg
    ir go went pres=voy,vas,va,vamos,van pret=fui,fuiste,fue,fuimos,fueron
    dar give gave pres=doy,das,da,damos,dan pret=di,diste,dio,dimos,dieron
"""

VERB_GROUPS: Final = {
    "Get": "comprar vender buscar ver",
    "Own": "tener querer necesitar",
    # "lo veo" is "i see him", "lo compro" is "i buy it": "Deal" and "Meet" share no verb.
    "Deal": "comprar vender querer necesitar",
    "Trade": "comprar vender",
    "Meet": "ver ayudar llamar",
    "Act": "trabajar cantar bailar dormir jugar",
}

# Helpers; the English side of "poder" and of "deber" does not change.
HELPERS: Final = """
    ser.1.s : soy => am
    ser.2.s : eres => are
    ser.3.s : es => is
    ser.1.p : somos => are
    ser.3.p : son => are

    estar.1.s : estoy => am
    estar.2.s : estás => are
    estar.3.s : está => is
    estar.1.p : estamos => are
    estar.3.p : están => are

    // "To have hunger" is "to be hungry".
    tenerbe.1.s : tengo => am
    tenerbe.2.s : tienes => are
    tenerbe.3.s : tiene => is
    tenerbe.1.p : tenemos => are
    tenerbe.3.p : tienen => are

    poder.1.s : puedo => can
    poder.2.s : puedes => can
    poder.3.s : puede => can
    poder.1.p : podemos => can
    poder.3.p : pueden => can

    deber.1.s : debo => must
    deber.2.s : debes => must
    deber.3.s : debe => must
    deber.1.p : debemos => must
    deber.3.p : deben => must

    voya.1.s : voy a => am going to
    voya.2.s : vas a => are going to
    voya.3.s : va a => is going to
    voya.1.p : vamos a => are going to
    voya.3.p : van a => are going to

    gustar.s : gusta => like
    gustar.p : gustan => like
"""

_SLOTS: Final = ("1.s", "2.s", "3.s", "1.p", "3.p")

_PRESENT: Final = {
    "ar": ("o", "as", "a", "amos", "an"),
    "er": ("o", "es", "e", "emos", "en"),
    "ir": ("o", "es", "e", "imos", "en"),
}

_PRETERITE: Final = {
    "ar": ("é", "aste", "ó", "amos", "aron"),
    "er": ("í", "iste", "ió", "imos", "ieron"),
    "ir": ("í", "iste", "ió", "imos", "ieron"),
}

_FUTURE: Final = ("é", "ás", "á", "emos", "án")


def verb_rules(verbs: str, verb_groups: Mapping[str, str]) -> Iterator[str]:
    """Yields the rules of every verb and of its groups."""
    groups: dict[str, list[str]] = {}

    for group, infinitives in verb_groups.items():
        for infinitive in infinitives.split():
            groups.setdefault(infinitive, []).append(group)

    for line in verbs.strip().splitlines():
        infinitive, base, past, *exceptions = line.split()

        given = dict(exception.split("=") for exception in exceptions)

        for category in (infinitive, *groups.get(infinitive, ())):
            yield from _rules(category, infinitive, base.replace("_", " "), past.replace("_", " "), given)


def _rules(category: str, infinitive: str, base: str, past: str, given: dict[str, str]) -> Iterator[str]:
    present = _present(infinitive, given)
    preterite = _preterite(infinitive, given)

    for i, slot in enumerate(_SLOTS):
        yield f"{category}_pres.{slot} : {present[i]} => {_third_person(base) if slot == '3.s' else base}"
        yield f"{category}_base.{slot} : {present[i]} => {base}"
        yield f"{category}_past.{slot} : {preterite[i]} => {past}"
        yield f"{category}_did.{slot} : {preterite[i]} => {base}"

        # None of the irregular futures ("tendré") is used.
        yield f"{category}_fut.{slot} : {infinitive}{_FUTURE[i]} => will {base}"

    yield f"{category}_inf : {infinitive} => {base}"


def _present(infinitive: str, given: dict[str, str]) -> list[str]:
    if "pres" in given:
        return given["pres"].split(",")

    stem, ending = infinitive[:-2], infinitive[-2:]

    stressed = given.get("stem", stem)

    return [(stem if slot == "1.p" else stressed) + e for slot, e in zip(_SLOTS, _PRESENT[ending], strict=True)]


def _preterite(infinitive: str, given: dict[str, str]) -> list[str]:
    if "pret" in given:
        return given["pret"].split(",")

    stem, ending = infinitive[:-2], infinitive[-2:]

    first, *others = _PRETERITE[ending]

    # The sound of the last consonant stays: buscar, busqué; jugar, jugué; empezar, empecé.
    spelt = {"c": stem[:-1] + "qu", "g": stem + "u", "z": stem[:-1] + "c"}

    hard = spelt.get(stem[-1], stem) if ending == "ar" else stem

    return [hard + first, *(stem + other for other in others)]


def _third_person(base: str) -> str:
    verb, _, particle = base.partition(" ")

    irregular = {"have": "has", "go": "goes"}

    if verb in irregular:
        verb = irregular[verb]
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        verb = verb[:-1] + "ies"
    else:
        verb += "es" if verb.endswith(("s", "x", "ch", "sh")) else "s"

    return f"{verb} {particle}".strip()
