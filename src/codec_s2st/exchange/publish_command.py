"""``codec-s2st publish``: a run becomes a folder that can be handed to somebody else."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Final

from codec_s2st.arguments import CommandParser, path_argument
from codec_s2st.errors import UserInputError

DTYPES: Final = ("float16", "bfloat16", "float32")


def main(argv: Sequence[str]) -> int:
    """Runs ``codec-s2st publish`` and returns 0; every error is raised."""
    parser = CommandParser(
        prog="codec-s2st publish",
        description="Write a run's model as a self-contained folder: card, safetensors, tokenizer, training, README.",
    )

    parser.add_argument("run", metavar="RUN", type=path_argument, help="the folder that cpt or s2st wrote")
    parser.add_argument("out", metavar="OUT", type=path_argument, help="the folder to write; it must not exist")
    parser.add_argument("--name", required=True, help="the card's name, by which others load the model")
    parser.add_argument("--step", type=int, help="the checkpoint (default: the best one by validation, else the last)")
    parser.add_argument("--dtype", choices=DTYPES, help="of the weights (default: as they were trained)")
    parser.add_argument(
        "--task", dest="tasks", metavar="TASK", action="append", help="what it does (default: the run's; repeatable)"
    )
    parser.add_argument(
        "--language",
        dest="languages",
        metavar="SRC-TGT",
        action="append",
        help="a direction, such as spa-eng (default: those of the run's shards; repeatable)",
    )
    parser.add_argument("--license", help="what others may do with the weights")
    parser.add_argument("--data", help="what it was trained on, in words, for the README")
    parser.add_argument(
        "--report",
        dest="reports",
        metavar="REPORT",
        action="append",
        type=path_argument,
        default=[],
        help="the folder of an evaluation of these weights (default: those in RUN; repeatable)",
    )

    codec = parser.add_mutually_exclusive_group()

    codec.add_argument("--with-codec", action="store_true", help="copy the codec's weights, too")
    codec.add_argument("--no-codec", action="store_true", help="name the codec only, though it is your own")

    parser.add_argument("--overwrite", action="store_true", help="replace an earlier published folder")

    args = parser.parse_args(list(argv))

    print(_publish(args))

    return 0


def _publish(args: Namespace) -> object:
    from codec_s2st.exchange.publish import check_name

    # Before what takes seconds.
    check_name(args.name)

    import torch
    from fairseq2.runtime.dependency import get_dependency_resolver

    from codec_s2st.cards import read_cards
    from codec_s2st.data.templates import find_template
    from codec_s2st.exchange.publish import publish_model
    from codec_s2st.exchange.tasks import languages_of, own_tasks, tasks_of
    from codec_s2st.runs import open_run, read_settings
    from codec_s2st.share import assets_dir, card_name

    # Two cards of one name make all cards of an installation unreadable.
    if card_name(args.name) in {card.name for card in read_cards(assets_dir())}:
        raise UserInputError(f"'{args.name}' is the name of a card that is shipped", hint="choose another --name")

    get_dependency_resolver()

    settings = read_settings(open_run(args.run, step=args.step))

    for task in args.tasks or []:
        find_template(task, own_tasks(settings))

    for language in args.languages or []:
        source, _, target = language.partition("-")

        if not (len(source) == len(target) == 3 and source.isalpha() and target.isalpha() and language.islower()):
            raise UserInputError(f"the direction '{language}' must be two ISO 639-3 codes", hint="such as spa-eng")

    notes = {key: value for key in ("license", "data") if (value := getattr(args, key)) is not None}

    return publish_model(
        args.run,
        args.out,
        args.name,
        tasks=args.tasks or tasks_of(settings),
        languages=args.languages or languages_of(settings),
        notes=notes,
        step=args.step,
        dtype=None if args.dtype is None else getattr(torch, args.dtype),
        with_codec=True if args.with_codec else False if args.no_codec else None,
        reports=args.reports,
        overwrite=args.overwrite,
    )
