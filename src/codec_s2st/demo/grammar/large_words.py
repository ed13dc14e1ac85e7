"""The words that the world ``large`` has beside those of ``demo``; the notation is that of ``lexicon`` and ``verbs``.

Numbers are in ``numbers``. English words that sound alike ("son", "sun") are left out where there is a choice: the
listener cannot tell them apart.
"""

from __future__ import annotations

from typing import Final

NOUNS: Final = {
    "Person": """
        m padre father
        f madre mother
        m tío uncle
        f tía aunt
        m abuelo grandfather
        f abuela grandmother
        m vecino neighbor
        m hombre man/men
        f mujer/mujeres woman/women
        f enfermera nurse
        m abogado lawyer
        m ingeniero engineer
        m piloto pilot
        f cantante singer
        m estudiante student
        m jefe boss
    """,
    "Thing": """
        f silla chair
        f puerta door
        f ventana window
        f cama bed
        f lámpara lamp
        m reloj watch/watches
        m teléfono phone
        f bolsa bag
        f caja box
        f botella bottle
        m plato plate
        m vaso glass/glasses
        m cuchillo knife/knives
        f cuchara spoon
        m zapato shoe
        m abrigo coat
        m vestido dress
        m anillo ring
        f cámara camera
        f guitarra guitar
        f bicicleta bicycle
        m barco boat
        m mapa map
        f foto picture
        m paraguas/paraguas umbrella
        f revista magazine
        m lápiz/lápices pencil
        f computadora computer
        m perro dog
        m gato cat
        m caballo horse
        m pájaro bird
    """,
    "Food": """
        m pescado fish
        m pollo chicken
        m pastel cake
        f sal salt
        m chocolate chocolate
        f ensalada salad
        f mantequilla butter
        f pasta pasta
    """,
    "Drink": """
        m jugo juice
        m vino wine
        f cerveza beer
        f limonada lemonade
    """,
    "Place": """
        f oficina office
        m banco bank
        m museo museum
        f iglesia church
        f biblioteca library
        f estación station
        m aeropuerto airport
        m hotel hotel
        m restaurante restaurant
        m teatro theater
        m pueblo village
        f granja farm
        f farmacia pharmacy
        m castillo castle
        f piscina pool
        m baño bathroom
        m dormitorio bedroom
        m bosque forest
    """,
    "Crossed": """
        m puente bridge
        f calle street
        m río river
        f avenida avenue
    """,
    "Event": """
        f fiesta party
        f boda wedding
        m examen exam
        m concierto concert
        f reunión meeting
        m partido game
        f clase class
        f película movie
        m viaje trip
        f cena dinner
        m almuerzo lunch
    """,
    "Vehicle": """
        m tren train
        m avión plane
        m autobús bus
        m taxi taxi
    """,
    "Body": """
        f cabeza head
        f mano hand
        m pie foot
        m brazo arm
        f pierna leg
        f espalda back
        f rodilla knee
        m cuello neck
    """,
}

ADJECTIVES: Final = {
    # After the noun, after "ser", and compared by "more".
    "Grade": """
        caro expensive
        moderno modern
        útil useful
        importante important
        cómodo comfortable
        hermoso beautiful
        famoso famous
    """,
    "Talent": """
        inteligente intelligent
        paciente patient
        serio serious
        generoso generous
        popular popular
    """,
    "Quality": """
        azul blue
        amarillo yellow
        gris gray
        marrón/marrones brown
        largo long
        corto short
        barato cheap
        pesado heavy
        fuerte strong
        feo ugly
        extraño strange
        perfecto perfect
    """,
    "Mood": """
        nervioso nervous
        enojado angry
        preocupado worried
        aburrido bored
        tranquilo calm
    """,
    "Condition": """
        abierto open
        cerrado closed
        lleno full
        vacío empty
        mojado wet
        seco dry
    """,
}

VERBS: Final = """
    llevar carry carried
    usar use used
    encontrar find found stem=encuentr
    perder lose lost stem=pierd
    abrir open opened
    limpiar clean cleaned
    lavar wash washed
    reparar repair repaired
    pintar paint painted
    mostrar show showed stem=muestr
    alquilar rent rented
    tocar touch touched
    enviar send sent pres=envío,envías,envía,enviamos,envían
    preparar prepare prepared
    pagar pay paid
    visitar visit visited
    invitar invite invited
    escuchar listen_to listened_to
    besar kiss kissed
    correr run ran
    nadar swim swam
    caminar walk walked
    estudiar study studied
    cocinar cook cooked
    descansar rest rested
    viajar travel traveled
    esperar wait waited
    hablar talk talked
    vivir live lived
    empezar start started stem=empiez
"""

