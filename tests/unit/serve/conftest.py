"""A server on a free port, with a random model that has many tasks."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from codec_s2st.serve.application import Application, make_application
from codec_s2st.serve.server import PageServer
from codec_s2st.translator import SpeechTranslator
from tests.published import publish_random_model, write_speech

TASKS = ("s2st", "s2tt", "asr", "tts", "mt", "s2st_via_text", "s2st_voice", "interleaved_lm")


class Client:
    """Asks a server as the page does."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)

        try:
            connection.request(method, path, body, headers or {})

            response = connection.getresponse()

            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def post(self, content: object, **headers: str) -> tuple[int, Any]:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()

        status, _, answer = self.ask("POST", "/api/jobs", body, {"Content-Type": "application/json", **headers})

        return status, json.loads(answer)

    def look(self, job: str) -> Any:
        status, _, answer = self.ask("GET", f"/api/jobs/{job}")

        assert status == 200, answer

        return json.loads(answer)

    def translate(self, **fields: str) -> Any:
        """Returns what came of a request, waited for."""
        status, answer = self.post({"model": "random", **fields})

        assert status == 202, answer

        for _ in range(3000):
            view = self.look(answer["job"])

            if view["state"] in ("done", "failed"):
                return view

            time.sleep(0.02)

        raise AssertionError("the job does not end")


@contextmanager
def serving(application: Application, *, is_working: bool = True) -> Iterator[Client]:
    """
    :param is_working: Whether jobs are computed.
    """
    with PageServer("127.0.0.1", 0, application) as server:
        threads = [Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)]

        if is_working:
            threads.append(Thread(target=application.jobs.run, daemon=True))

        for thread in threads:
            thread.start()

        try:
            yield Client(server.server_address[1])
        finally:
            server.shutdown()

            application.jobs.close()

            for thread in threads:
                thread.join(60)


def encode(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory) -> SpeechTranslator:
    card = publish_random_model(tmp_path_factory.mktemp("served"), "random", tasks=TASKS)

    return SpeechTranslator.from_card(str(card))


@pytest.fixture(scope="session")
def client(translator: SpeechTranslator) -> Iterator[Client]:
    with serving(make_application([translator], max_seconds=2.0, max_mb=0.5, max_jobs=4)) as client:
        yield client


@pytest.fixture(scope="session")
def audio(tmp_path_factory: pytest.TempPathFactory) -> str:
    return encode(write_speech(tmp_path_factory.mktemp("audio") / "in.wav", seconds=0.6))
