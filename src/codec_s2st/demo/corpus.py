"""``codec-s2st demo-corpus``: writes a corpus of the demo world, as wavs and a manifest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from codec_s2st.arguments import CommandParser, path_argument
from codec_s2st.demo.utterances import DemoUtterance as DemoUtterance
from codec_s2st.demo.utterances import iter_demo_utterances as iter_demo_utterances
from codec_s2st.errors import UserInputError, unknown_name

if TYPE_CHECKING:
    from codec_s2st.data.alignment import TimedSpan
    from codec_s2st.data.manifest import ManifestRow
    from codec_s2st.demo.grammar import Pair
    from codec_s2st.demo.signal import Wave


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code; prints the manifest's path."""
    parser = CommandParser(
        prog="codec-s2st demo-corpus",
        description="Synthesise a Spanish-English corpus of the demo world: OUT/wav/*.wav and OUT/manifest.parquet. "
        "The same arguments give the same bytes.",
    )

    parser.add_argument("out", metavar="OUT", type=path_argument, help="the folder; its manifest is replaced")
    parser.add_argument(
        "--split",
        default="train",
        help="train, valid, test, test-unseen-voice or test-unseen-template (default: %(default)s)",
    )
    parser.add_argument("--world", default="demo", help="small, demo or large (default: %(default)s)")
    parser.add_argument("--num", type=int, default=200, help="how many pairs with speech (default: %(default)s)")
    parser.add_argument("--text-only", type=int, default=0, metavar="N", help="add N pairs without speech (train only)")
    parser.add_argument(
        "--second-text",
        type=int,
        default=0,
        metavar="N",
        help="write N sentences of the second text domain, of the split, to OUT/second-text.txt",
    )
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument(
        "--channel",
        default="clean",
        help="what the Spanish speech went through: clean, noise (20 dB below it) or telephone (default: %(default)s)",
    )
    parser.add_argument("--alignments", action="store_true", help="let the manifest say when each word is said")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="utterances at once (default: one a core)"
    )

    args = parser.parse_args(argv)

    if args.second_text:
        print(write_second_text(args.out, split=args.split, num=args.second_text, seed=args.seed))

        if args.num == args.text_only == 0:
            return 0

    manifest = write_corpus(
        args.out,
        world=args.world,
        split=args.split,
        num=args.num,
        text_only=args.text_only,
        seed=args.seed,
        channel=args.channel,
        alignments=args.alignments,
        jobs=args.jobs,
        quiet=False,
    )

    print(manifest)

    return 0


def write_corpus(
    out: Path,
    *,
    split: str,
    num: int,
    seed: int,
    world: str = "demo",
    text_only: int = 0,
    channel: str = "clean",
    alignments: bool = False,
    jobs: int = 1,
    quiet: bool = True,
) -> Path:
    """Writes ``out/wav/<id>.spa.wav``, ``out/wav/<id>.eng.wav`` (16 kHz, 16 bits) and ``out/manifest.parquet``.

    The manifest is written last. What is written does not depend on ``jobs``.

    :param num: How many pairs with speech.
    :param world: The world's name.
    :param text_only: How many further pairs have text and no speech; for the split ``train`` only.
    :param channel: What the Spanish speech went through; see :func:`~codec_s2st.demo.channels.through_channel`.
    :param alignments: Whether the manifest says when each word is said.
    :param quiet: Whether no progress bar is drawn on stderr.

    :returns: The manifest's file.

    :raises UserInputError: An argument is out of range, a package is missing, or ``out`` cannot be written.
    """
    if num < 0 or text_only < 0 or num + text_only == 0:
        raise UserInputError(f"nothing to write: {num} pairs with speech and {text_only} without")

    if text_only > 0 and split != "train":
        raise UserInputError(f"only the split 'train' has pairs without speech, not '{split}'")

    if not 1 <= jobs <= 256:
        raise UserInputError(f"the number of jobs is {jobs}, but it must be 1 to 256")

    from codec_s2st.data.files import folder_lock, write_error
    from codec_s2st.data.manifest import MANIFEST_FILE, manifest_frame, write_manifest
    from codec_s2st.demo.channels import CHANNELS
    from codec_s2st.demo.grammar import SPLITS, sample_text_pairs

    # Before anything is made on the disk.
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)

    if channel not in CHANNELS:
        raise unknown_name("channel", channel, CHANNELS)

    texts = sample_text_pairs(text_only, seed, world=world)

    with folder_lock(out):
        try:
            # Until the new corpus is complete, there is none.
            (out / MANIFEST_FILE).unlink(missing_ok=True)

            (out / "wav").mkdir(exist_ok=True)
        except OSError as ex:
            raise write_error(out, ex) from None

        rows = _write_speech(out, world, split, num, seed, channel, alignments, jobs, quiet)

        rows += [_row(pair, split=split, id_=pair.id.replace("train-", "text-")) for pair in texts]

        return write_manifest(manifest_frame(rows), out)


