"""``codec-s2st serve``: a page to try models with, in the browser."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from codec_s2st.arguments import CommandParser
from codec_s2st.errors import UserInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codec_s2st.serve.application import Application
    from codec_s2st.serve.server import PageServer
    from codec_s2st.translator import SpeechTranslator

DEFAULT_MODELS: Final = ("demo_s2st", "demo_cpt")

_END_SECONDS: Final = 2.0
"""How long the end waits for the job that runs."""


def main(argv: Sequence[str]) -> int:
    """Runs the command until SIGINT or SIGTERM, and returns 0."""
    parser = CommandParser(
        prog="codec-s2st serve",
        description="Serve a page on which one records or uploads speech, and hears and sees what models make of it.",
    )

    parser.add_argument(
        "--model",
        metavar="CARD",
        nargs="+",
        default=DEFAULT_MODELS,
        help=f"model cards, card files, or published folders (default: {' '.join(DEFAULT_MODELS)})",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="0 is any that is free (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="such as cpu, cuda:0 (default: %(default)s)")
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=60.0,
        help="the longest recording (default: %(default)g; models may take less)",
    )
    parser.add_argument(
        "--max-mb", type=float, default=20.0, help="the largest recording, in MB, with its voice (default: %(default)g)"
    )
    parser.add_argument(
        "--max-queue",
        type=int,
        default=8,
        help="how many may wait, the one that is computed included (default: %(default)s)",
    )

    args = parser.parse_args(argv)

    _check_range("--port", args.port, 0, 65535)
    _check_range("--max-seconds", args.max_seconds, 0.1, 3600)
    _check_range("--max-mb", args.max_mb, 0.01, 1000)
    _check_range("--max-queue", args.max_queue, 1, 1000)

    from codec_s2st.serve.application import make_application
    from codec_s2st.serve.guard import is_loopback

    application = make_application(
        _load(args.model, args.device), max_seconds=args.max_seconds, max_mb=args.max_mb, max_jobs=args.max_queue
    )

    with _stop_event() as stop:
        with _listen(args.host, args.port, application) as server:
            worker = Thread(target=application.jobs.run, name="jobs", daemon=True)
            worker.start()

            listener = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="http", daemon=True)
            listener.start()

            host = f"[{args.host}]" if ":" in args.host else args.host

            print(f"codec-s2st: open http://{host}:{server.server_address[1]}/ (Ctrl-C ends it)", flush=True)

            if not is_loopback(args.host):
                print(
                    f"codec-s2st: warning: whoever reaches this machine at {args.host} can use the page: there is no"
                    " password and no encryption, and browsers record on pages from elsewhere only through https; safer"
                    f" is --host 127.0.0.1 and `ssh -L {args.port}:127.0.0.1:{args.port} MACHINE` on yours",
                    file=sys.stderr,
                    flush=True,
                )

            stop.wait()

            server.shutdown()

            application.jobs.close()

            worker.join(_END_SECONDS)

        if worker.is_alive():
            # A model cannot be asked to stop in the middle, and ending Python below it may be a crash. Recordings and
            # results are in memory, but torch removes a folder of its own when Python ends.
            atexit._run_exitfuncs()

            sys.stdout.flush()

            os._exit(0)

    return 0


@contextmanager
def _stop_event() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set."""
    event = Event()

    def on_signal(number: int, frame: object) -> None:
        event.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}

    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_range(option: str, value: float, smallest: float, largest: float) -> None:
    # Not-a-number is in no range.
    if not smallest <= value <= largest:
        raise UserInputError(f"{option} is {value:g}, but must be {smallest:g} to {largest:g}")


def _load(models: Sequence[str], device_name: str) -> list[SpeechTranslator]:
    from codec_s2st.devices import find_device
    from codec_s2st.translator import SpeechTranslator

    device = find_device(device_name)

    return [SpeechTranslator.from_card(model, device=device) for model in models]


def _listen(host: str, port: int, application: Application) -> PageServer:
    from codec_s2st.serve.server import PageServer

    try:
        return PageServer(host, port, application)
    except OSError as ex:
        raise UserInputError(
            f"cannot listen at {host}:{port}: {ex.strerror or ex}", hint="try another one: --port 0 takes any"
        ) from None
