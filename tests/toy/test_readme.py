"""The README is true: its commands exist, its presets too, and its Python runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from codec_s2st.cli import COMMANDS
from codec_s2st.demo.utterances import iter_demo_utterances
from codec_s2st.experiment.reading import find_experiment
from codec_s2st.launch.preset import load_preset
from codec_s2st.share import preset_path

ROOT = Path(__file__).parents[2]

README = ROOT.joinpath("README.md").read_text()

DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.joinpath("docs").rglob("*.md"))]


def commands_in(text: str) -> list[list[str]]:
    lines = [line.split() for line in re.findall(r"codec-s2st ([a-z][^`\n]*)", text)]

    output = []

    for words in lines:
        # What is launched is a command too.
        if words[0] == "launch" and "--" in words:
            idx = words.index("--")

            output += [words[:idx], words[idx + 1 :]]
        else:
            output.append(words)

    return [words for words in output if words]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_presets_exist(path: Path) -> None:
    for words in commands_in(path.read_text()):
        if words[0] in COMMANDS and "--preset" in words[:-1]:
            preset = words[words.index("--preset") + 1].strip(".,;)")

            # Upper case, and files, stand for something of the reader's own.
            if preset.isupper() or "|" in preset or preset.endswith(".yaml"):
                continue

            if words[0] == "launch":
                assert load_preset(preset)
            elif words[0] == "experiment":
                assert find_experiment(words[1], preset).is_file()
            else:
                assert preset_path(words[0], preset).is_file()


def test_lists_every_command() -> None:
    assert {words[0] for words in commands_in(README)} >= COMMANDS.keys() - {"codec"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith("http"):
            assert path.parent.joinpath(target).exists(), target


def test_python_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

    utterance = next(iter_demo_utterances("test", 1, 7))

    soundfile.write(str(tmp_path / "IN.wav"), utterance.source, 16_000)

    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)

    wave, sample_rate = soundfile.read(str(tmp_path / "OUT.wav"))

    assert sample_rate == 16_000 and len(wave) > 0
