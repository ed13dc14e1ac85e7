"""The interface of the page, asked over HTTP; limits; and that nothing is left."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
import soundfile

from codec_s2st.errors import UserInputError
from codec_s2st.serve import server
from codec_s2st.serve.application import make_application
from codec_s2st.translator import SpeechTranslator
from tests.published import write_speech
from tests.unit.serve.conftest import Client, encode, serving


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test may leave, or make, a file or a descriptor of a recording."""
    folder = tmp_path / "temporary"

    folder.mkdir()

    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))

    yield

    assert list(folder.iterdir()) == []

    links = []

    for descriptor in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            pass

    assert not any("memfd:recording" in link for link in links)


class TestPages:
    def test_page_is_guarded(self, client: Client) -> None:
        status, headers, content = client.ask("GET", "/")

        assert status == 200 and b"<title>codec_s2st</title>" in content

        policy = headers["Content-Security-Policy"]

        assert policy.startswith("default-src 'self'; media-src blob:") and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy

        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers and "Python" not in headers["Server"]

    @pytest.mark.parametrize("path", ["/page.css", "/page.js", "/sound.js", "/icon.svg"])
    def test_files_name_no_other_server(self, client: Client, path: str) -> None:
        status, _, content = client.ask("GET", path)

        assert status == 200

        text = content.decode().replace("http://www.w3.org/2000/svg", "")

        assert "//" not in re.sub(r"(^|\s)// [A-Z]", "", text) and "url(" not in text

    @pytest.mark.parametrize(
        "path",
        [
            "/../server.py",
            "/static/index.html",
            "/%2e%2e/server.py",
            "//etc/passwd",
            "/api",
            "/api/jobs",
            "/api/jobs/x/y",
        ],
    )
    def test_no_other_file_is_given(self, client: Client, path: str) -> None:
        status, _, content = client.ask("GET", path)

        assert (status, json.loads(content)) == (404, {"error": "there is no such page"})

    def test_models_and_limits(self, client: Client) -> None:
        _, _, content = client.ask("GET", "/api/about")

        about = json.loads(content)

        [model] = about["models"]

        # Words in turn written and spoken are not generated.
        tasks = {task["name"]: task for task in model["tasks"]}

        assert list(tasks) == ["s2st", "s2tt", "asr", "tts", "mt", "s2st_via_text", "s2st_voice"]

        assert [tasks[name]["input"] for name in ("s2st", "asr", "tts", "mt")] == ["speech", "speech", "text", "text"]
        assert [tasks[name]["output"] for name in ("s2st", "asr", "tts", "mt")] == ["speech", "text", "speech", "text"]
        assert (tasks["s2st_voice"]["voice"], tasks["s2st"]["voice"]) == ("required", "none")
        assert (tasks["asr"]["sides"], tasks["s2tt"]["sides"]) == (["source"], ["source", "target"])

        assert model["targets"] == {"spa": ["eng"]} and about["max_bytes"] == 500_000


