"""The page and its interface over HTTP. Nothing that a request says is ever the path of a file."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socket import AF_INET6, SHUT_RDWR, socket
from typing import Any, ClassVar, Final

from typing_extensions import override

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.serve.application import Application, explain_failure
from codec_s2st.serve.guard import find_flaw, own_names
from codec_s2st.serve.jobs import QueueFullError, State

UPLOAD_SECONDS: Final = 120.0
"""How long a request may take to arrive."""

CONNECTION_SECONDS: Final = 300.0
"""How long a connection may last, however slowly its end sends headers or takes what it is sent."""

MAX_CONNECTIONS: Final = 128
"""As many threads as there are at most; who comes when all are taken is not answered."""

_DRAINED_BYTES: Final = 1 << 26
"""How much of a request that is too large is read and dropped: browsers read no answer before they have sent it all."""

_BLOCK_BYTES: Final = 1 << 16

_PAGES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/sound.js": ("sound.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; media-src blob:; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}

_log = logging.getLogger(__name__)


class PageServer(ThreadingHTTPServer):
    """Answers each request in a thread; what takes long is a job of the queue."""

    daemon_threads = True

    # Another server on the port is told, but one that has just ended is no obstacle.
    allow_reuse_address = True

    # Who comes while others are accepted waits a moment, and is not sent away.
    request_queue_size = 64

    def __init__(self, host: str, port: int, application: Application) -> None:
        """
        :param port: 0 is any that is free.

        :raises OSError: the address cannot be had.
        """
        self.application = application
        self.names = own_names(host)
        self.pages = {
            path: (files(__package__).joinpath("static", name).read_bytes(), kind)
            for path, (name, kind) in _PAGES.items()
        }

        if ":" in host:
            self.address_family = AF_INET6

        self._open_until: dict[socket, float] = {}

        super().__init__((host, port), _Handler)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open_until) >= MAX_CONNECTIONS:
            self.shutdown_request(request)

            return

        self._open_until[request] = time.monotonic() + CONNECTION_SECONDS

        super().process_request(request, client_address)

    @override
    def shutdown_request(self, request: Any) -> None:
        self._open_until.pop(request, None)

        super().shutdown_request(request)

    @override
    def service_actions(self) -> None:
        now = time.monotonic()

        for connection, until in list(self._open_until.items()):
            if now > until:
                # Whoever reads or writes it, in another thread, is told at once.
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that goes away is no error.
        _log.debug("the connection to %s has failed", client_address, exc_info=True)


class _Refused(Exception):
    """The answer is an error."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)

        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    server_version = "codec-s2st"
    sys_version = ""

    # Of one read or write; no thread waits for ever.
    timeout: ClassVar[float] = 30.0

    def do_GET(self) -> None:
        self._answer(self._get, changes=False)

    def do_POST(self) -> None:
        self._answer(self._post, changes=True)

    def do_DELETE(self) -> None:
        self._answer(self._delete, changes=True)

    def _answer(self, method: Callable[[str], None], *, changes: bool) -> None:
        try:
            # Headers compare as they should: email's are a mapping that does not tell cases apart.
            flaw = find_flaw(self.headers, self.server.names, changes=changes)  # type: ignore[arg-type]

            if flaw is not None:
                self._drop_body()

                raise _Refused(HTTPStatus.FORBIDDEN, flaw)

            method(self.path.partition("?")[0])
        except _Refused as ex:
            self._send_json(ex.status, {"error": str(ex)})
        except QueueFullError as ex:
            self._send_json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(ex)})
        except CodecS2STError as ex:
            kind = HTTPStatus.BAD_REQUEST if isinstance(ex, UserInputError) else HTTPStatus.INTERNAL_SERVER_ERROR

            self._send_json(kind, {"error": str(ex)})
        except OSError:
            # Whoever has asked is gone, or too slow.
            raise
        except Exception as ex:
            self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": explain_failure(ex)})

    def _get(self, path: str) -> None:
        if path in self.server.pages:
            self._send(HTTPStatus.OK, *self.server.pages[path])
        elif path == "/api/about":
            self._send_json(HTTPStatus.OK, self.server.application.about)
        else:
            view = self.server.application.jobs.look(self._job_of(path))

            if view is None:
                raise _Refused(HTTPStatus.NOT_FOUND, "there is no such job; it may have been dropped")

            answer: dict[str, Any] = {"state": view.state.value, "seconds": round(view.seconds, 1)}

            if view.state is State.WAITING:
                answer["position"] = view.position

            if view.result is not None:
                answer["result"] = view.result

            if view.error is not None:
                answer["error"] = view.error

            self._send_json(HTTPStatus.OK, answer)

    def _post(self, path: str) -> None:
        if path != "/api/jobs":
            self._drop_body()

            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")

        application = self.server.application

        try:
            length = self._checked_length()

            # Before anything is received, so that what is received is bounded.
            job = application.jobs.enter()
        except (_Refused, QueueFullError):
            self._drop_body()

            raise

        try:
            work = application.prepare(self._read_json(length))

            application.jobs.submit(job, work)
        except BaseException:
            application.jobs.leave(job)

            raise

        self._send_json(HTTPStatus.ACCEPTED, {"job": job})

    def _delete(self, path: str) -> None:
        self.server.application.jobs.leave(self._job_of(path))

        self._send(HTTPStatus.NO_CONTENT, b"", None)

    def _job_of(self, path: str) -> str:
        prefix, _, name = path.rpartition("/")

        if prefix != "/api/jobs" or not name:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")

        return name

    def _length(self) -> int | None:
        text = self.headers.get("Content-Length", "")

        return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None

    def _checked_length(self) -> int:
        # Other sites cannot send this type without being asked whether they may, and they are not told so.
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the request must be application/json")

        length = self._length()

        if length is None:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "the request does not say how long it is")

        largest = self.server.application.max_bytes

        if length > largest:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request has {length / 1e6:.1f} MB, but at most {largest / 1e6:.1f} MB are taken",
            )

        return length

    def _read_json(self, length: int) -> object:
        content = bytearray()

        until = time.monotonic() + UPLOAD_SECONDS

        while len(content) < length:
            # What has come, instead of all that was asked for: else a slow sender would hold the thread for ever.
            block = self.rfile.read1(min(_BLOCK_BYTES, length - len(content)))

            if not block or time.monotonic() > until:
                raise _Refused(HTTPStatus.REQUEST_TIMEOUT, f"{len(content)} of {length} bytes have arrived")

            content += block

        try:
            return json.loads(content)
        # Many brackets in one another, or a number of thousands of digits, are no request either.
        except (ValueError, RecursionError):
            raise _Refused(HTTPStatus.BAD_REQUEST, "the request is not JSON") from None

    def _drop_body(self) -> None:
        rest = min(self._length() or 0, _DRAINED_BYTES)

        until = time.monotonic() + UPLOAD_SECONDS

        while rest > 0 and time.monotonic() < until:
            block = self.rfile.read1(min(_BLOCK_BYTES, rest))

            if not block:
                break

            rest -= len(block)

    def _send_json(self, status: HTTPStatus, value: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str | None) -> None:
        self.send_response(status)

        if kind is not None:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))

        for name, value in _HEADERS.items():
            self.send_header(name, value)

        self.end_headers()

        self.wfile.write(content)

    @override
    def log_message(self, format: str, *args: object) -> None:
        # The names of jobs are nobody else's business.
        _log.debug("%s %s", self.command, format % args)
