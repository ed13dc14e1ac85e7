"""The page of a report: what is shown, and that a real browser plays it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import torch

from codec_s2st.codecs.audio import write_audio
from codec_s2st.evaluation.measures import Measure, duration_gauges, duration_measures
from codec_s2st.evaluation.report import MODEL
from codec_s2st.recipes.evaluate.items import EvaluatedItem, Hypothesis
from codec_s2st.recipes.evaluate.page import RANDOM, WORST, choose_items, item_error, write_page
from tests.reports import make_report

RATE = 16_000

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Runs in the page: plays every recording, sorts by a number both ways, and writes down what it saw.
PROBE = """
<script>
addEventListener("load", async () => {
  const result = {played: [], fetched: performance.getEntriesByType("resource").map(entry => entry.name.slice(0, 5))};
  for (const player of document.querySelectorAll("audio")) {
    player.muted = true;
    const ended = new Promise(done => player.addEventListener("ended", done));
    await player.play();
    await ended;
    result.played.push([player.duration, player.currentTime]);
  }
  const table = [...document.querySelectorAll("table")].at(-1), head = table.tHead.rows[0].cells[2];
  const column = () => [...table.tBodies[0].rows].map(row => Number(row.cells[2].dataset.value));
  head.click();
  result.up = column();
  head.click();
  result.down = column();
  result.pictures = [...document.images].map(image => [image.naturalWidth, image.naturalHeight]);
  location.href = "http://127.0.0.1:PORT/?" + encodeURIComponent(JSON.stringify(result));
});
</script>
"""


def make_item(idx: int, said: str, **fields: object) -> EvaluatedItem:
    return EvaluatedItem(
        id=f"i{idx}",
        reference="one two three <b>",
        hypotheses=(Hypothesis(MODEL, "open (ears 1.0)", said),),
        seconds_in=1.0 + idx,
        seconds_out=2.0,
        **fields,  # type: ignore[arg-type]
    )


def make_page(folder: Path, items: list[EvaluatedItem], recordings: dict[str, Path | str]) -> str:
    report = make_report(items, model="codec_s2st_<m>", gauges=duration_gauges())

    return write_page(report, items, folder, recordings=lambda item: recordings, sample_rate=RATE).read_text("utf-8")


@pytest.fixture
def recordings(tmp_path: Path) -> dict[str, Path | str]:
    generator = torch.Generator().manual_seed(0)

    output: dict[str, Path | str] = {}

    for name, seconds in [("source", 1.0), ("model", 0.8), ("reference", 0.6)]:
        path = tmp_path / f"{name}.wav"

        write_audio(path, 0.1 * torch.randn(1, int(seconds * RATE), generator=generator), RATE)

        output[name] = path

    return output


class TestChooseItems:
    def test_worst_and_random_ones_do_not_overlap(self) -> None:
        items = [make_item(idx, "one two three b" if idx % 5 else "x y") for idx in range(30)]

        chosen = choose_items(items, seed=1, num=4)

        worst = [entry for entry in chosen if entry.group == WORST]
        others = [entry for entry in chosen if entry.group == RANDOM]

        # The first four of six that are equally bad.
        assert [entry.item.id for entry in worst] == ["i0", "i5", "i10", "i15"]

        assert len(others) == 4 and len({entry.item.id for entry in chosen}) == 8

        assert others == [entry for entry in choose_items(items, seed=1, num=4) if entry.group == RANDOM]
        assert others != [entry for entry in choose_items(items, seed=2, num=4) if entry.group == RANDOM]

    def test_worst_come_first_and_none_without_a_wrong_word(self) -> None:
        said = ["one two three b", "x two three b", "x y three b"]

        chosen = choose_items([make_item(idx, text) for idx, text in enumerate(said)], seed=0)

        assert [(entry.item.id, entry.group) for entry in chosen] == [("i2", WORST), ("i1", WORST), ("i0", RANDOM)]

    def test_few_items_are_all_shown_once(self) -> None:
        chosen = choose_items([make_item(0, "one"), make_item(1, "two")], seed=0)

        assert [entry.item.id for entry in chosen] == ["i0", "i1"]

    def test_what_cannot_be_compared_is_not_chosen(self) -> None:
        items = [make_item(0, "one", translated=False), EvaluatedItem(id="i1", reference="one")]

        assert choose_items(items, seed=0) == []

    def test_error_is_the_share_of_wrong_words(self) -> None:
        assert item_error(make_item(0, "one two three b")) == 0.0
        assert item_error(make_item(0, "One, two.")) == 0.5
        assert item_error(make_item(0, "")) == 1.0


def test_measures_and_warnings_are_shown(tmp_path: Path, recordings: dict[str, Path | str]) -> None:
    item = make_item(
        0,
        "one",
        measures=(
            *duration_measures(MODEL, 1.5, source=1.0, reference=None),
            Measure(system=MODEL, metric="likeness", value=None, not_measured="too <short>"),
        ),
        warnings=("the output is silent",),
    )

    text = make_page(tmp_path, [item], recordings)

    assert "duration-ratio-source 1.500, slc-0.2 0.000</div>" in text and "the output is silent</div>" in text

    # In a table of its own.
    assert "<th>judge</th><th>model</th>" in text and "2 warning(s) of 1 item(s), the first" in text


class _Attributes(HTMLParser):
    def __init__(self) -> None:
        super().__init__()

        self.sources: list[str] = []

        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def test_page_needs_nothing_else(tmp_path: Path, recordings: dict[str, Path | str]) -> None:
    text = make_page(tmp_path, [make_item(0, "one"), make_item(1, "one two three b")], recordings)

    found = _Attributes()

    found.feed(text)

    # The plot, and a picture and a recording of each of three for two items.
    assert len(found.sources) == 13 and all(source.startswith("data:") for source in found.sources)

    assert "link" not in found.tags and "default-src 'none'" in text and "@import" not in text

    # What others wrote is text.
    assert "three &lt;b&gt;" in text and "codec_s2st_&lt;m&gt;" in text and "b" not in found.tags


def test_lengths_are_drawn_where_there_is_speech(tmp_path: Path) -> None:
    def width(**fields: object) -> int:
        found = _Attributes()

        found.feed(make_page(tmp_path, [replace(make_item(0, "one"), **fields)], {}))  # type: ignore[arg-type]

        [picture] = found.sources

        # A PNG's width stands behind its signature, and the length and name of its first chunk.
        return int.from_bytes(b64decode(picture.partition(",")[2])[16:20], "big")

    assert width() == 2 * width(seconds_out=0.0)


def test_recording_that_is_gone_is_said(tmp_path: Path, recordings: dict[str, Path | str]) -> None:
    text = make_page(tmp_path, [make_item(0, "one")], {**recordings, "reference": tmp_path / "gone.wav"})

    assert re.search(r"<figcaption>reference: [^<]*gone\.wav&#x27; does not exist</figcaption>", text)


def test_page_without_items(tmp_path: Path) -> None:
    item = EvaluatedItem(id="i0", reference="one")

    assert "The 0 with the most wrong words" in make_page(tmp_path, [item], {})


def probe(page: str, folder: Path) -> Any:
    """Opens a page in Chromium, which can reach this process alone, and returns what the probe in it has seen."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "?" in self.path:
                received.append(unquote(self.path.partition("?")[2]))

            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.timeout = 1.0

        file = folder / "probe.html"

        script = PROBE.replace("PORT", str(server.server_port))

        file.write_text(page.replace("</body>", f"{script}</body>"), encoding="utf-8")

        assert CHROMIUM is not None

        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"),
            *(f"--user-data-dir={folder / 'profile'}", "--proxy-server=127.0.0.1:9", file.as_uri()),
        ]

        with folder.joinpath("chromium.log").open("wb") as log:
            browser = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

            try:
                for _ in range(180):
                    server.handle_request()

                    if received:
                        break
            finally:
                os.killpg(browser.pid, signal.SIGKILL)

                browser.wait()

    assert received, folder.joinpath("chromium.log").read_text()[-2000:]

    return json.loads(received[0])


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
def test_browser_plays_and_sorts(tmp_path: Path, recordings: dict[str, Path | str]) -> None:
    items = [make_item(0, "one two"), make_item(1, "one two three b"), make_item(2, "no")]

    text = make_page(tmp_path, items, recordings)

    result = probe(text, tmp_path)

    assert len(result["played"]) == 9

    for idx, (duration, reached) in enumerate(result["played"]):
        assert duration == pytest.approx([1.0, 0.8, 0.6][idx % 3], abs=0.02) and reached == pytest.approx(duration)

    assert set(result["fetched"]) <= {"data:"}

    assert result["up"] == sorted(result["up"]) == [0.0, 0.5, 1.0] and result["down"] == [1.0, 0.5, 0.0]

    assert len(result["pictures"]) == 10 and all(width > 10 and height > 100 for width, height in result["pictures"])