VERB_GROUPS: Final = {
    "Get": "llevar usar encontrar perder abrir limpiar lavar reparar pintar mostrar alquilar tocar enviar preparar",
    "Deal": "usar limpiar lavar reparar pintar preparar",
    "Trade": "usar limpiar lavar reparar pintar alquilar",
    "Meet": "visitar invitar escuchar besar",
    "Act": "correr nadar caminar estudiar cocinar descansar viajar esperar hablar vivir empezar",
}

WORDS: Final = """
    Name.m : miguel => michael | pablo => paul
    Name.f : elena => helen | laura => laura
    Name_s.m : miguel => michael's | pablo => paul's
    Name_s.f : elena => helen's | laura => laura's

    Num : nueve => nine | once => eleven | doce => twelve | quince => fifteen | {Tens} => {Tens}
    Num : {Tens} y {Several} => {Tens} {Several}
    Several : dos => two | tres => three | cuatro => four | cinco => five | seis => six | siete => seven
    Several : ocho => eight | nueve => nine

    Weekday : lunes => monday | martes => tuesday | miércoles => wednesday | jueves => thursday | viernes => friday
    Weekday : sábado => saturday | domingo => sunday
    Month : enero => january | febrero => february | marzo => march | abril => april | mayo => may | junio => june
    Month : julio => july | agosto => august | septiembre => september | octubre => october
    Month : noviembre => november | diciembre => december
    Daytime : por la mañana => in the morning | por la tarde => in the afternoon | por la noche => at night

    Before : el {Weekday} pasado => last {Weekday} | el mes pasado => last month | el año pasado => last year
    Later : el próximo {Weekday} => next {Weekday} | el próximo mes => next month | el próximo año => next year
    Often : los lunes => on mondays | los viernes => on fridays | todas las noches => every night
    Often : todas las mañanas => every morning
    Always : a menudo => often | a veces => sometimes | todavía => still

    Hour : dos => two | tres => three | cuatro => four | cinco => five | seis => six | siete => seven | ocho => eight
    Hour : nueve => nine | diez => ten | once => eleven | doce => twelve
    Minutes : cinco => oh five | diez => ten | veinte => twenty | veinticinco => twenty five
    Minutes : cuarenta => forty | cincuenta => fifty
    hora.s : es =>
    hora.p : son =>
    Clock.s : la una => one
    Clock.p : las {Hour} => {Hour}
    Time.n : {Clock.n} en punto => {Clock} o'clock | {Clock.n} y media => half past {Clock}
    Time.n : {Clock.n} y cuarto => quarter past {Clock} | {Clock.n} y {Minutes} => {Clock} {Minutes}
    At : a {Time.n} => at {Time}

    Money : {Number.m} euros => {Number} euros | {Number.m} dólares => {Number} dollars

    Country : españa => spain | méxico => mexico | francia => france | italia => italy | cuba => cuba
    Country : alemania => germany | canadá => canada | brasil => brazil

    Land : en {Country} => in {Country} | en el pueblo => in the village | en la ciudad => in the city

    Side : a la izquierda => left | a la derecha => right
    Nth : primera => first | segunda => second | tercera => third | cuarta => fourth
    Beside : al lado => next to | detrás => behind | delante => in front of | cerca => near | lejos => far from
    Beside : enfrente => across from
    Upon : encima => on top of | debajo => under | detrás => behind | cerca => near

    Doing : trabajando => working | cantando => singing | bailando => dancing | durmiendo => sleeping
    Doing : jugando => playing | corriendo => running | nadando => swimming | estudiando => studying
    Doing : cocinando => cooking | esperando => waiting | hablando => talking

    // "I was" beside a time that is over.
    estuve.1.s : estuve => was
    estuve.2.s : estuviste => were
    estuve.3.s : estuvo => was
    estuve.1.p : estuvimos => were
    estuve.3.p : estuvieron => were
    era.s : era => was
    era.p : eran => were
    sera.s : será => will be
    sera.p : serán => will be
    costar.s : cuesta => costs
    costar.p : cuestan => cost
    costar_base.s : cuesta => cost
    costar_base.p : cuestan => cost
    Leave_pres : sale => leaves | llega => arrives
    Leave_base : sale => leave | llega => arrive
    Leave_past : salió => left | llegó => arrived
    Leave_fut : saldrá => will leave | llegará => will arrive
    Rain_pres : llueve => rains | nieva => snows
    Rain_base : llueve => rain | nieva => snow
    Rain_past : llovió => rained | nevó => snowed
    Rain_fut : lloverá => will rain | nevará => will snow
    Sky : nublado => cloudy | soleado => sunny | oscuro => dark

    More.m.s : más alto => taller | más joven => younger | más viejo => older
    More.f.s : más alta => taller | más joven => younger | más vieja => older
    More.m.p : más altos => taller | más jóvenes => younger | más viejos => older
    More.f.p : más altas => taller | más jóvenes => younger | más viejas => older

    // Whose it is, where Spanish says "the": "me duele la cabeza".
    My.1.s : me => my
    My.1.p : nos => our
"""
