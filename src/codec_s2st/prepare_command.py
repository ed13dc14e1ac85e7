"""``codec-s2st prepare``: the manifest of a published corpus, of tables, or of text."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from codec_s2st.arguments import CommandParser, path_argument
from codec_s2st.data.corpora import CORPORA, load_corpus

if TYPE_CHECKING:
    from codec_s2st.data.corpora.corpus import Corpus
    from codec_s2st.data.preparation.counts import ProgressHook
    from codec_s2st.data.preparation.prepare import PrepareSummary

_PROG: Final = "codec-s2st prepare"

_USAGE: Final = f"""{_PROG} CORPUS SRC OUT [OPTIONS...]
       {_PROG} CORPUS --help
       {_PROG} --list
       {_PROG} label MANIFEST OUT --model CARD --task TASK"""

_DESCRIPTION: Final = """Reads the corpus in SRC and writes OUT/manifest.parquet, which `codec-s2st tokenize` takes,
and OUT/prepare.json, which says what was read and what was left out. Nothing is downloaded.
`label` gives the recordings of a manifest transcripts or translations that a model makes.

corpora:"""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code; prints the manifest's path."""
    if argv and argv[0] == "label":
        from codec_s2st import label_command

        return label_command.main(argv[1:])

    if argv and not argv[0].startswith("-"):
        return _prepare(load_corpus(argv[0]), argv[1:])

    parser = CommandParser(
        prog=_PROG,
        usage=_USAGE,
        description="\n".join([_DESCRIPTION, *_list()]),
        formatter_class=RawDescriptionHelpFormatter,
    )

    parser.add_argument("--list", action="store_true", help="list the corpora, and nothing else")

    if not parser.parse_args(argv).list:
        parser.print_help()

        return 2

    print("\n".join(_list()))

    return 0


def _list() -> list[str]:
    width = max(len(name) for name in CORPORA)

    corpora = [load_corpus(name) for name in CORPORA]

    return [f"  {corpus.name:<{width}}  {corpus.summary} [{corpus.licence}]" for corpus in corpora]


def make_parser(corpus: Corpus) -> CommandParser:
    """Returns the parser of ``codec-s2st prepare NAME``."""
    parser = CommandParser(
        prog=f"{_PROG} {corpus.name}",
        description="\n".join(
            [
                corpus.summary + ".",
                "",
                f"SRC:      {corpus.expects}",
                f"licence:  {corpus.licence}",
                f"from:     {corpus.url}",
                f"layout:   {corpus.layout}",
            ]
        ),
        formatter_class=RawDescriptionHelpFormatter,
    )

    parser.add_argument("src", metavar="SRC", type=path_argument, help="where the corpus lies")
    parser.add_argument("out", metavar="OUT", type=path_argument, help="the folder for manifest.parquet, prepare.json")

    for option in corpus.options:
        flag, text = f"--{option.name}", option.help.replace("%", "%%")

        if option.kind == "flag":
            parser.add_argument(flag, dest=f"corpus:{option.name}", action="store_true", help=text)

            continue

        if option.default is not None:
            text += f" (default: {option.default})"

        parser.add_argument(
            flag,
            dest=f"corpus:{option.name}",
            metavar={"path": "PATH", "number": "X"}.get(option.kind, "|".join(option.choices) or "VALUE"),
            action="append" if option.many else "store",
            help=text + ("; may be repeated" if option.many else ""),
        )

    group = parser.add_argument_group("options of every corpus")

    group.add_argument("--split", action="append", default=[], help="take this split only; may be repeated")
    group.add_argument(
        "--hold-out", type=float, default=0.0, metavar="SHARE", help="this share of train becomes valid, by speaker"
    )
    group.add_argument("--limit", type=int, metavar="N", help="stop after N utterances")
    group.add_argument("--lowercase", action="store_true", help="texts in lower case")
    group.add_argument(
        "--keep-incomplete", action="store_true", help="keep utterances without the text that the corpus should have"
    )
    group.add_argument("--absolute", action="store_true", help="absolute paths of audio below OUT, too")
    group.add_argument("--strict", action="store_true", help="exit with 2 if an utterance had to be left out")
    group.add_argument("--jobs", type=int, default=8, metavar="N", help="audio files to look at at once (default: 8)")
    group.add_argument("--quiet", action="store_true", help="neither progress nor summary")

    return parser


def _prepare(corpus: Corpus, argv: Sequence[str]) -> int:
    args = make_parser(corpus).parse_args(argv)

    from codec_s2st.data.preparation.prepare import Preparation, check_strict, prepare_corpus

    given = {option.name: getattr(args, f"corpus:{option.name}") for option in corpus.options}

    preparation = Preparation(
        splits=tuple(args.split),
        keep_incomplete=args.keep_incomplete,
        lowercase=args.lowercase,
        hold_out=args.hold_out,
        limit=args.limit,
        absolute=args.absolute,
        num_threads=args.jobs,
    )

    def run(progress: ProgressHook | None) -> PrepareSummary:
        return prepare_corpus(corpus, args.src, args.out, given, preparation, progress=progress)

    summary = run(None) if args.quiet or not sys.stderr.isatty() else _with_progress(corpus, run)

    if not args.quiet:
        print(summary, file=sys.stderr)

    if args.strict:
        check_strict(summary)

    print(summary.manifest)

    return 0


def _with_progress(corpus: Corpus, run: Callable[[ProgressHook | None], PrepareSummary]) -> PrepareSummary:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    # How many utterances there are is known only at the end.
    columns = (
        TextColumn("{task.description}"),
        BarColumn(pulse_style="cyan"),
        TextColumn("{task.fields[taken]:,} taken, {task.fields[left_out]:,} left out"),
        TimeElapsedColumn(),
    )

    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        counts = {True: 0, False: 0}

        task = bar.add_task(f"prepare {corpus.name}", total=None, taken=0, left_out=0)

        def count(taken: bool) -> None:
            counts[taken] += 1

            if sum(counts.values()) % 100 == 0:
                bar.update(task, taken=counts[True], left_out=counts[False])

        return run(count)