class TestTranslate:
    def test_speech_to_speech(self, client: Client, audio: str) -> None:
        view = client.translate(audio=audio)

        result = view["result"]

        assert (result["task"], result["source"], result["target"]) == ("s2st", "spa", "eng")

        for name, seconds in [("input", 0.6), ("output", None)]:
            sound = result[name]

            wave, rate = soundfile.read(BytesIO(b64decode(sound["wav"])))

            assert rate == 16_000 and sound["seconds"] == pytest.approx(len(wave) / rate)
            assert seconds is None or sound["seconds"] == seconds

            # 10 ms a column; windows of 25 ms have 201 frequencies.
            picture = matplotlib.image.imread(BytesIO(b64decode(sound["spectrogram"])))

            assert picture.shape[0] == 201 and picture.shape[1] == pytest.approx(100 * sound["seconds"], abs=3)

            codes = sound["codes"]

            assert {len(frame) for frame in codes} == {2} and all(0 <= code < 512 for frame in codes for code in frame)
            assert len(codes) == pytest.approx(25 * sound["seconds"], abs=1)

        assert result["work_seconds"] > 0
        assert result["real_time_factor"] == pytest.approx(result["work_seconds"] / 0.6, abs=0.01)

    def test_result_is_that_of_the_translator(
        self, client: Client, translator: SpeechTranslator, audio: str, tmp_path: Path
    ) -> None:
        from codec_s2st.codecs.audio import read_audio

        path = tmp_path / "in.wav"

        path.write_bytes(b64decode(audio))

        expected = translator.translate(read_audio(path, sample_rate=16_000), sample_rate=16_000)

        assert expected.codes is not None

        assert client.translate(audio=audio)["result"]["output"]["codes"] == expected.codes.tolist()

    @pytest.mark.parametrize("task", ["s2tt", "asr"])
    def test_speech_to_text(self, client: Client, audio: str, task: str) -> None:
        result = client.translate(audio=audio, task=task)["result"]

        assert isinstance(result["text"], str) and result["output"] is None and result["input"] is not None
        assert result["text_lang"] == {"s2tt": "eng", "asr": "spa"}[task]

    def test_text_to_speech(self, client: Client) -> None:
        result = client.translate(text="la casa", task="tts")["result"]

        assert result["input"] is None and result["output"]["seconds"] > 0

    def test_text_to_text(self, client: Client) -> None:
        result = client.translate(text="la casa", task="mt")["result"]

        assert isinstance(result["text"], str) and result["real_time_factor"] is None

    def test_chain(self, client: Client, audio: str) -> None:
        [step] = client.translate(audio=audio, task="s2st_via_text")["result"]["steps"]

        assert step["lang"] == "eng" and isinstance(step["text"], str)

    def test_voice(self, client: Client, audio: str, tmp_path: Path) -> None:
        voice = encode(write_speech(tmp_path / "voice.wav", seconds=0.5, seed=3))

        assert client.translate(audio=audio, voice=voice, task="s2st_voice")["result"]["output"]["seconds"] > 0

    @pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
    def test_other_formats(self, client: Client, tmp_path: Path, suffix: str) -> None:
        audio = encode(write_speech(tmp_path / f"in{suffix}", seconds=0.6, rate=24_000, channels=2))

        result = client.translate(audio=audio, task="asr")["result"]

        assert result["input"]["seconds"] == pytest.approx(0.6, abs=0.1)

    def test_silence_is_remarked(self, client: Client, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "in.wav", [0.0005] * 9600, 16_000)

        view = client.translate(audio=encode(tmp_path / "in.wav"), task="asr")

        assert "The recording is nearly silent: is the microphone on?" in view["result"]["remarks"]

    def test_a_result_is_gone_when_it_was_fetched(self, client: Client, audio: str) -> None:
        _, answer = client.post({"model": "random", "audio": audio, "task": "asr"})

        path = f"/api/jobs/{answer['job']}"

        assert client.ask("DELETE", path)[0] == 204

        assert client.ask("GET", path)[0] == 404

    def test_what_fails_in_its_turn_is_told(
        self, client: Client, translator: SpeechTranslator, audio: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise RuntimeError("no more memory")

        with monkeypatch.context() as patch:
            patch.setattr(translator, "translate_all", fail)

            view = client.translate(audio=audio)

        assert view["state"] == "failed" and "no more memory" in view["error"]
        assert "no more memory" in capsys.readouterr().err

        assert client.translate(audio=audio, task="asr")["state"] == "done"


class TestBadInput:
    def refused(self, client: Client, content: object, **headers: str) -> str:
        status, answer = client.post(content, **headers)

        assert status == 400 and list(answer) == ["error"], answer

        assert "\n" not in answer["error"] and "/proc" not in answer["error"]

        return str(answer["error"])

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"{", "the request is not JSON"),
            (b"\xff", "the request is not JSON"),
            (b"[" * 60_000, "the request is not JSON"),
            ([], "the request must be an object of JSON"),
            ({"model": 1}, "field `model` must be a string"),
            ({"modle": "random"}, "unknown field 'modle': did you mean 'model'?"),
            ({}, "unknown model ''"),
            ({"model": "../../etc/passwd"}, "unknown model '../../etc/passwd'"),
            ({"model": "random", "task": "s2s"}, "unknown task 's2s': did you mean"),
            ({"model": "random", "task": "interleaved_lm"}, "task 'interleaved_lm' does not start from speech"),
            ({"model": "random", "source": "fra"}, "unknown source language 'fra'"),
            ({"model": "random", "target": "x" * 9_000}, f"unknown target language '{'x' * 40}'"),
            ({"model": "random"}, "the recording is empty"),
            ({"model": "random", "audio": "###"}, "the recording is not in base64"),
            ({"model": "random", "audio": "é"}, "the recording is not in base64"),
            ({"model": "random", "task": "tts", "text": " "}, "the text is empty"),
            ({"model": "random", "task": "tts", "text": "a" * 2001}, "the text has 2001 characters, but at most 2000"),
            ({"model": "random", "task": "tts", "text": "\ud800"}, "the text holds characters that are none"),
            ({"model": "random", "task": "tts", "text": "casa " * 99}, "the text has"),
        ],
    )
    def test_one_line(self, client: Client, content: object, message: str) -> None:
        assert self.refused(client, content).startswith(message)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"no sound at all", "the recording cannot be read: "),
            (b"RIFF\x00\x00\x00\x00WAVE", "the recording is truncated: it has no samples"),
            (b"\x00" * 5000, "the recording"),
            (b"<html></html>", "the recording cannot be read: "),
        ],
    )
    def test_what_is_no_sound(self, client: Client, data: bytes, message: str) -> None:
        error = self.refused(client, {"model": "random", "audio": b64encode(data).decode()})

        assert error.startswith(message)

    def test_truncated(self, client: Client, audio: str) -> None:
        cut = b64encode(b64decode(audio)[:5000]).decode()

        error = self.refused(client, {"model": "random", "audio": cut})

        assert error.startswith(
            "the recording is truncated: its header says 19200 bytes of samples, but 4956 are there"
        )

    def test_too_long(self, client: Client, tmp_path: Path) -> None:
        long = encode(write_speech(tmp_path / "in.wav", seconds=2.5, rate=8000))

        assert self.refused(client, {"model": "random", "audio": long}) == "the recording is longer than 2 s"

    def test_longer_than_the_model_takes(
        self, client: Client, translator: SpeechTranslator, audio: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(type(translator), "max_seconds", 0.3)

            error = self.refused(client, {"model": "random", "audio": audio})

        assert error.startswith("the recording has 0.6 s, but model 'random' takes at most 0.3 s")

    def test_voice(self, client: Client, audio: str) -> None:
        fields = {"model": "random", "audio": audio}

        assert "speaks in a voice that is given" in self.refused(client, {**fields, "task": "s2st_voice"})
        assert "takes no voice" in self.refused(client, {**fields, "voice": audio})
        assert "the voice is not in base64" in self.refused(client, {**fields, "task": "s2st_voice", "voice": "?"})

    def test_refused_requests_keep_no_place(self, client: Client, audio: str) -> None:
        for _ in range(9):
            self.refused(client, b"{")

        assert client.translate(audio=audio, task="asr")["state"] == "done"


class TestLimits:
    def test_too_large(self, client: Client) -> None:
        status, answer = client.post(b" " * 900_000)

        assert status == 413
        assert answer == {"error": "the request has 0.9 MB, but at most 0.7 MB are taken"}

    def test_size_that_is_not_told(self, client: Client) -> None:
        status, _, answer = client.ask("POST", "/api/jobs", headers={"Content-Type": "application/json"})

        assert status in (400, 411) and b"error" in answer

        with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
            connection.sendall(
                b"POST /api/jobs HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: -5\r\n\r\n"
            )

            assert b" 411 " in connection.recv(100)

    def test_other_types_are_refused(self, client: Client) -> None:
        # A form of another site can send these without asking.
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            status, _, _ = client.ask("POST", "/api/jobs", b"{}", {"Content-Type": kind})

            assert status == 415

    def test_full_queue(self, translator: SpeechTranslator, audio: str) -> None:
        application = make_application([translator], max_seconds=2.0, max_mb=0.5, max_jobs=3)

        request = {"model": "random", "audio": audio}

        # Nothing is computed, so that all wait.
        with serving(application, is_working=False) as client:
            jobs = [client.post(request)[1]["job"] for _ in range(3)]

            assert [client.look(job)["position"] for job in jobs] == [0, 1, 2]

            status, answer = client.post(request)

            assert status == 503
            assert answer == {"error": "3 recordings are waiting already: try again in a moment"}

            client.ask("DELETE", f"/api/jobs/{jobs[0]}")

            assert client.look(jobs[2])["position"] == 1

            assert client.post(request)[0] == 202

    def test_half_a_request_gives_its_place_back(self, translator: SpeechTranslator) -> None:
        application = make_application([translator], max_seconds=2.0, max_mb=0.5, max_jobs=1)

        with serving(application) as client:
            with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
                connection.sendall(
                    b"POST /api/jobs HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 500\r\n\r\n{"
                )
                connection.shutdown(socket.SHUT_WR)

                assert b" 408 " in connection.recv(100)

            assert client.translate(text="la casa", task="mt")["state"] == "done"


class TestOtherSites:
    def test_rebinding(self, client: Client) -> None:
        for path in ("/", "/api/about"):
            status, _, content = client.ask("GET", path, headers={"Host": "evil.example"})

            assert status == 403 and b"not called 'evil.example'" in content

    def test_cross_site(self, client: Client, audio: str) -> None:
        request = {"model": "random", "audio": audio}

        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            status, answer = client.post(request, **headers)

            assert (status, answer) == (403, {"error": "this request comes from another site"})

        status, _, _ = client.ask("DELETE", "/api/jobs/x", headers={"Origin": "http://evil.example"})

        assert status == 403

        assert client.post(request, Origin=f"http://127.0.0.1:{client.port}")[0] == 202

    def test_through_a_tunnel(self, client: Client) -> None:
        headers = {"Host": "localhost:9999", "Origin": "http://localhost:9999"}

        assert client.post({"model": "random", "task": "mt", "text": "la casa"}, **headers)[0] == 202


class TestApplication:
    def test_a_model_twice(self, translator: SpeechTranslator) -> None:
        with pytest.raises(UserInputError, match="two models have one name"):
            make_application([translator, translator], max_seconds=2.0, max_mb=0.5, max_jobs=1)

    def test_a_model_that_can_do_nothing_here(
        self, translator: SpeechTranslator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(translator, "tasks", ("text_lm",))

        with pytest.raises(UserInputError, match="model 'random' has no task that starts from speech or from text"):
            make_application([translator], max_seconds=2.0, max_mb=0.5, max_jobs=1)


class TestConnections:
    """Threads are not kept by those who connect and are slow."""

    def test_no_more_than_there_are_threads_for(
        self, translator: SpeechTranslator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)

        with serving(make_application([translator], max_seconds=2.0, max_mb=0.5, max_jobs=4)) as client:
            idle = [socket.create_connection(("127.0.0.1", client.port), timeout=20) for _ in range(3)]

            # Not answered, and told at once.
            with socket.create_connection(("127.0.0.1", client.port), timeout=20) as other:
                assert other.recv(10) == b""

            for connection in idle:
                connection.close()

            for _ in range(500):
                try:
                    status = client.ask("GET", "/")[0]
                except (ConnectionError, HTTPException):
                    time.sleep(0.01)
                else:
                    break

            assert status == 200

    def test_slow_headers_end(self, translator: SpeechTranslator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "CONNECTION_SECONDS", 0.3)

        with serving(make_application([translator], max_seconds=2.0, max_mb=0.5, max_jobs=4)) as client:
            with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n")

                # Less than the time after which a single read gives up.
                assert connection.recv(10) == b""
