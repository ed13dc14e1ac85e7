"""``codec-s2st codec-report``: what a codec does to recordings."""

from __future__ import annotations

from collections.abc import Sequence

from codec_s2st.arguments import CommandParser, path_argument


def main(argv: Sequence[str]) -> int:
    """Prints the report and returns 0."""
    parser = CommandParser(
        prog="codec-s2st codec-report",
        description="Encode and decode recordings with a codec, and print frame rate, bitrate, the use of each code "
        "book, STOI, PESQ, SI-SDR, mel distance and real-time factor.",
        epilog="STOI is of the package pystoi and PESQ of the package pesq: pip install 'codec_s2st[report]', and "
        "pip install pesq, which needs a C compiler. What is not installed is reported as not measured.",
    )

    parser.add_argument("codec", metavar="CARD", help="the name of a codec's card; see `codec-s2st ls`")
    parser.add_argument("files", metavar="WAV", type=path_argument, nargs="+", help="a wav, flac or ogg file")
    parser.add_argument("--num-streams", metavar="Q", type=int, help="use the first Q code books only")
    parser.add_argument("--device", default="cpu", help="such as cuda (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")

    args = parser.parse_args(argv)

    from codec_s2st.errors import UserInputError

    # Before the codec is loaded, which takes seconds.
    for file in args.files:
        if not file.is_file():
            raise UserInputError(f"audio file '{file}' does not exist")

    import json

    from codec_s2st.codecs import load_codec
    from codec_s2st.devices import find_device
    from codec_s2st.evaluation.codec_report import report_codec

    device = find_device(args.device)

    codec = load_codec(args.codec, num_streams=args.num_streams, device=device)

    report = report_codec(codec, args.files, device=device)

    print(json.dumps(report.to_json(), indent=2) if args.json else report.to_text())

    return 0
