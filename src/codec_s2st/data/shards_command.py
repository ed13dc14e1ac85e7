"""``codec-s2st shards inspect|verify|decode``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codec_s2st.arguments import CommandParser, path_argument
from codec_s2st.errors import UserInputError

if TYPE_CHECKING:
    from codec_s2st.data.shard_summary import ShardSummary


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code: 0, or 2 if ``verify`` finds a damaged shard."""
    parser = CommandParser(prog="codec-s2st shards", description="Look into token shards.")

    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, help_text: str) -> CommandParser:
        command: CommandParser = commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")

        command.add_argument("path", metavar="SHARDS", type=path_argument, help="a folder of shards, or one shard")

        return command

    inspect = add("inspect", "print codec, provenance, and hours by split and language")

    inspect.add_argument("--json", action="store_true", help="print one JSON object")

    add("verify", "read every page of every shard, and name the damaged ones")

    decode = add("decode", "write the speech of a row as a recording")

    decode.add_argument("row", metavar="ID", help="the row's id, as in the manifest")
    decode.add_argument("output", metavar="OUT", type=path_argument, help="the file to write: .wav, .flac or .ogg")
    decode.add_argument("--side", choices=("source", "target"), default="source", help="(default: %(default)s)")
    decode.add_argument("--codec", metavar="CARD", help="the codec's card (default: the one that the shards name)")
    decode.add_argument("--num-streams", metavar="Q", type=int, help="use the first Q code books only")

    args = parser.parse_args(argv)

    if not args.path.exists():
        raise UserInputError(f"'{args.path}' does not exist")

    match args.command:
        case "inspect":
            return _inspect(args.path, as_json=args.json)
        case "verify":
            return _verify(args.path)
        case _:
            return _decode(args.path, args.row, args.output, args.side, args.codec, args.num_streams)


def _inspect(path: Path, *, as_json: bool) -> int:
    from codec_s2st.data.shard_summary import summarise

    summary = summarise(path)

    print(json.dumps(asdict(summary), indent=2, ensure_ascii=False) if as_json else _format(summary))

    return 0


def _format(summary: ShardSummary) -> str:
    codec = "none: texts only" if summary.codec is None else summary.codec.describe()

    lines = [
        summary.path,
        f"  {summary.num_shards} shards, {summary.num_rows:,} rows, {summary.num_bytes / 1e6:,.1f} MB",
        f"  {codec}",
        f"  made by {json.dumps(summary.made_by, ensure_ascii=False)}",
        "",
        f"  {'split':20} {'side':8} {'lang':6} {'spoken':>12} {'written':>12} {'speakers':>9} {'hours':>11}",
    ]

    for item in summary.counts:
        lines.append(
            f"  {item.split:20} {item.side:8} {item.lang or '-':6} {item.spoken:12,} {item.written:12,} "
            f"{item.speakers:9,} {item.hours:11,.2f}"
        )

    if summary.num_quarantined:
        lines += ["", f"  {summary.num_quarantined:,} rows were left out:"]

        lines += [f"  {count:12,}  {reason}" for reason, count in list(summary.reasons.items())[:10]]

    return "\n".join(lines)


def _verify(path: Path) -> int:
    from rich.console import Console
    from rich.progress import track

    from codec_s2st.data.shard_summary import find_faults
    from codec_s2st.data.shards import find_shards, list_shards

    num_shards = len(list_shards(path))

    console = Console(stderr=True)

    num_faults = 0

    for _, fault in track(
        find_faults(path), "verify", total=num_shards, console=console, transient=True, disable=not console.is_terminal
    ):
        if fault is not None:
            num_faults += 1

            print(f"codec-s2st: {fault}", file=sys.stderr)

    if num_faults:
        raise UserInputError(
            f"{num_faults} of {num_shards} shards of {path} are damaged",
            hint="run the same codec-s2st tokenize once more: it makes them anew",
        )

    # Refuses those of two runs.
    find_shards(path)

    print(f"{num_shards} shards are whole")

    return 0


def _decode(path: Path, id_: str, output: Path, side: str, card: str | None, num_streams: int | None) -> int:
    from codec_s2st.codecs.audio import check_output_path

    check_output_path(output)

    from codec_s2st.data.shard_summary import find_row

    row, fingerprint = find_row(path, id_)

    codes = getattr(row, side).codes

    if codes is None or fingerprint is None:
        raise UserInputError(f"row '{id_}' has no {side} speech", hint="see: codec-s2st shards inspect")

    if num_streams is not None and not 1 <= num_streams <= codes.shape[1]:
        raise UserInputError(f"--num-streams is {num_streams}, but must be in 1..{codes.shape[1]}")

    import torch

    from codec_s2st.codecs import load_codec
    from codec_s2st.codecs.audio import write_audio

    codec = load_codec(card or fingerprint.name)

    codec.fingerprint.first(codes.shape[1]).check_reads(
        fingerprint, where=str(path), hint="name the codec's card: --codec CARD"
    )

    # [T, Q] -> [1, Q, T]
    wave = codec.decode(torch.from_numpy(codes[:, :num_streams].astype("int64")).T[None])[0]

    write_audio(output, wave.clamp(-1.0, 1.0), codec.spec.sample_rate)

    text = getattr(row, side).text

    print(f"{output}{'' if text is None else ': ' + text}")

    return 0
