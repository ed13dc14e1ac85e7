"""The phrases and sentences that the world ``large`` has beside those of ``demo`` (``phrases`` and ``templates``)."""

from __future__ import annotations

from typing import Final

PHRASES: Final = """
    Quality.g.n : {Grade.g.n} => {Grade}
    Trait.g.n : {Talent.g.n} => {Talent}

    // "the third of may", "on monday".
    Date : el {Day} de {Month} => on the {Day} of {Month}
    OnDay : el {Weekday} => on {Weekday}

    It_is.g : {el.g.s} {Event.g.s} => {el} {Event} | {mi.s} {Event.g.s} => {mi} {Event}
    Line.g : {el.g.s} {Vehicle.g.s} => {el} {Vehicle}

    // Places beside places, things beside things.
    Where : {Beside} {del.g.s} {Place.g.s} => {Beside} {del} {Place}
    On : {Upon} {del.g.s} {Thing.g.s} => {Upon} {del} {Thing} | {Upon} de {mi.s} {Thing.g.s} => {Upon} {mi} {Thing}
    Mark.g : {el.g.s} {Place.g.s} => {el} {Place} | {el.g.s} {Crossed.g.s} => {el} {Crossed}

    // "my sister's" after "a": "a mi hermana le duele la cabeza".
    Sore : {al.g.s} {Person_s.g} => {al} {Person_s} | a {mi.s} {Person_s.g} => {mi} {Person_s}
    Sore : a {Name_s.g} => {Name_s}
"""

STATEMENTS: Final = """
    // Dates.
    today_is : hoy es {Weekday} {Day} de {Month} => today is {Weekday} the {Day} of {Month}
    birthday : {mi.s} cumpleaños es {Date} => {mi} birthday is {Date}
    her_birthday : el cumpleaños {Owner} es {Date} => {Owner} birthday is {Date}
    event_date : {It_is.g} es {Date} => {It_is} is {Date}
    event_day : {It_is.g} es {OnDay} {At} => {It_is} is {OnDay} {At}
    event_place : {It_is.g} es {In} {OnDay} => {It_is} is {In} {OnDay}
    event_was : {It_is.g} fue {Date} => {It_is} was {Date}
    went_day : {OnDay} {Anyone.x.n} {ir_past.x.n} {To_place} => {Anyone} {ir_past} {To_place} {OnDay}
    will_act_day : {OnDay} {Anyone.x.n} {Act_fut.x.n} {Daytime} => {Anyone} {Act_fut} {OnDay} {Daytime}
    act_month : en {Month} {Anyone.x.n} {Act_pres.x.n} {In} => {Anyone} {Act_pres} {In} in {Month}
    act_daytime : {Anyone.x.n} siempre {Act_pres.x.n} {Daytime} => {Anyone} always {Act_pres} {Daytime}

    // Times of the day.
    it_is : {hora.n} {Time.n} => it is {Time}
    it_is_now : ahora {hora.n} {Time.n} => it is {Time} now
    leaves : {Line.g} {Leave_pres} {At} => {Line} {Leave_pres} {At}
    leaves_day : {OnDay} {Line.g} {Leave_pres} {At} => {Line} {Leave_pres} {At} {OnDay}
    left : ayer {Line.g} {Leave_past} {At} => {Line} {Leave_past} {At} yesterday
    will_leave : mañana {Line.g} {Leave_fut} {At} => {Line} {Leave_fut} {At} tomorrow
    act_at : {Anyone.x.n} {Act_pres.x.n} {At} => {Anyone} {Act_pres} {At}
    ate_at : ayer {Anyone.x.n} {comer_past.x.n} {Bite} {At} => {Anyone} {comer_past} {Bite} {At} yesterday

    // Numbers and prices.
    costs : {What.g.n} {costar.n} {Money} => {What} {costar} {Money}
    paid : {Anyone.x.n} {pagar_past.x.n} {Money} por {It.g.n} => {Anyone} {pagar_past} {Money} for {It}
    has_money : {Anyone.x.n} {tener_pres.x.n} {Money} {In} => {Anyone} {tener_pres} {Money} {In}
    needs_money : {Anyone.x.n} {necesitar_pres.x.n} {Money} => {Anyone} {necesitar_pres} {Money}
    there_are : hay {Number.g} {Person.g.p} {In} => there are {Number} {Person} {In}
    degrees : {Today} hace {Several} grados {Land} => it is {Several} degrees {Land} {Today}
    house_number : el número de {mi.s} casa es {Number.c} => the number of {mi} house is {Number}
    lives_number : {Anyone.x.n} {vivir_pres.x.n} en el número {Number.c} => {Anyone} {vivir_pres} at number {Number}

    // Directions.
    turn : gira {Side} en {Mark.g} => turn {Side} at {Mark}
    turn_after : gira {Side} después {del.g.s} {Place.g.s} => turn {Side} after {del} {Place}
    straight : sigue recto hasta {Mark.g} => go straight to {Mark}
    take_street : toma la {Nth} calle {Side} => take the {Nth} street {Side}
    cross : cruza {el.g.s} {Crossed.g.s} y gira {Side} => cross {el} {Crossed} and turn {Side}
    place_where : {el.g.s} {Place.g.s} está {Where} => {el} {Place} is {Where}
    person_where : {Anyone.x.n} {estar.x.n} {Where} => {Anyone} {estar} {Where}
    live_where : {Anyone.x.n} {vivir_pres.x.n} {Where} => {Anyone} {vivir_pres} {Where}
    waits_where : {Anyone.x.n} {esperar_past.x.n} {Where} {Before} => {Anyone} {esperar_past} {Where} {Before}
    thing_on : {It.g.n} {estar.3.n} {On} => {It} {estar} {On}
    lost_on : {Anyone.x.n} {encontrar_past.x.n} {It.h.k} {On} => {Anyone} {encontrar_past} {It} {On}

    // Comparison.
    thing_more : {It.g.n} {ser.3.n} más {Grade.g.n} que {It2.h.k} => {It} {ser} more {Grade} than {It2}
    thing_less : {It.g.n} {ser.3.n} menos {Grade.g.n} que {It2.h.k} => {It} {ser} less {Grade} than {It2}
    thing_as : {It.g.n} {ser.3.n} tan {Grade.g.n} como {It2.h.k} => {It} {ser} as {Grade} as {It2}
    person_more : {Subj.x.n.g} {ser.x.n} más {Talent.g.n} que {Known.h.k} => {Subj} {ser} more {Talent} than {Known}
    person_less : {Subj.x.n.g} {ser.x.n} menos {Talent.g.n} que {Known.h.k} => {Subj} {ser} less {Talent} than {Known}
    person_older : {Subj.x.n.g} {ser.x.n} {More.g.n} que {Known.h.k} => {Subj} {ser} {More} than {Known}
    has_more : {Anyone.x.n} {tener_pres.x.n} más {Thing.g.p} que {Known.h.k}
        => {Anyone} {tener_pres} more {Thing} than {Known}
    most : {este.g.s} es {el.g.s} {Thing.g.s} más {Grade.g.s} => {este} is {el} most {Grade} {Thing}
    person_most : {Name.g} es {el.g.s} {Person.g.s} más {Talent.g.s} => {Name} is {el} most {Talent} {Person}

    // Now, then, soon.
    doing : {Anyone.x.n} {estar.x.n} {Doing} {In} => {Anyone} {estar} {Doing} {In}
    doing_with : {Anyone.x.n} {estar.x.n} {Doing} con {Known.g.n} => {Anyone} {estar} {Doing} with {Known}
    was_mood : ayer {Subj.x.n.g} {estuve.x.n} {Mood.g.n} => {Subj} {estuve} {Mood} yesterday
    was_place : {Before} {Anyone.x.n} {estuve.x.n} {In} => {Anyone} {estuve} {In} {Before}
    was_thing : {What.g.n} {era.n} muy {Grade.g.n} => {What} {era} very {Grade}
    will_be : {It.g.n} {sera.n} muy {Grade.g.n} => {It} {sera} very {Grade}
    met_often : {Often} {Anyone.x.n} {visitar_pres.x.n} {Whom} => {Anyone} {visitar_pres} {Whom} {Often}
    from_country : {Anyone.x.n} {ser.x.n} de {Country} => {Anyone} {ser} from {Country}
    lived_country : {Anyone.x.n} {vivir_past.x.n} en {Country} {Before} => {Anyone} {vivir_past} in {Country} {Before}

    // The weather.
    rains : siempre {Rain_pres} {Land} en {Month} => it always {Rain_pres} {Land} in {Month}
    rained : {Before} {Rain_past} {Land} => it {Rain_past} {Land} {Before}
    will_rain : {Later} {Rain_fut} {Land} => it {Rain_fut} {Land} {Later}
    sky : {Today} está {Sky} {Land} => it is {Sky} {Land} {Today}

    // Aches.
    aches : {My.x.n} duele {art.g.s} {Body.g.s} {Today} => {My} {Body} hurts {Today}
    her_aches : {Sore} le duele {art.g.s} {Body.g.s} => {Sore} {Body} hurts
"""

