"""``codec-s2st translate``: one recording or many, in this process."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codec_s2st.arguments import CommandParser, path_argument

if TYPE_CHECKING:
    from codec_s2st.translator import SpeechTranslator


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code: 0, or 2 if a recording of many could not be translated."""
    parser = CommandParser(
        prog="codec-s2st translate",
        description="Translate a recording to a recording; or a folder of recordings, or a manifest, to a folder.",
    )

    parser.add_argument(
        "input", metavar="IN", type=path_argument, help="a wav, flac or ogg file, a folder of them, or a manifest"
    )
    parser.add_argument(
        "output", metavar="OUT", type=path_argument, help="the file (.wav, .flac, .ogg; .txt), or folder, to write"
    )
    parser.add_argument(
        "--model", default="demo_s2st", help="a model card, a card file, or a published folder (default: %(default)s)"
    )
    parser.add_argument("--task", help="such as s2st, s2st_chain, s2tt, asr (default: the first that the model knows)")
    parser.add_argument("--source", metavar="LANG", help="the language spoken, such as spa")
    parser.add_argument("--target", metavar="LANG", help="the language wanted, such as eng")
    parser.add_argument(
        "--voice", metavar="RECORDING", type=path_argument, help="who is to speak, for a task with a voice"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="recordings at once (default: %(default)s)")
    parser.add_argument(
        "--quantize", choices=["none", "int8"], default="none", help="int8: faster on CPUs, a little less exact"
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="write speech while it is generated, to OUT's name with .part.wav until it is complete",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a recording")

    args = parser.parse_args(argv)

    from codec_s2st.errors import CodecS2STError, UserInputError

    if args.batch_size < 1:
        raise UserInputError(f"--batch-size is {args.batch_size}, but must be at least 1")

    from codec_s2st.recipes.translate.jobs import TranslateJob, check_paths, find_jobs, is_recording

    # Before the model is loaded, which takes seconds.
    check_paths(args.input, args.output)

    from rich.console import Console
    from rich.progress import Progress

    from codec_s2st.generation.options import GenerationOptions
    from codec_s2st.recipes.translate.files import translate_files
    from codec_s2st.translator import SpeechTranslator

    if args.stream and (not is_recording(args.input) or args.output.suffix != ".wav"):
        raise UserInputError("--stream is for one recording and one .wav file")

    options = GenerationOptions(quantize=args.quantize)

    translator = SpeechTranslator.from_card(args.model, options=options)

    if args.stream:
        return _stream(translator, args)

    template, _, _ = translator.check(args.task, args.source, args.target)

    jobs = find_jobs(args.input, args.output, template)

    many = not is_recording(args.input)

    num_errors = 0

    console = Console(stderr=True)

    with Progress(console=console, disable=len(jobs) == 1 or not console.is_interactive, transient=True) as progress:
        bar = progress.add_task("translate", total=len(jobs))

        def on_error(job: TranslateJob, ex: CodecS2STError) -> None:
            nonlocal num_errors

            if not many:
                raise ex

            num_errors += 1

            progress.advance(bar)

            print(f"codec-s2st: left out: {ex}", file=sys.stderr)

        for result in translate_files(
            translator,
            jobs,
            task=args.task,
            source_lang=args.source,
            target_lang=args.target,
            batch_size=args.batch_size,
            on_error=on_error,
            voice=args.voice,
        ):
            progress.advance(bar)

            if args.json:
                print(result.to_json(), flush=True)
            else:
                print(f"{result.output}{'' if result.text is None else ': ' + result.text}", flush=True)

            if not result.finished:
                print(f"codec-s2st: warning: {result.output} was cut at its largest length", file=sys.stderr)

            _warn_of_level(result.input, result.input_flaw)

    if num_errors:
        raise UserInputError(f"{num_errors} of {len(jobs)} recordings could not be translated")

    return 0


def _stream(translator: SpeechTranslator, args: Namespace) -> int:
    from codec_s2st.codecs.audio import read_audio
    from codec_s2st.evaluation.levels import level_flaw
    from codec_s2st.recipes.translate.streaming import stream_to_file
    from codec_s2st.translator import SpeechInput

    sample_rate = translator.codec.spec.sample_rate

    voice = None if args.voice is None else SpeechInput(read_audio(args.voice, sample_rate=sample_rate), sample_rate)

    wave = read_audio(args.input, sample_rate=sample_rate)

    flaw = level_flaw(wave)

    _warn_of_level(args.input, flaw)

    times = stream_to_file(
        translator,
        SpeechInput(wave, sample_rate),
        args.output,
        task=args.task,
        source_lang=args.source,
        target_lang=args.target,
        voice=voice,
    )

    if args.json:
        fields = {**asdict(times), "real_time_factor": times.real_time_factor, "input_flaw": flaw}

        print(json.dumps({"output": str(args.output), **fields}))
    else:
        print(
            f"{args.output}: first sound after {times.first_audio_seconds:.2f} s,"
            f" {times.seconds_out:.1f} s in {times.total_seconds:.1f} s"
        )

    return 0


def _warn_of_level(recording: Path | str, flaw: str | None) -> None:
    if flaw is not None:
        print(f"codec-s2st: warning: '{recording}' {flaw}", file=sys.stderr)
