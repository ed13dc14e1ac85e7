"""The command itself, as a process; and that a real browser records, uploads and plays on its page."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from codec_s2st.cli import main
from tests.browser import CHROMIUM, Browser
from tests.published import publish_random_model, write_speech
from tests.unit.serve.conftest import Client, encode

FIRST = "document.querySelector('#sounds .sound')"


@contextmanager
def serve(folder: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Starts the command, and yields its process and the page's address."""
    temporary = folder / "temporary"

    temporary.mkdir()

    with folder.joinpath("stderr.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "codec_s2st", "serve", "--port", "0", *args],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
            cwd=folder,
        )

    try:
        assert process.stdout is not None

        line = process.stdout.readline()

        assert line.startswith("codec-s2st: open http://"), folder.joinpath("stderr.log").read_text()

        yield process, line.split()[2]
    finally:
        process.kill()
        process.wait()


def test_interrupted_while_it_computes_and_open_to_all(tmp_path: Path) -> None:
    model = publish_random_model(tmp_path / "model", "random")

    audio = encode(write_speech(tmp_path / "in.wav", seconds=1.0))

    before = sorted(tmp_path.iterdir())

    with serve(tmp_path, "--model", str(model), "--host", "0.0.0.0") as (process, url):
        client = Client(int(url.rstrip("/").rpartition(":")[2]))

        assert [client.post({"model": "random", "audio": audio})[0] for _ in range(3)] == [202] * 3

        process.send_signal(signal.SIGINT)

        assert process.wait(60) == 0

    assert list((tmp_path / "temporary").iterdir()) == []

    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "temporary", tmp_path / "stderr.log"])

    warning = (tmp_path / "stderr.log").read_text()

    assert warning.startswith("codec-s2st: warning: whoever reaches this machine at 0.0.0.0 can use the page")
    assert warning.count("\n") == 1


def test_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = publish_random_model(tmp_path, "random")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        port = taken.getsockname()[1]

        assert main(["serve", "--model", str(model), "--port", str(port)]) == 2

    assert capsys.readouterr().err == (
        f"codec-s2st: error: cannot listen at 127.0.0.1:{port}: Address already in use"
        " (try another one: --port 0 takes any)\n"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--port", "65536"], "--port is 65536, but must be 0 to 65535"),
        (["--max-seconds", "nan"], "--max-seconds is nan, but must be 0.1 to 3600"),
        (["--max-mb", "0"], "--max-mb is 0, but must be 0.01 to 1000"),
        (["--max-queue", "0"], "--max-queue is 0, but must be 1 to 1000"),
        (["--model", "nothing"], "unknown model card 'nothing'"),
        (["--model", "demo_s2st", "demo_s2st"], "two models have one name (name each once)"),
        (["--device", "cuda:99"], "this machine has no device 'cuda:99'"),
    ],
)
def test_one_line_errors(capsys: pytest.CaptureFixture[str], args: list[str], message: str) -> None:
    assert main(["serve", *args]) == 2

    captured = capsys.readouterr()

    assert captured.err.startswith(f"codec-s2st: error: {message}") and captured.err.count("\n") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
def test_browser_translates_and_plays(tmp_path: Path) -> None:
    audio = write_speech(tmp_path / "in.wav", seconds=1.5)

    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

    with (
        serve(tmp_path, "--model", "demo_s2st", "demo_cpt") as (process, url),
        Browser(tmp_path, *microphone, f"--use-file-for-fake-audio-capture={audio}") as browser,
    ):
        browser.open(url)
        browser.wait_for("document.documentElement.dataset.ready === 'true'")

        # Nothing to translate yet.
        browser.evaluate("document.getElementById('submit').click()")
        browser.wait_for("document.getElementById('error').textContent.startsWith('Record something')")

        browser.choose_file("#audio", audio)
        browser.wait_for("!document.getElementById('chosen').hidden && document.getElementById('error').hidden")
        browser.evaluate("document.getElementById('submit').click()")
        browser.wait_for("!document.getElementById('result').hidden")

        played = browser.evaluate(f"""(async () => {{
            const player = {FIRST}.querySelector("audio");
            player.muted = true;
            const ended = new Promise(done => player.addEventListener("ended", done));
            await player.play();
            await ended;
            return [player.duration, player.currentTime];
        }})()""")

        assert played[0] > 0.3 and played[1] == pytest.approx(played[0])

        seen = browser.evaluate("""[...document.querySelectorAll("#sounds .sound")].map(sound => ({
            title: sound.querySelector("h3").textContent,
            picture: sound.querySelector("img").naturalHeight,
            canvas: [sound.querySelector("canvas").width, sound.querySelector("canvas").height],
            rows: sound.querySelector("pre").textContent.split("\\n").length,
            save: sound.querySelector(".save").download,
        }))""")

        said, heard = seen

        assert said["title"].startswith("The model says, ") and heard["title"] == "The model heard, 1.5 s"
        assert (said["save"], heard["save"]) == ("s2st-eng.wav", "input.wav")
        assert said["picture"] == heard["picture"] == 201 and said["rows"] == heard["rows"] == 4
        assert heard["canvas"][0] in (37, 38) and said["canvas"][0] == pytest.approx(25 * played[0], abs=1)

        # Another model, which writes, of what the microphone hears.
        browser.evaluate("""{
            const model = document.getElementById("model");
            model.value = "codec_s2st_demo_cpt";
            model.dispatchEvent(new Event("change"));
            document.getElementById("record").click();
        }""")
        browser.wait_for("document.getElementById('record-label').textContent.startsWith('Stop (1')")
        browser.evaluate("document.getElementById('record').click()")
        browser.wait_for("document.getElementById('chosen-name').textContent === 'Your recording'")
        browser.evaluate("document.getElementById('submit').click()")
        browser.wait_for("document.querySelector('#texts .said p') !== null")

        recorded = browser.evaluate(f"{FIRST}.querySelector('h3').textContent")

        # A busy machine hears less than it records.
        assert 0.1 < float(recorded.removeprefix("The model heard, ").removesuffix(" s")) < 6

        # A mistake is told on the page.
        browser.choose_file("#audio", Path(__file__))
        browser.wait_for("document.getElementById('chosen-name').textContent === 'test_command.py'")
        browser.evaluate("document.getElementById('submit').click()")
        browser.wait_for("document.getElementById('error').textContent.startsWith('the recording cannot be read')")

        assert all(address.startswith((url, "blob:", "data:")) for address in browser.requested())
        assert len(browser.requested()) > 10

        # The refused recording is one; nothing was refused by the content's policy, and no script has failed.
        assert [text for text in browser.complaints() if "status of 400" not in text] == []

        process.terminate()

        assert process.wait(60) == 0

    assert list((tmp_path / "temporary").iterdir()) == []
