"""``codec-s2st stats`` and ``codec-s2st filter``."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict

from codec_s2st.arguments import CommandParser, path_argument, picture_argument
from codec_s2st.errors import UserInputError


def main_stats(argv: Sequence[str]) -> int:
    """Runs ``codec-s2st stats`` and returns 0."""
    parser = CommandParser(
        prog="codec-s2st stats", description="Count what a manifest holds: hours by split, language and speaker."
    )

    parser.add_argument("manifest", metavar="MANIFEST", type=path_argument, help="a manifest, or its folder")
    parser.add_argument(
        "--picture", metavar="FILE", type=picture_argument, help="write a histogram of durations: .png, .svg or .pdf"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")

    args = parser.parse_args(argv)

    from codec_s2st.data.manifest_stats import compute_stats, draw_stats, format_stats

    stats = compute_stats(args.manifest)

    print(json.dumps(asdict(stats), indent=2, ensure_ascii=False) if args.json else format_stats(stats))

    if args.picture is not None:
        draw_stats(stats, args.picture)

        if not args.json:
            print(f"\n{args.picture}")

    return 0


def main_filter(argv: Sequence[str]) -> int:
    """Runs ``codec-s2st filter`` and returns 0."""
    parser = CommandParser(
        prog="codec-s2st filter",
        description="Write the rows of a manifest that fulfil some rules. A rule does not count where a row has "
        "nothing that it speaks of.",
    )

    parser.add_argument("manifest", metavar="MANIFEST", type=path_argument, help="a manifest, or its folder")
    parser.add_argument("out", metavar="OUT", type=path_argument, help="a .parquet file, or a folder")
    parser.add_argument("--min-seconds", metavar="S", type=float, help="of each recording")
    parser.add_argument("--max-seconds", metavar="S", type=float, help="of each recording")
    parser.add_argument("--max-ratio", metavar="R", type=float, help="of the longer recording of a pair to the other")
    parser.add_argument("--split", metavar="SPLIT", nargs="+", default=[], help="the splits that stay")
    parser.add_argument("--source-lang", metavar="LANG", nargs="+", default=[], help="the languages that stay")
    parser.add_argument("--target-lang", metavar="LANG", nargs="+", default=[], help="the languages that stay")
    parser.add_argument(
        "--source-script", metavar="SCRIPT", help="of all letters of the text: Latin, Han, Cyrillic, .."
    )
    parser.add_argument("--target-script", metavar="SCRIPT", help="likewise")
    parser.add_argument("--unique", choices=("text", "audio"), help="of rows with the same, the first one stays")

    args = parser.parse_args(argv)

    _check(args)

    from codec_s2st.data.manifest_filter import FilterRules, filter_manifest

    result = filter_manifest(
        args.manifest,
        args.out,
        FilterRules(
            min_seconds=args.min_seconds,
            max_seconds=args.max_seconds,
            max_ratio=args.max_ratio,
            splits=tuple(args.split),
            source_langs=tuple(args.source_lang),
            target_langs=tuple(args.target_lang),
            source_script=args.source_script,
            target_script=args.target_script,
            unique=args.unique,
        ),
    )

    print(f"{result.num_kept:,} of {result.num_rows:,} rows stay")

    for reason, count in result.left_out.items():
        print(f"  {count:12,}  left out: {reason}")

    print(result.manifest)

    return 0


def _check(args: Namespace) -> None:
    for name in ("min_seconds", "max_seconds"):
        value = getattr(args, name)

        if value is not None and not 0 <= value < float("inf"):
            raise UserInputError(f"--{name.replace('_', '-')} is {value}, but must be a number of seconds")

    if args.min_seconds is not None and args.max_seconds is not None and args.min_seconds > args.max_seconds:
        raise UserInputError(
            f"--min-seconds is {args.min_seconds}, but must not be above --max-seconds, which is {args.max_seconds}"
        )

    if args.max_ratio is not None and not args.max_ratio >= 1:
        raise UserInputError(f"--max-ratio is {args.max_ratio}, but must be at least 1")

    for name in ("source_script", "target_script"):
        script = getattr(args, name)

        if script is not None and not script.replace("_", "").isalpha():
            raise UserInputError(f"--{name.replace('_', '-')} is '{script}', but must be a script, such as Latin")
