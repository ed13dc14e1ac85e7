"""``codec-s2st experiment``: runs an experiment, and ``experiment table`` gathers what it has found."""

from __future__ import annotations

import shlex
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from codec_s2st.arguments import CommandParser, path_argument

_PROG: Final = "codec-s2st experiment"

_USAGE: Final = f"""{_PROG} NAME|FILE OUT [--preset P] [--launch P] [--seeds N] [--only ARM/TASK] [--dry-run]
       {_PROG} table OUT
       {_PROG} reverse MANIFEST OUT
       {_PROG} texts FILE [--world W] [--split S] [--num N] [--seed N]"""

_DESCRIPTION: Final = """Runs an experiment: arms that are trained alike but for one thing, each fine-tuned on every
task with the same budget, scored on the same sentences. It is a pipeline of `codec-s2st launch`: the same command again
goes on where it stopped. `table` writes what was found until now, `reverse` a manifest with its sides exchanged, and
`texts` sentences of the demo world, one a line."""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    if argv and argv[0] == "table":
        return main_table(argv[1:])

    if argv and argv[0] == "reverse":
        return main_reverse(argv[1:])

    if argv and argv[0] == "texts":
        return main_texts(argv[1:])

    parser = CommandParser(
        prog=_PROG, usage=_USAGE, description=_DESCRIPTION, formatter_class=RawDescriptionHelpFormatter
    )

    parser.add_argument("name", metavar="NAME|FILE", help="four-way, another that is shipped, or a .yaml file")
    parser.add_argument("out", metavar="OUT", type=path_argument, help="the folder of all runs and of the results")
    parser.add_argument("--preset", metavar="P", help="its size, where it has several: small (default) or demo")
    parser.add_argument("--launch", metavar="P", help="a launch preset (see codec-s2st ls), or a .yaml file")
    parser.add_argument("--seeds", metavar="N", type=int, help="how many seeds (default: what the experiment says)")
    parser.add_argument("--only", metavar="ARM/TASK", help="only what this cell of the table needs")
    parser.add_argument("--dry-run", action="store_true", help="print the steps, and which of them are done")

    args = parser.parse_args(argv)

    from codec_s2st.errors import UserInputError
    from codec_s2st.experiment.files import check_files, write_experiment
    from codec_s2st.experiment.pipeline import compile_experiment
    from codec_s2st.experiment.reading import find_experiment, read_experiment, with_seeds

    experiment = with_seeds(read_experiment(find_experiment(args.name, args.preset)), args.seeds)

    check_files(experiment)

    if args.out.exists() and not args.out.is_dir():
        raise UserInputError(f"'{args.out}' is a file, but an experiment needs a folder", hint="name another one")

    compiled = compile_experiment(experiment, only=args.only)

    if args.dry_run:
        with TemporaryDirectory() as folder:
            _describe(write_experiment(experiment, compiled, Path(folder), out=args.out), args.out, args.launch)

        return 0

    from codec_s2st.launch.pipeline_command import main as run_pipeline

    file = write_experiment(experiment, compiled, args.out, out=args.out)

    return run_pipeline([str(file), *([] if args.launch is None else ["--preset", args.launch])])


def main_table(argv: Sequence[str]) -> int:
    """Writes the results of what is there, prints the table, and returns 0."""
    parser = CommandParser(
        prog=f"{_PROG} table",
        description="Gather what an experiment has found until now: OUT/results.json, .md and .html.",
    )

    parser.add_argument("out", metavar="OUT", type=path_argument, help="the folder of an experiment")

    args = parser.parse_args(argv)

    from codec_s2st.experiment.files import open_experiment
    from codec_s2st.experiment.gathering import gather
    from codec_s2st.experiment.page import write_page
    from codec_s2st.experiment.results_files import to_text, write_results

    results = gather(open_experiment(args.out), args.out)

    write_results(results, args.out)

    write_page(results, args.out)

    print(to_text(results))

    return 0


def main_texts(argv: Sequence[str]) -> int:
    """Writes English sentences of the demo world, and returns 0."""
    parser = CommandParser(
        prog=f"{_PROG} texts", description="Write English sentences of the demo world, one a line, for text-report."
    )

    parser.add_argument("file", metavar="FILE", type=path_argument, help="the file; it is replaced")
    parser.add_argument("--world", default="demo", help="small, demo or large (default: %(default)s)")
    parser.add_argument("--split", default="test", help="see demo-corpus (default: %(default)s)")
    parser.add_argument("--num", type=int, default=200, help="how many sentences (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")

    args = parser.parse_args(argv)

    from codec_s2st.data.files import atomic_path
    from codec_s2st.demo.grammar import sample_pairs

    texts = [pair.eng for pair in sample_pairs(args.split, args.num, args.seed, world=args.world)]

    args.file.parent.mkdir(parents=True, exist_ok=True)

    with atomic_path(args.file) as temporary:
        temporary.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")

    print(args.file)

    return 0


def main_reverse(argv: Sequence[str]) -> int:
    """Writes a manifest of the same recordings, source and target exchanged, and returns 0."""
    parser = CommandParser(prog=f"{_PROG} reverse", description="Write a manifest with source and target exchanged.")

    parser.add_argument("manifest", metavar="MANIFEST", type=path_argument, help="a manifest, or its folder")
    parser.add_argument("out", metavar="OUT", type=path_argument, help="the folder of the new one")

    args = parser.parse_args(argv)

    from codec_s2st.experiment.reversing import reverse_manifest

    print(reverse_manifest(args.manifest, args.out))

    return 0


def _describe(file: Path, out: Path, preset: str | None) -> None:
    from codec_s2st.launch.pipeline import load_pipeline
    from codec_s2st.launch.pipeline_command import find_job

    pipeline = load_pipeline(str(file), out=out, preset=preset)

    num_done = 0

    for step in pipeline.steps:
        job = find_job(pipeline, step)

        num_done += job is None

        state = "done" if job is None else f"job {job}" if job else "to do"

        words = [step.call.name, *([] if step.call.out is None else [str(step.call.out)]), *step.call.arguments]

        # As it will be once the files lie in OUT.
        words = [word.replace(str(file.parent), str(pipeline.out)) for word in words]

        print(f"# {step.name}: {state}\ncodec-s2st {shlex.join(words)}\n")

    print(f"{len(pipeline.steps)} steps, {num_done} of them done")
