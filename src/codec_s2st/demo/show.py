"""``make demo``: a held-out sentence is spoken, translated and listened to; then held-out sentences are scored."""

from __future__ import annotations

import logging
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from codec_s2st.cli import main as codec_s2st_main
from codec_s2st.errors import CodecS2STError


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m codec_s2st.demo.show", description="Show what the shipped model does.")

    parser.add_argument("out", metavar="OUT", type=Path, nargs="?", default=Path("demo-out"), help="default: demo-out")
    parser.add_argument("--model", default="demo_s2st", help="the model's card (default: %(default)s)")
    parser.add_argument("--num", type=int, default=50, help="held-out sentences to score (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="the seed of the held-out sentences (default: %(default)s)")

    args = parser.parse_args(argv)

    begin = time.monotonic()

    # What fairseq2 tells of configuration and machine would bury what is to be seen here.
    logging.getLogger("fairseq2").setLevel(logging.WARNING)

    try:
        _show(args.out, args.model, args.num, args.seed)
    except CodecS2STError as ex:
        print(f"codec_s2st.demo.show: error: {ex}", file=sys.stderr)

        return ex.exit_code

    print(f"\nEverything took {(time.monotonic() - begin) / 60:.1f} minutes.")

    return 0


def _show(out: Path, model: str, num: int, seed: int) -> None:
    import soundfile

    from codec_s2st.data.manifest import iter_rows, read_manifest
    from codec_s2st.demo.listener import ConstrainedListener

    corpus = out / "test"

    print(f"== Held-out Spanish sentences, which the model has never seen, spoken by espeak-ng: {corpus}")

    _run(["demo-corpus", str(corpus), "--split", "test", "--num", str(num), "--seed", str(seed)])

    row = next(iter(iter_rows(read_manifest(corpus))))

    source, translation = corpus / str(row.source_audio), out / "translation.wav"

    print("\n== The first of them, translated: Spanish codec tokens in, English codec tokens out, no text in between")

    _run(["translate", str(source), str(translation), "--model", model, "--json"])

    wave, sample_rate = soundfile.read(str(translation), dtype="float32")

    heard = ConstrainedListener().transcribe(wave, sample_rate) or "(speech, but no sentence of the demo world)"

    print(f"\nspoken:     {row.source_text}   ({source})")
    print(f"heard:      {heard}   ({translation})")
    print(f"reference:  {row.target_text}")
    print("'Heard' is what an independent listener (PocketSphinx) understands; it shares no data with the model.")

    print(f"\n== {num} held-out sentences, scored by the listener, beside chance and what the codec alone loses")

    evaluation = out / "evaluation"

    _run(["evaluate", str(evaluation), "--preset", "demo", "--manifest", str(corpus), "--model", model])

    print(f"\nThe report to look at and listen to is {evaluation / 'report.html'}; the translations are in")
    print(f"{evaluation / 'wav'}.")
    print("To train such a model from nothing: make demo-train; to see its learning curves then (or while it runs):")
    print("  .venv/bin/tensorboard --logdir demo-train")


def _run(command: list[str]) -> None:
    print(f"$ codec-s2st {' '.join(command)}", flush=True)

    code = codec_s2st_main(command)

    if code != 0:
        raise CodecS2STError(f"'codec-s2st {command[0]}' ended with exit code {code}")


if __name__ == "__main__":
    sys.exit(main())
