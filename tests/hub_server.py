"""A Hugging Face hub on this machine, in a thread: repositories that are there, gated, or absent."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """The files of each public repository, the gated ones, and the paths that were asked for."""

    def __init__(self, files: Mapping[str, Mapping[str, bytes]], gated: frozenset[str], broken: frozenset[str]) -> None:
        self.files = files
        self.gated = gated
        self.broken = broken
        self.requests: list[str] = []
        self.url = ""


@contextmanager
def serve_hub(
    files: Mapping[str, Mapping[str, bytes]] | None = None,
    *,
    gated: frozenset[str] = frozenset(),
    broken: frozenset[str] = frozenset(),
) -> Iterator[Hub]:
    hub = Hub(files or {}, gated, broken)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            hub.requests.append(self.path)

            path = self.path.partition("?")[0].strip("/")

            is_api = path.startswith("api/models/")

            parts = path.removeprefix("api/models/").split("/")

            repo = "/".join(parts[:2])

            if repo in hub.broken:
                self._send(500, b"", {})
            elif repo in hub.gated:
                self._send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
            elif repo not in hub.files:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            elif is_api:
                siblings = [{"rfilename": name} for name in hub.files[repo]]

                info = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}

                self._send(200, json.dumps(info).encode() if with_body else b"", {"Content-Type": "application/json"})
            else:
                content = hub.files[repo][parts[-1]]

                headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}

                self._send(200, content, headers, with_body=with_body)

        def _send(self, status: int, body: bytes, headers: Mapping[str, str], *, with_body: bool = True) -> None:
            self.send_response(status)

            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)

            self.end_headers()

            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    hub.url = f"http://127.0.0.1:{server.server_port}"

    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
