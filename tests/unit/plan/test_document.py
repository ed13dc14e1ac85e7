"""docs/scaling.md shows what the command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from codec_s2st.cli import main

DOCUMENT = Path(__file__).parents[3] / "docs" / "scaling.md"

SHOWN = re.compile(r"^```\n\$ codec-s2st (plan [^\n]*)\n(.*?)\n```$", flags=re.MULTILINE | re.DOTALL)

BLOCKS = SHOWN.findall(DOCUMENT.read_text())


def test_there_are_8_and_64_gpus() -> None:
    assert [re.findall(r"--gpus (\d+)", command) for command, _ in BLOCKS] == [["8"], ["64"]]


@pytest.mark.parametrize(("command", "shown"), BLOCKS)
def test_document_shows_what_the_command_prints(command: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command)) == 0

    assert capsys.readouterr().out.strip() == shown
