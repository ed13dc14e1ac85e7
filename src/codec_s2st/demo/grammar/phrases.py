"""The phrases that sentences are built of, in the notation of :mod:`codec_s2st.demo.grammar.rules`."""

from __future__ import annotations

from typing import Final

PHRASES: Final = """
    // Persons: "the tall girl", "my brothers", "anna".
    Known.g.n : {el.g.n} {Person.g.n} => {el} {Person} | {mi.n} {Person.g.n} => {mi} {Person}
    Known.g.s : {Name.g} => {Name}
    Who.g.n : {Known.g.n} => {Known} | {el.g.n} {Person.g.n} {Trait.g.n} => {el} {Trait} {Person}
    Who.g.n : {este.g.n} {Person.g.n} => {este} {Person} | {nuestro.g.n} {Person.g.n} => {nuestro} {Person}

    // The same after "a", which English leaves out: "veo a la niña", "i see the girl".
    To.g.n : {al.g.n} {Person.g.n} => {al} {Person} | a {mi.n} {Person.g.n} => {mi} {Person}
    To.g.s : a {Name.g} => {Name}
    Whom : {To.g.n} => {To}

    // Subjects by person, number and gender; "Anyone" where the gender does not show.
    Subj.x.n.g : {pron.x.n.g} => {pron}
    Subj.3.n.g : {Who.g.n} => {Who}
    Anyone.x.n : {Subj.x.n.g} => {Subj}

    // "my sister's", "the doctor's".
    Owner : de {Name_s.g} => {Name_s} | {del.g.s} {Person_s.g} => {del} {Person_s}
    Owner : de {mi.s} {Person_s.g} => {mi} {Person_s}

    // Things.
    It.g.n : {el.g.n} {Thing.g.n} => {el} {Thing} | {mi.n} {Thing.g.n} => {mi} {Thing}
    What.g.n : {It.g.n} => {It} | {el.g.n} {Thing.g.n} {Quality.g.n} => {el} {Quality} {Thing}
    What.g.n : {este.g.n} {Thing.g.n} => {este} {Thing} | {nuestro.g.n} {Thing.g.n} => {nuestro} {Thing}
    Any.g.s : {un.g.s} {Thing.g.s} => {un} {Thing} | {un.g.s} {Thing.g.s} {Quality.g.s} => {un} {Quality} {Thing}
    Any.g.p : {Num} {Thing.g.p} => {Num} {Thing} | {Num} {Thing.g.p} {Quality.g.p} => {Num} {Quality} {Thing}
    Any.g.p : {mucho.g} {Thing.g.p} => {mucho} {Thing} | {Thing.g.p} {Quality.g.p} => {Quality} {Thing}
    Obj : {What.g.n} => {What} | {Any.g.n} => {Any}

    // Places.
    In : en {el.g.s} {Place.g.s} => in {el} {Place}
    To_place : {al.g.s} {Place.g.s} => to {al} {Place}

    // Food: "como pan", "bebo leche".
    Bite : {Food.g.s} => {Food}
    Sip : {Drink.g.s} => {Drink}
    Meal.g : {Food.g.s} => {Food} | {Drink.g.s} => {Drink}

    // What one may want to do.
    Do : {Get_inf} {Obj} => {Get_inf} {Obj} | {Act_inf} {In} => {Act_inf} {In}
    Do : {ir_inf} {To_place} => {ir_inf} {To_place}
    Do : {comer_inf} {Bite} => {comer_inf} {Bite} | {beber_inf} {Sip} => {beber_inf} {Sip}
    Do : {Meet_inf} {Whom} => {Meet_inf} {Whom} | {Act_inf} con {Known.g.n} => {Act_inf} with {Known}
"""
