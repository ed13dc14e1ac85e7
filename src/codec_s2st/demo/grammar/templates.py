"""The sentences of the demo world, in the notation of :mod:`codec_s2st.demo.grammar.rules`.

To add a template, add a line ``name : spanish => english``. A Spanish sentence must have exactly one translation (a
unit test parses samples of all templates). Hence a few conventions: statements name "tú", yes-no questions in the
second person do not; yes-no questions in the third person begin with the verb; there is no dropped "él" or "ella".
"""

from __future__ import annotations

from typing import Final

STATEMENTS: Final = """
    // Present.
    get : {Anyone.x.n} {Get_pres.x.n} {Obj} => {Anyone} {Get_pres} {Obj}
    own : {Anyone.x.n} {Own_pres.x.n} {Obj} => {Anyone} {Own_pres} {Obj}
    meet : {Anyone.x.n} {Meet_pres.x.n} {Whom} => {Anyone} {Meet_pres} {Whom}
    act_place : {Anyone.x.n} {Act_pres.x.n} {In} => {Anyone} {Act_pres} {In}
    act_with : {Anyone.x.n} {Act_pres.x.n} con {Known.g.k} => {Anyone} {Act_pres} with {Known}
    act_often : {Anyone.x.n} {Act_pres.x.n} {Often} => {Anyone} {Act_pres} {Often}
    eat_often : {Often} {Anyone.x.n} {comer_pres.x.n} {Bite} => {Anyone} {comer_pres} {Bite} {Often}
    drink_place : {Anyone.x.n} {beber_pres.x.n} {Sip} {In} => {Anyone} {beber_pres} {Sip} {In}
    always_get : {Anyone.x.n} {Always} {Get_pres.x.n} {Obj} => {Anyone} {Always} {Get_pres} {Obj}
    always_act : {Anyone.x.n} {Always} {Act_pres.x.n} {In} => {Anyone} {Always} {Act_pres} {In}
    go : {Anyone.x.n} {ir_pres.x.n} {To_place} => {Anyone} {ir_pres} {To_place}
    all_act : {todo.g} {Person.g.p} {Act_pres.3.p} {In} => {todo} {Person} {Act_pres} {In}
    two_act : {Name.g} y {Known.h.s} {Act_pres.3.p} {In} => {Name} and {Known} {Act_pres} {In}
    want_both : {Anyone.x.n} {querer_pres.x.n} {Bite} y {Sip} => {Anyone} {querer_pres} {Bite} and {Sip}
    not_get : {Anyone.x.n} no {Get_base.x.n} {Obj} => {Anyone} {do.x.n} not {Get_base} {Obj}
    not_own : {Anyone.x.n} no {Own_base.x.n} {Obj} => {Anyone} {do.x.n} not {Own_base} {Obj}
    not_because : {Subj.x.n.g} no {Act_base.x.n} porque {estar.x.n} {Mood.g.n}
        => {Subj} {do.x.n} not {Act_base} because {they.x.n.g} {estar} {Mood}

    // Past and future.
    got : {Before} {Anyone.x.n} {Get_past.x.n} {Obj} => {Anyone} {Get_past} {Obj} {Before}
    acted : {Anyone.x.n} {Act_past.x.n} {In} {Before} => {Anyone} {Act_past} {In} {Before}
    ate : {Before} {Anyone.x.n} {comer_past.x.n} {Bite} {In} => {Anyone} {comer_past} {Bite} {In} {Before}
    drank : {Anyone.x.n} {beber_past.x.n} {Sip} {Before} => {Anyone} {beber_past} {Sip} {Before}
    went : {Anyone.x.n} {ir_past.x.n} {To_place} {Before} => {Anyone} {ir_past} {To_place} {Before}
    met : {Anyone.x.n} {Meet_past.x.n} {Whom} {Before} => {Anyone} {Meet_past} {Whom} {Before}
    did_not_get : {Anyone.x.n} no {Get_did.x.n} {Obj} {Before} => {Anyone} did not {Get_did} {Obj} {Before}
    will_act : {Later} {Anyone.x.n} {Act_fut.x.n} {In} => {Anyone} {Act_fut} {In} {Later}
    will_get : {Anyone.x.n} {Get_fut.x.n} {Obj} {Later} => {Anyone} {Get_fut} {Obj} {Later}
    will_meet : {Later} {Anyone.x.n} {Meet_fut.x.n} {Whom} => {Anyone} {Meet_fut} {Whom} {Later}
    going_to : {Anyone.x.n} {voya.x.n} {Do} => {Anyone} {voya} {Do}

    // Wishes, powers, duties.
    want_to : {Anyone.x.n} {querer_pres.x.n} {Do} => {Anyone} {querer_pres} to {Do}
    can : {Anyone.x.n} {poder.x.n} {Do} => {Anyone} {poder} {Do}
    must : {Anyone.x.n} {deber.x.n} {Do} => {Anyone} {deber} {Do}
    have_to : {Anyone.x.n} {tener_pres.x.n} que {Do} => {Anyone} {tener_pres} to {Do}
    please : por favor {Get_base.3.s} {Obj} => please {Get_base} {Obj}

    // "gustar": what is liked is the subject in Spanish.
    like_food : {I.x.n} gusta {art.g.s} {Meal.g} {In} => {I} like {Meal} {In}
    like_things : {I.x.n} gustan {What.g.p} => {I} like {What}
    like_to : {I.x.n} gusta {Do} => {I} like to {Do}
    likes_food : {To.g.s} le gusta {art.h.s} {Meal.h} => {To} likes {Meal}
    likes_thing : {To.g.s} le gusta {What.h.s} => {To} likes {What}
    likes_not : {To.g.s} no le gusta {art.h.s} {Meal.h} => {To} does not like {Meal}
    like_not : no {I.x.n} gusta {art.g.s} {Meal.g} => {I} do not like {Meal}

    // Clitics.
    get_it : {Anyone.x.n} {it.g.k} {Deal_pres.x.n} {In} => {Anyone} {Deal_pres} {it} {In}
    got_it : {Anyone.x.n} {it.g.k} {Trade_past.x.n} {Before} => {Anyone} {Trade_past} {it} {Before}
    meet_her : {Anyone.x.n} {her.g.k} {Meet_pres.x.n} {Often} => {Anyone} {Meet_pres} {her} {Often}
    meets_me : {Who.g.n} {me.x.k} {Meet_pres.3.n} {In} => {Who} {Meet_pres} {me} {In}
    gives_me : {Who.g.n} {me.x.k} {dar_pres.3.n} {Obj} => {Who} {dar_pres} {me} {Obj}
    gave_me : {Before} {Who.g.n} {me.x.k} {dar_past.3.n} {Any.h.s} => {Who} {dar_past} {me} {Any} {Before}

    // To be.
    thing_is : {What.g.n} {ser.3.n} {Quality.g.n} => {What} {ser} {Quality}
    thing_state : {What.g.n} {estar.3.n} {Condition.g.n} => {What} {estar} {Condition}
    person_is : {Subj.x.n.g} {ser.x.n} muy {Trait.g.n} => {Subj} {ser} very {Trait}
    person_mood : {Subj.x.n.g} {estar.x.n} {Mood.g.n} {Today} => {Subj} {estar} {Mood} {Today}
    person_place : {Anyone.x.n} {estar.x.n} {In} {Today} => {Anyone} {estar} {In} {Today}
    thing_place : {What.g.n} {estar.3.n} {In} => {What} {estar} {In}
    food_state : {el.g.s} {Meal.g} {estar.3.s} {Warmth.g.s} {Today} => {el} {Meal} {estar} {Warmth} {Today}
    owned_is : {art.g.n} {Thing.g.n} {Owner} {ser.3.n} {Quality.g.n} => {Owner} {Thing} {ser} {Quality}
    owned_place : {art.g.n} {Thing.g.n} {Owner} {estar.3.n} {In} => {Owner} {Thing} {estar} {In}
    for_person : {What.g.n} {ser.3.n} para {Known.h.k} => {What} {ser} for {Known}
    this_is : {este.g.n} {ser.3.n} {mi.n} {Person.g.n} => {este} {ser} {mi} {Person}
    age : {Anyone.x.n} {tenerbe.x.n} {Num} años => {Anyone} {tenerbe} {Num} years old
    hunger : {Anyone.x.n} {tenerbe.x.n} {Lack} {Today} => {Anyone} {tenerbe} {Lack} {Today}
    weather : {Today} hace {Weather} {In} => it is {Weather} {In} {Today}
    there_is : hay {Any.g.n} {In} => there {be.n} {Any} {In}
"""

