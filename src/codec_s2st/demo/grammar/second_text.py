"""A second domain of English text: what is cooked, what the weather will be, what is in the store-room.

Its sentences are in no world and are never spoken. A text LLM that has read them too can forget them while it learns
speech, which is what text retention measures. The notation is that of :mod:`codec_s2st.demo.grammar.rules` without its
Spanish half.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from codec_s2st.demo.grammar.lexicon import rule_lines

_WORDS: Final = """
    // "s" is spoken of as "it", "p" as "them".
    Food.p : onions | carrots | potatoes | tomatoes | peppers | mushrooms | beans | lentils | peas | almonds | noodles
    Food.s : garlic | cabbage | spinach | beef | pork | salmon | rice | dough | celery | ginger | pumpkin | lamb
    Mix.s : sauce | batter | broth | cream | dough | filling | glaze
    Spice : cinnamon | paprika | cumin | basil | oregano | parsley | thyme | mustard | nutmeg | vinegar
    Fluid : oil | water | stock | butter | syrup
    Them.s : it
    Them.p : them
    They.s : it
    They.p : they
    Be.s : is
    Be.p : are
    Seem.s : looks | smells
    Seem.p : look | smell
    Cut : chop | slice | peel | grate | mince | rinse | drain | crush
    Heat : boil | fry | roast | bake | simmer | steam | grill
    Cut_done : chopped | sliced | peeled | grated | minced | rinsed
    Vessel : pan | pot | bowl | oven | skillet | dish | tray
    Level : low | medium | high
    Done : tender | golden | crisp | soft | thick | smooth
    Gently : gently | slowly | carefully | quickly
    Amount : a cup of | a spoonful of | a pinch of | a handful of | half a pound of
    Count : two | three | four | five | six | eight | ten | twelve | fifteen | twenty | thirty | forty

    Sky.s : fog | rain | snow | frost | hail | thunder
    Sky.p : clouds | showers | storms | winds | drizzles
    Strength : light | heavy | strong | weak | sudden | scattered
    Region : coast | valley | hills | north | south | east | west | plains | islands | border
    Span : tonight | this afternoon | before dawn | after midnight | until noon | by evening | at sunset
    Rise : rise | fall | drop | climb
    Spread : cover | reach | cross | leave | spare

    Goods : nails | screws | bricks | boards | ropes | pipes | tiles | candles | batteries | bulbs | hinges | brushes
    Box.s : crate | barrel | carton | shelf | drawer | pallet | bin
    Box.p : crates | barrels | cartons | pallets | bins | sacks
    Fault : damaged | missing | empty | sealed | dusty | labeled | rusty
    Keeper : the clerk | the manager | the supplier | the customer | the carrier
    Handled : counted | ordered | shipped | stored | returned | packed | sold | inspected
    Nth : first | second | third | fourth | fifth | last
    Storage : warehouse | cellar | depot | basement | yard
"""

_PHRASES: Final = """
    Time : for {Count} minutes | for half an hour | overnight
    The_food.n : the {Food.n}
    Stock : {Count} {Box.p} of {Goods} | {Count} {Goods} | no {Goods}
"""

_TEMPLATES: Final = """
    cut_cook : {Cut} {The_food.n} and {Heat} {Them.n} in hot {Fluid} {Time}
    cook_until : {Heat} {The_food.n} over {Level} heat until {They.n} {Be.n} {Done}
    cook_vessel : {Gently} {Heat} {The_food.n} in a {Vessel} {Time}
    add_amount : add {Amount} {Spice} and stir the {Mix.s} {Gently}
    pour : pour {Amount} {Fluid} over {The_food.n} and {Heat} {Them.n} {Time}
    season : season {The_food.n} with {Spice} and {Spice2} before you {Heat} {Them.n}
    ready : the {Mix.s} is ready when it {Seem.s} {Done}
    serve : serve the {Cut_done} {Food.n} with {Spice} and the warm {Mix.s}
    oven : heat the oven to {Count} degrees before you {Heat} {The_food.n}
    cover : cover the {Vessel} and let {The_food.n} rest {Time}
    knead : do not {Heat} {The_food.n} until the {Mix.s} {Seem.s} {Done}

    sky_will : {Strength} {Sky.n} will {Spread} the {Region} {Span}
    sky_expected : {Strength} {Sky.n} {Be.n} expected along the {Region} {Span}
    warmth : temperatures in the {Region} will {Rise} to {Count} degrees {Span}
    warmth_by : temperatures will {Rise} by {Count} degrees across the {Region} {Span}
    sky_moves : the {Sky.n} {Be.n} moving from the {Region} to the {Region2}
    no_sky : no {Sky.n} {Be.n} expected in the {Region} {Span}

    holds : the {Storage} holds {Stock}
    handled : {Keeper} {Handled} {Stock} {Span}
    fault : the {Nth} {Box.s} in the {Storage} is {Fault}
    faults : {Count} {Box.p} of {Goods} in the {Storage} are {Fault}
    order : order {Count} {Box.p} of {Goods} before {Keeper} leaves
    short : {Keeper} is short of {Goods} and needs {Count} {Box.p}
"""


def second_text_rules() -> tuple[str, str]:
    """Returns the rules of words and phrases, and those of sentences, with an empty Spanish half."""
    return "\n".join(_english_rules(_WORDS + _PHRASES)), "\n".join(_english_rules(_TEMPLATES))


def _english_rules(text: str) -> Iterator[str]:
    for line in rule_lines(text):
        head, _, body = line.partition(":")

        yield f"{head}: " + " | ".join(f"=> {alternative.strip()}" for alternative in body.split("|"))