def write_second_text(out: Path, *, split: str, num: int, seed: int) -> Path:
    """Writes ``out/second-text.txt``: ``num`` sentences of the second domain of English text, one a line.

    :param split: ``train``, ``valid`` or ``test``.

    :returns: The file.

    :raises UserInputError: An argument is out of range, or ``out`` cannot be written.
    """
    from codec_s2st.data.files import atomic_path
    from codec_s2st.demo.grammar import sample_second_text

    lines = sample_second_text(num, seed, split=split)

    path = out / "second-text.txt"

    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines))

    return path


def _write_speech(
    out: Path, world: str, split: str, num: int, seed: int, channel: str, alignments: bool, jobs: int, quiet: bool
) -> list[ManifestRow]:
    from rich.console import Console
    from rich.progress import Progress

    from codec_s2st.demo.channels import through_channel
    from codec_s2st.demo.espeak import SAMPLE_RATE

    rows: list[ManifestRow] = []

    with Progress(console=Console(stderr=True), disable=quiet or num == 0, transient=True) as progress:
        task = progress.add_task(f"demo-corpus {split}", total=num)

        for utterance in iter_demo_utterances(split, num, seed, world=world, jobs=jobs):
            pair = utterance.pair

            source = f"wav/{pair.id}.spa.wav"
            target = f"wav/{pair.id}.eng.wav"

            _write_wav(out / source, through_channel(utterance.source, channel, pair.id))
            _write_wav(out / target, utterance.target)

            rows.append(
                _row(
                    pair,
                    split=split,
                    id_=pair.id,
                    source_audio=source,
                    source_speaker=utterance.source_speaker,
                    source_seconds=utterance.source.size / SAMPLE_RATE,
                    target_audio=target,
                    target_speaker=utterance.target_speaker,
                    target_seconds=utterance.target.size / SAMPLE_RATE,
                    source_alignment=utterance.source_words if alignments else None,
                    target_alignment=utterance.target_words if alignments else None,
                )
            )

            progress.advance(task)

    return rows


def _row(
    pair: Pair,
    *,
    split: str,
    id_: str,
    source_audio: str | None = None,
    source_speaker: str | None = None,
    source_seconds: float | None = None,
    target_audio: str | None = None,
    target_speaker: str | None = None,
    target_seconds: float | None = None,
    source_alignment: tuple[TimedSpan, ...] | None = None,
    target_alignment: tuple[TimedSpan, ...] | None = None,
) -> ManifestRow:
    from codec_s2st.data.manifest import ManifestRow

    return ManifestRow(
        id=id_,
        split=split,
        source_audio=source_audio,
        source_text=pair.spa,
        source_lang="spa",
        source_speaker=source_speaker,
        source_seconds=source_seconds,
        target_audio=target_audio,
        target_text=pair.eng,
        target_lang="eng",
        target_speaker=target_speaker,
        target_seconds=target_seconds,
        source_alignment=source_alignment,
        target_alignment=target_alignment,
    )


def _write_wav(path: Path, wave: Wave) -> None:
    import numpy as np
    import soundfile

    from codec_s2st.data.files import temporary_path, write_error
    from codec_s2st.demo.espeak import SAMPLE_RATE

    # Renamed when complete, and without a sync: a corpus lost with the machine is made again in minutes.
    temporary = temporary_path(path)

    content = BytesIO()

    try:
        pcm = np.round(wave * 32767).astype("<i2")

        # In memory: libsndfile does not say what is wrong with the disk.
        soundfile.write(content, pcm, SAMPLE_RATE, subtype="PCM_16", format="WAV")

        temporary.write_bytes(content.getbuffer())

        temporary.replace(path)
    except OSError as ex:
        raise write_error(path, ex) from None
    finally:
        temporary.unlink(missing_ok=True)
