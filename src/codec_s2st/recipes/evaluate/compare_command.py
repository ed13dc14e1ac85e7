"""``codec-s2st compare``: whether models differ."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from codec_s2st.arguments import CommandParser, path_argument


def main(argv: Sequence[str]) -> int:
    """Prints how each report differs from the first, and returns 0."""
    parser = CommandParser(
        prog="codec-s2st compare",
        description="Compare the scores of models on the same items with the first one's: paired bootstrap and "
        "approximate randomisation.",
    )

    parser.add_argument(
        "reports", metavar="REPORT", type=path_argument, nargs="+", help="a report.json, or the folder of an evaluation"
    )
    parser.add_argument("--out", metavar="DIR", type=path_argument, help="write table, numbers and a picture there")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the resamples (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")

    args = parser.parse_args(argv)

    from codec_s2st.errors import UserInputError

    if len(args.reports) < 2:
        raise UserInputError("one report cannot be compared", hint="codec-s2st compare A/report.json B/report.json")

    if args.seed < 0:
        raise UserInputError(f"--seed must not be negative, but is {args.seed}")

    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise UserInputError(f"--out '{args.out}' is not a folder")

    from tqdm import tqdm

    from codec_s2st.evaluation.table import plain
    from codec_s2st.recipes.evaluate.comparison import check_comparable, compare, read_report
    from codec_s2st.recipes.evaluate.comparison_files import write_comparison

    reports = [read_report(file) for file in args.reports]

    num_steps = sum(len(check_comparable(reports[0], other)) for other in reports[1:])

    with tqdm(total=num_steps, desc="compare", disable=not sys.stderr.isatty(), leave=False) as bar:
        comparison = compare(reports, seed=args.seed, on_step=bar.update)

    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)

        write_comparison(comparison, args.out)

    if args.json:
        print(comparison.to_json())
    else:
        print("\n".join([plain(comparison.table()), "", *comparison.remarks]).rstrip())

    return 0
