"""A headless Chromium that is driven through a pipe, in the DevTools protocol."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

COMMAND_SECONDS = 120.0


class Browser:
    """One page. It reaches this machine alone: everything else goes to a proxy that is not there."""

    def __init__(self, folder: Path, *options: str) -> None:
        """
        :param folder: Where its profile and its log go.
        """
        assert CHROMIUM is not None

        # The browser reads commands from descriptor 3, and writes answers to 4; no pipe may be there already.
        command_read, self._commands = (_move(descriptor) for descriptor in os.pipe())
        self._answers, answer_write = (_move(descriptor) for descriptor in os.pipe())

        flags = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
            *("--autoplay-policy=no-user-gesture-required", "--proxy-server=127.0.0.1:9", "--no-first-run"),
            *(f"--user-data-dir={folder / 'profile'}", *options, "about:blank"),
        ]

        script = f'exec "$@" 3<&{command_read} 4>&{answer_write}'

        with folder.joinpath("chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", script, "bash", CHROMIUM, *flags],
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(command_read, answer_write),
            )

        os.close(command_read)
        os.close(answer_write)

        self._buffer = b""
        self._number = 0
        self._session: str | None = None

        self.events: list[dict[str, Any]] = []

        try:
            [target] = [info for info in self.call("Target.getTargets")["targetInfos"] if info["type"] == "page"]

            attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)

            self._session = attached["sessionId"]

            for domain in ("Page", "DOM", "Network", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()

            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)

        self._process.wait()

        os.close(self._commands)
        os.close(self._answers)

    def call(self, method: str, **params: object) -> Any:
        self._number += 1

        message = {"id": self._number, "method": method, "params": params}

        if self._session is not None:
            message["sessionId"] = self._session

        os.write(self._commands, json.dumps(message).encode() + b"\0")

        until = time.monotonic() + COMMAND_SECONDS

        while time.monotonic() < until:
            answer = self._receive()

            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])

                return answer["result"]

            self.events.append(answer)

        raise AssertionError(f"no answer to {method}")

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression of JavaScript, awaited if it is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)

        assert "exceptionDetails" not in result, result["exceptionDetails"]

        return result["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds

        while not self.evaluate(expression):
            assert time.monotonic() < until, (expression, self.evaluate("document.body.innerText")[-2000:])

            time.sleep(0.05)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

        self.wait_for("document.readyState === 'complete'")

    def choose_file(self, selector: str, path: Path) -> None:
        """Chooses a file as a user does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]

        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]

        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self) -> bytes:
        return b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def requested(self) -> list[str]:
        """Returns the addresses of all that the page has asked for."""
        events = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]

        return [event["params"]["request"]["url"] for event in events]

    def complaints(self) -> list[str]:
        """Returns what the browser has to complain about: exceptions, refused by the content's policy."""
        found = []

        for event in self.events:
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"]))
            elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])

        return found

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            block = os.read(self._answers, 1 << 16)

            assert block, "the browser has ended"

            self._buffer += block

        message, _, self._buffer = self._buffer.partition(b"\0")

        answer: dict[str, Any] = json.loads(message)

        return answer


def _move(descriptor: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)

    os.close(descriptor)

    return moved
