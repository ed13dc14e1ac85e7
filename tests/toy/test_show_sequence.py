"""What `codec-s2st show-sequence` prints, and draws, of made-up codes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from codec_s2st.cli import main
from codec_s2st.data.alignment import AlignedSpan
from codec_s2st.data.shards import ShardRow, Side
from codec_s2st.data.templates import Example, find_template, render
from codec_s2st.recipes.show_sequence.choice import describe
from codec_s2st.recipes.show_sequence.picture import ShownSequence, draw_sequences, format_sequence, name_ids
from codec_s2st.tokens.delay import parse_pattern
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from codec_s2st.tokens.vocabulary import Vocabulary
from tests.factories import encode_letters, random_segment
from tests.toy_runs import Toy

VOCABULARY = Vocabulary(32, (16, 16))


def show(length: int, *, pattern: str = "parallel", whole: bool = False) -> list[str]:
    """Returns the lines of a sequence of a text of two ids and ``length`` frames in the loss."""
    builder = SequenceBuilder(VOCABULARY, parse_pattern(pattern, 2))

    text = random_segment(builder, Modality.TEXT, 2, seed=1, in_loss=False)

    speech = random_segment(builder, Modality.SPEECH, length, seed=2, in_loss=True)

    sequence = builder.build([text, speech])

    names = name_ids(sequence.ids, VOCABULARY, lambda ids: f"t{int(ids[0])}")

    return format_sequence(ShownSequence("title", sequence, names), VOCABULARY, whole=whole).splitlines()


class TestFormatSequence:
    def test_says_what_stands_in_each_stream_and_what_is_in_the_loss(self) -> None:
        torch.manual_seed(0)

        lines = [" ".join(line.split()) for line in show(2, pattern="delay")]

        text = [line.split()[1] for line in lines[2:4]]

        assert all(piece.startswith("'t") for piece in text)

        codes = [cell for line in lines[6:9] for cell in line.split()[1:]]

        assert [cell.split(":")[0] for cell in codes] == ["q0", "q0", "q1", "<flush>*", "q1"]
        assert all(cell.endswith("*") for cell in codes)

        assert lines[0] == "title"
        assert lines[1] == "0 <text>" and lines[4] == "3 </text>"
        assert lines[5] == "4 <speech>*" and lines[9] == "8 </speech>*"

    def test_the_middle_of_long_speech_is_left_out(self) -> None:
        lines = show(30)

        # Title, 4 steps of text, 2 boundaries, 6 frames and a line for the others.
        assert len(lines) == 14

        assert lines[9].split() == ["…", "24", "more", "steps", "of", "codes"]
        assert lines[10].split()[0] == "32"

        assert len(show(30, whole=True)) == 37

    def test_one_line_is_not_replaced_by_another(self) -> None:
        assert len(show(7)) == 14 and "…" not in "".join(show(7))


def test_a_row_with_letters_that_the_font_lacks_is_drawn_without_a_warning(tmp_path: Path) -> None:
    builder = SequenceBuilder(VOCABULARY, parse_pattern("parallel", 2))

    sequence = builder.build([random_segment(builder, Modality.TEXT, 2, seed=1, in_loss=True)])

    with warnings.catch_warnings():
        warnings.simplefilter("error")

        draw_sequences([ShownSequence("row '日本'", sequence, [])], VOCABULARY, tmp_path / "s.png")

    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


ROW = ShardRow(
    "u1",
    "train",
    Side(np.array([[3, 1], [0, 4], [5, 2]]), "ab", "spa", "ana", (AlignedSpan("a", 0, 1), AlignedSpan("b", 2, 3))),
    Side(np.array([[7, 2]]), "c", "eng"),
)

CHAIN = """\
    0  <task:s2st_chain>
    1  <lang:spa>
    2  <lang:eng>
    3  <speech>
    4  q0:3               q1:1
    5  q0:0               q1:4
    6  q0:5               q1:2
    7  </speech>
    8  <text>*
    9  'a'*
   10  'b'*
   11  </text>*
   12  <text>*
   13  'c'*
   14  </text>*
   15  <speech>*
   16  q0:7*              q1:2*
   17  </speech>*"""

INTERLEAVED = """\
    0  <task:interleaved_lm>
    1  <lang:spa>
    2  <text>*
    3  'a'*
    4  </text>*
    5  <speech>*
    6  q0:0*                  q1:4*
    7  q0:5*                  q1:2*
    8  </speech>*"""

VOICE = """\
    0  <task:tts_voice>
    1  <lang:spa>
    2  <speech>
    3  q0:6              q1:6
    4  </speech>
    5  <text>
    6  'a'
    7  'b'
    8  </text>
    9  <speech>*
   10  q0:3*             q1:1*
   11  q0:0*             q1:4*
   12  q0:5*             q1:2*
   13  </speech>*"""


class TestForms:
    @pytest.mark.parametrize(
        ("task", "golden", "segments"),
        [
            ("s2st_chain", CHAIN, "source speech, source text*, target text*, target speech*"),
            ("interleaved_lm", INTERLEAVED, "source text and speech in turn*"),
            ("tts_voice", VOICE, "voice of the source (3 s of the other utterance), source text, source speech*"),
        ],
    )
    def test_are_shown_step_by_step(self, task: str, golden: str, segments: str) -> None:
        template = find_template(task)

        builder = SequenceBuilder(VOCABULARY, parse_pattern("parallel", 2))

        sequence = render(template, Example(ROW, np.array([[6, 6]]), seed=1), builder, encode_letters, "target")

        names = name_ids(sequence.ids, VOCABULARY, lambda ids: chr(96 + int(ids[0])))

        shown = ShownSequence(describe(template, "target"), sequence, names)

        assert format_sequence(shown, VOCABULARY) == f"{segments}\n{golden}"


class TestCommand:
    def test_shows_tasks_in_turn_and_writes_a_picture(
        self, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)

        arguments = ["--init", "demo_text_lm", "--shards", str(toy.folder / "shards")]

        arguments += ["--config", "num_streams=2", "data.mixture=[{task: s2st, weight: 9}, {task: asr, reverse: true}]"]

        assert main(["show-sequence", "s2st/demo", "--num", "2", "--picture", "a/b.png", *arguments]) == 0

        out = capfd.readouterr().out

        titles = sorted(line.split(",")[0] for line in out.splitlines() if ", row '" in line)

        assert titles == ["asr-reverse", "s2st"]

        assert "<task:s2st>" in out and "<speech>*" in out and out.endswith("a/b.png\n")

        assert (tmp_path / "a" / "b.png").read_bytes().startswith(b"\x89PNG")

        # It is no run: nothing else is left behind.
        assert [path.name for path in tmp_path.iterdir()] == ["a"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["demo"], "'demo' does not say which recipe it is for (give cpt/demo/joint or s2st/demo)"),
            (["x.yaml"], "'x.yaml' does not say which recipe it is for (give --recipe cpt or s2st)"),
            (["cpt/demo/jiont"], "unknown preset of cpt 'demo/jiont': did you mean 'demo/joint'?"),
            (["cpt/demo/joint", "--num", "0"], "--num is 0, but must be at least 1"),
            (["cpt/demo/joint", "--picture", "a.gif"], "picture 'a.gif' must end in one of .png, .svg, .pdf"),
            (["cpt/demo/joint", "--nmu", "3"], "unrecognized arguments: --nmu 3"),
        ],
    )
    def test_mistakes_are_one_line(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
    ) -> None:
        assert main(["show-sequence", *arguments]) == 2

        assert capsys.readouterr().err.startswith(f"codec-s2st: error: {message}")
