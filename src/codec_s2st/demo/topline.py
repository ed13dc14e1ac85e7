"""What the listeners understand of reference recordings: the figures of docs/demo-world.md.

python -m codec_s2st.demo.topline --world large                      in the world's own target voices
python -m codec_s2st.demo.topline --world large --voice en-us+m1     in another voice of espeak-ng
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING

from codec_s2st.demo.grammar import WORLDS
from codec_s2st.errors import CodecS2STError, UserInputError

if TYPE_CHECKING:
    from codec_s2st.demo.signal import Wave


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m codec_s2st.demo.topline", description="Listen to reference recordings.")

    parser.add_argument("--world", choices=WORLDS, default="demo", help="(default: %(default)s)")
    parser.add_argument("--num", type=int, default=100, help="test sentences, 2 or more (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=11, help="(default: %(default)s)")
    parser.add_argument("--voice", metavar="ID", help="a voice of espeak-ng (default: those of the world's targets)")

    args = parser.parse_args(argv)

    try:
        _report(args.world, args.num, args.seed, args.voice)
    except CodecS2STError as ex:
        print(f"codec_s2st.demo.topline: error: {ex}", file=sys.stderr)

        return ex.exit_code

    return 0


def _report(world: str, num: int, seed: int, voice: str | None) -> None:
    from codec_s2st.demo.espeak import SAMPLE_RATE
    from codec_s2st.demo.listener import ConstrainedListener, OpenListener
    from codec_s2st.evaluation.chance import derangement

    if num < 2:
        raise UserInputError(f"the number of sentences is {num}, but chance needs 2 or more")

    recordings = _recordings(world, num, seed, voice)

    references = [text for text, _ in recordings]

    wrong = [references[i] for i in derangement(num, seed)]

    listeners = {
        "constrained": ConstrainedListener(world=world),
        "open": OpenListener(world=world),
        "open, order 2": OpenListener(world=world, order=2),
    }

    print("listener        WER / BLEU     by chance")

    for name, listener in listeners.items():
        heard = [listener.transcribe(wave, SAMPLE_RATE) for _, wave in recordings]

        print(f"{name:<14}  {_scores(references, heard)}   {_scores(wrong, heard)}", flush=True)


def _recordings(world: str, num: int, seed: int, voice: str | None) -> list[tuple[str, Wave]]:
    from codec_s2st.demo.espeak import Voice, synthesise
    from codec_s2st.demo.grammar import sample_pairs
    from codec_s2st.demo.utterances import TARGET_SPEED, iter_demo_utterances

    if voice is None:
        return [(u.pair.eng, u.target) for u in iter_demo_utterances("test", num, seed, world=world)]

    speaker = Voice(name=voice, espeak_id=voice, language="eng")

    return [
        (pair.eng, synthesise(pair.spoken(pair.eng), speaker, speed_wpm=TARGET_SPEED))
        for pair in sample_pairs("test", num, seed, world=world)
    ]


def _scores(references: Sequence[str], heard: Sequence[str]) -> str:
    from codec_s2st.evaluation.metrics import TextPair, score

    pairs = [TextPair(str(i), *texts) for i, texts in enumerate(zip(references, heard, strict=True))]

    wer, bleu = (score(metric, pairs, language="eng").value for metric in ("wer", "bleu"))

    return f"{wer:.3f} / {bleu:<5.1f}"


if __name__ == "__main__":
    sys.exit(main())
