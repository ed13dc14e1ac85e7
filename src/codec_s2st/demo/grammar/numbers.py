"""Spoken numbers, as rules of the world ``large``.

``Number.gender`` counts things from 2 to 999 ("veintiuna casas"), ``Number.c`` is said alone ("cuarenta y uno"), and
``Day`` is the day of a month.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_SIMPLE: Final = {
    "dos": "two",
    "tres": "three",
    "cuatro": "four",
    "cinco": "five",
    "seis": "six",
    "siete": "seven",
    "ocho": "eight",
    "nueve": "nine",
    "diez": "ten",
    "once": "eleven",
    "doce": "twelve",
    "trece": "thirteen",
    "catorce": "fourteen",
    "quince": "fifteen",
    "dieciséis": "sixteen",
    "diecisiete": "seventeen",
    "dieciocho": "eighteen",
    "diecinueve": "nineteen",
    "veinte": "twenty",
    "veintidós": "twenty two",
    "veintitrés": "twenty three",
    "veinticuatro": "twenty four",
    "veinticinco": "twenty five",
    "veintiséis": "twenty six",
    "veintisiete": "twenty seven",
    "veintiocho": "twenty eight",
    "veintinueve": "twenty nine",
}

_TENS: Final = {
    "treinta": "thirty",
    "cuarenta": "forty",
    "cincuenta": "fifty",
    "sesenta": "sixty",
    "setenta": "seventy",
    "ochenta": "eighty",
    "noventa": "ninety",
}

# The stem, whose ending agrees: "doscientos euros", "doscientas casas".
_HUNDREDS: Final = {
    "doscient": "two",
    "trescient": "three",
    "cuatrocient": "four",
    "quinient": "five",
    "seiscient": "six",
    "setecient": "seven",
    "ochocient": "eight",
    "novecient": "nine",
}

_ORDINALS: Final = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
).split()

# "One" before a masculine noun, before a feminine one, and alone.
_ONE: Final = {"m": ("un", "veintiún"), "f": ("una", "veintiuna"), "c": ("uno", "veintiuno")}


def number_rules() -> Iterator[str]:
    """Yields the rules of the categories that the head of this file names, and of their parts."""
    for spa, eng in _SIMPLE.items():
        yield f"Simple : {spa} => {eng}"

    for spa, eng in _TENS.items():
        yield f"Tens : {spa} => {eng}"

    for gender, (one, twenty_one) in _ONE.items():
        yield f"Unit.{gender} : {one} => one"

        for spa, eng in list(_SIMPLE.items())[:8]:
            yield f"Unit.{gender} : {spa} => {eng}"

        yield f"Below.{gender} : {{Simple}} => {{Simple}} | {{Simple}} => {{Simple}} | {twenty_one} => twenty one"
        yield f"Below.{gender} : {{Tens}} => {{Tens}} | {{Tens}} y {{Unit.{gender}}} => {{Tens}} {{Unit}}"

        for stem, eng in _HUNDREDS.items():
            yield f"Hundreds.{gender} : {stem}{'as' if gender == 'f' else 'os'} => {eng} hundred"

        yield f"Hundred.{gender} : cien => one hundred | ciento {{Below.{gender}}} => one hundred {{Below}}"
        yield f"Hundred.{gender} : {{Hundreds.{gender}}} => {{Hundreds}}"
        yield f"Hundred.{gender} : {{Hundreds.{gender}}} {{Below.{gender}}} => {{Hundreds}} {{Below}}"

        yield f"Number.{gender} : {{Below.{gender}}} => {{Below}} | {{Hundred.{gender}}} => {{Hundred}}"

    yield from _day_rules()


def _day_rules() -> Iterator[str]:
    spanish = ["primero", *_SIMPLE]

    spanish.insert(spanish.index("veintidós"), "veintiuno")

    english = [*_ORDINALS, *(f"twenty {ordinal}" for ordinal in _ORDINALS[:9])]

    spanish += ["treinta", "treinta y uno"]
    english += ["thirtieth", "thirty first"]

    for spa, eng in zip(spanish, english, strict=True):
        yield f"Day : {spa} => {eng}"