QUESTIONS: Final = """
    how_much : cuánto {costar_base.n} {What.g.n} => how much {do.3.n} {What} {costar_base}
    what_color : de qué color {ser.3.n} {What.g.n} => what color {ser} {What}
    what_time : a qué hora {Leave_base} {Line.g} => what time does {Line} {Leave_base}
    what_time_is : qué hora es {Today} {In} => what time is it {In} {Today}
    when_event : cuándo es {It_is.g} => when is {It_is}
    when_leaves : cuándo {Leave_base} {Line.g} => when does {Line} {Leave_base}
    when_birthday : cuándo es el cumpleaños {Owner} => when is {Owner} birthday
    where_event : dónde es {It_is.g} => where is {It_is}
    where_place : dónde está {el.g.s} {Place.g.s} => where is {el} {Place}
    where_from : de dónde {ser.3.n} {Who.g.n} => where {ser} {Who} from
    who_where : quién {vivir_pres.3.s} {Where} => who {vivir_pres} {Where}
    who_more : quién es más {Talent.m.s} que {Known.g.s} => who is more {Talent} than {Known}
    how_old : cuántos años {tenerbe.3.n} {Who.g.n} => how old {tenerbe} {Who}
    how_get : cómo llego {To_place} => how do i get {To_place}
    how_many_people : {cuanto.g} {Person.g.p} hay {In} => {cuanto} {Person} are there {In}
    why_act : por qué {Act_base.3.n} {Who.g.n} {Daytime} => why {do.3.n} {Who} {Act_base} {Daytime}
    why_did : por qué {Get_did.2.s} {What.g.n} => why did you {Get_did} {What}
    what_doing : qué hace {Who.g.s} {In} => what is {Who} doing {In}
    does_rain : {Rain_base} mucho {Land} => does it {Rain_base} a lot {Land}
"""

HELD_OUT: Final = frozenset(
    {"her_birthday", "leaves_day", "has_more", "live_where", "person_less", "why_did", "event_place"}
)
