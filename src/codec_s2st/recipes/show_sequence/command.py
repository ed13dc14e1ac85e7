"""``codec-s2st show-sequence``: what the model of a training preset will see."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codec_s2st.arguments import CommandParser, picture_argument
from codec_s2st.errors import UserInputError
from codec_s2st.recipes.common.looking import TRAINING_RECIPES, recipe_of_preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from codec_s2st.recipes.show_sequence.picture import ShownSequence
    from codec_s2st.tokens.vocabulary import Vocabulary

    Show = Callable[[list[ShownSequence], Vocabulary], None]


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    parser = CommandParser(
        prog="codec-s2st show-sequence",
        description="Print sequences as a training preset makes them, stream by stream; * marks what is in the loss.",
        epilog="further options are those of the recipe: --shards, --init, --config K=V",
    )

    parser.add_argument("preset", metavar="PRESET", help="RECIPE/NAME, such as cpt/demo/joint, or a .yaml file")
    parser.add_argument("--recipe", choices=TRAINING_RECIPES, help="the recipe of a .yaml file")
    parser.add_argument("--num", type=int, default=3, help="the number of sequences (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="print the middle of long runs of codes too")
    parser.add_argument(
        "--picture", metavar="FILE", type=picture_argument, default=Path("sequences.png"),
        help="the picture to write: .png, .svg or .pdf (default: %(default)s)",
    )  # fmt: skip

    args, options = parser.parse_known_args(list(argv))

    if args.num < 1:
        raise UserInputError(f"--num is {args.num}, but must be at least 1")

    name = recipe_of_preset(args.preset, args.recipe)

    def show(shown: list[ShownSequence], vocabulary: Vocabulary) -> None:
        from codec_s2st.recipes.show_sequence.picture import draw_sequences, format_sequence

        for item in shown:
            print(f"{format_sequence(item, vocabulary, whole=args.all)}\n")

        draw_sequences(shown, vocabulary, args.picture)

        print(args.picture)

    _run(name, args.preset, options, args.num, show)

    return 0


def _run(name: str, preset: str, options: list[str], num: int, show: Show) -> None:
    from codec_s2st.recipes.common.command import make_recipe
    from codec_s2st.recipes.common.looking import look_with
    from codec_s2st.recipes.common.training import SpeechTextTrainRecipe
    from codec_s2st.recipes.show_sequence.recipe import ShowSequenceRecipe

    recipe = make_recipe(name)

    assert isinstance(recipe, SpeechTextTrainRecipe)

    logging.getLogger("matplotlib").setLevel(logging.WARNING)

    look_with(ShowSequenceRecipe(recipe, num, show), name, preset, options)
