"""``codec-s2st text-report``: what a model has forgotten of text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from codec_s2st.arguments import CommandParser, path_argument


def main(argv: Sequence[str]) -> int:
    """Prints what each model knows of texts beside the first one, and returns 0."""
    parser = CommandParser(
        prog="codec-s2st text-report",
        description="Measure what models know of text beside the first one, which is the base LLM: perplexity, last "
        "words, and multiple choice.",
    )

    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="what --init takes: a card, a run, a published or Hugging Face folder",
    )
    parser.add_argument(
        "--during",
        action="store_true",
        help="instead of models, MODEL is a run: show what it measured of texts while it was trained, as a table, and "
        "with --out as curves",
    )
    parser.add_argument("--text", metavar="FILE", type=path_argument, help="texts, one a line, or .jsonl with `text`")
    parser.add_argument(
        "--choices", metavar="FILE", type=path_argument, help="questions: .jsonl; see docs/evaluation.md"
    )
    parser.add_argument(
        "--language", metavar="L", help="score models that know tags with texts behind them too, in this language"
    )
    parser.add_argument("--max-items", metavar="N", type=int, help="score the first N texts and questions only")
    parser.add_argument("--device", default="cpu", help="such as cuda (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", type=path_argument, help="write text_report.json and .md there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")

    args = parser.parse_args(argv)

    from codec_s2st.errors import UserInputError
    from codec_s2st.recipes.text_report.report import read_questions, read_texts, write_text_report

    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise UserInputError(f"--out '{args.out}' is not a folder")

    if args.during:
        return _show_runs([path_argument(model) for model in args.models], args.out, as_json=args.json)

    if args.text is None and args.choices is None:
        raise UserInputError("there is nothing to score", hint="--text FILE, --choices FILE, or both")

    if args.max_items is not None and args.max_items < 1:
        raise UserInputError(f"--max-items must be at least 1, but is {args.max_items}")

    texts = [] if args.text is None else read_texts(args.text)[: args.max_items]

    questions = [] if args.choices is None else read_questions(args.choices)[: args.max_items]

    from tqdm import tqdm

    from codec_s2st.devices import find_device
    from codec_s2st.evaluation.table import plain
    from codec_s2st.recipes.text_report.measure import measure

    device = find_device(args.device)

    with tqdm(desc="text-report", unit=" texts", disable=not sys.stderr.isatty(), leave=False) as bar:
        report = measure(
            args.models,
            texts,
            questions,
            files=[file for file in (args.text, args.choices) if file is not None],
            language=args.language,
            device=device,
            on_text=bar.update,
        )

    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)

        write_text_report(report, args.out)

    print(report.to_json() if args.json else "\n".join([plain(report.table()), "", *report.remarks()]))

    return 0


def _show_runs(runs: Sequence[Path], out: Path | None, *, as_json: bool) -> int:
    from codec_s2st.errors import UserInputError
    from codec_s2st.evaluation.table import plain
    from codec_s2st.recipes.text_report.curve import read_run, write_forgetting_report

    if len(runs) != 1:
        raise UserInputError(f"--during shows one run, but {len(runs)} are given")

    report = read_run(runs[0])

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)

        write_forgetting_report(report, out)

    print(report.to_json() if as_json else "\n".join([plain(report.table()), "", *report.remarks()]))

    return 0