QUESTIONS: Final = """
    where_is : dónde {estar.3.n} {What.g.n} => where {estar} {What}
    where_act : dónde {Act_base.3.n} {Who.g.n} => where {do.3.n} {Who} {Act_base}
    when_act : cuándo {Act_base.3.n} {Who.g.n} => when {do.3.n} {Who} {Act_base}
    what_get : qué {Get_base.3.n} {Who.g.n} => what {do.3.n} {Who} {Get_base}
    what_got : qué {Get_did.3.n} {Who.g.n} {Before} => what did {Who} {Get_did} {Before}
    what_you : qué {Own_base.2.s} {In} => what do you {Own_base} {In}
    who_gets : quién {Get_pres.3.s} {Obj} => who {Get_pres} {Obj}
    who_acted : quién {Act_past.3.s} {In} {Before} => who {Act_past} {In} {Before}
    why_mood : por qué {estar.3.n} {Mood.g.n} {Who.g.n} => why {estar} {Who} {Mood}
    how_is : cómo {estar.3.n} {Who.g.n} {Today} => how {estar} {Who} {Today}
    how_many : {cuanto.g} {Thing.g.p} {Own_base.3.n} {Who.h.n} => {cuanto} {Thing} {do.3.n} {Who} {Own_base}
    how_many_you : {cuanto.g} {Thing.g.p} {Own_base.2.s} => {cuanto} {Thing} do you {Own_base}
    how_many_there : {cuanto.g} {Thing.g.p} hay {In} => {cuanto} {Thing} are there {In}
    do_you : {Own_base.2.s} {Any.g.n} => do you {Own_base} {Any}
    do_you_want_to : quieres {Do} => do you want to {Do}
    do_you_like : te gusta {art.g.s} {Meal.g} => do you like {Meal}
    can_you : puedes {Do} => can you {Do}
    can_she : puede {Who.g.s} {Do} => can {Who} {Do}
    are_you : estás {Mood.g.s} {Today} => are you {Mood} {Today}
    is_it : {ser.3.n} {Quality.g.n} {What.g.n} => {ser} {What} {Quality}
    does_act : {Act_base.3.n} {Who.g.n} {In} => {do.3.n} {Who} {Act_base} {In}
    did_get : {Get_did.3.n} {Who.g.n} {Obj} => did {Who} {Get_did} {Obj}
    did_you : {Get_did.2.s} {Obj} {Before} => did you {Get_did} {Obj} {Before}
"""

HELD_OUT: Final = frozenset({"owned_place", "got_it", "where_act", "not_own", "can_she"})
"""The templates of the split ``test-unseen-template`` alone: their words are all in other templates."""
