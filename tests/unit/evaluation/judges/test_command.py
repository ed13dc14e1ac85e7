"""Programs as judges, in real processes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.judges.command import CommandJudge
from codec_s2st.evaluation.judges.judge import QUALITY, SIMILARITY, Recording
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.signal import Measurement

# Prints the length of each file's name.
LENGTHS = """
import sys
for line in open(sys.argv[1]):
    print(len(line.strip().rsplit("/", 1)[1]))
"""


def make(tmp_path: Path, program: str, arguments: str = "{list}", **options: object) -> CommandJudge:
    script = tmp_path / "my script.py"

    script.write_text(program)

    options = {"timeout": 20.0, **options}

    return CommandJudge("mine", f"{sys.executable} '{script}' {arguments}", **options)  # type: ignore[arg-type]


def recordings(tmp_path: Path, *names: str) -> list[Recording]:
    return [Recording(name, MODEL, tmp_path / name, tmp_path / f"s_{name}", None) for name in names]


def values(found: list[dict[str, Measurement]]) -> list[float | None]:
    return [entry["mine"].value for entry in found]


def test_a_number_a_file(tmp_path: Path) -> None:
    judge = make(tmp_path, LENGTHS)

    assert values(judge.judge(recordings(tmp_path, "a", "bb c", "ddd"))) == [1.0, 4.0, 3.0]

    assert (judge.quality, judge.name) == (QUALITY, "mine (command)")

    # What was run stands in the report.
    assert judge.signature == f"command:{sys.executable} '{tmp_path / 'my script.py'}' {{list}}"


def test_nothing_to_judge_runs_nothing(tmp_path: Path) -> None:
    assert make(tmp_path, "raise SystemExit(3)").judge([]) == []


def test_lists_are_in_step_and_leave_out_what_lacks_something(tmp_path: Path) -> None:
    program = """
import sys
for one, two in zip(open(sys.argv[1]), open(sys.argv[2]), strict=True):
    print(one.strip()[-1] + two.strip()[-1])
"""

    judge = make(tmp_path, program, "{list} {references}")

    both = [
        Recording("a", MODEL, tmp_path / "1", None, tmp_path / "2"),
        Recording("b", MODEL, tmp_path / "3", None, None),
        Recording("a", REFERENCE_AUDIO, tmp_path / "2", None, None),
        Recording("c", CODEC_TOPLINE, tmp_path / "4", None, tmp_path / "5"),
    ]

    found = judge.judge(both)

    assert [entry.get("mine") for entry in found] == [Measurement(12.0), None, None, Measurement(45.0)]

    assert judge.quality == SIMILARITY and judge.metrics == {"mine": (MODEL, CODEC_TOPLINE)}


def test_line_that_is_no_number_is_that_items_alone(tmp_path: Path) -> None:
    judge = make(tmp_path, "print('1.5'); print('cannot read it'); print('nan')")

    one, two, three = (entry["mine"] for entry in judge.judge(recordings(tmp_path, "a", "b", "c")))

    assert one.value == 1.5

    assert two == Measurement(None, "it printed 'cannot read it', which is no number")
    assert three == Measurement(None, "it printed nan")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("print(1)", "it printed 1 lines for 2 files"),
        ("raise SystemExit('no weights')", "it ended with 1: no weights"),
        ("import os; os.kill(os.getpid(), 9)", "it ended with -9: it printed no reason"),
    ],
)
def test_program_that_fails_measures_nothing(tmp_path: Path, program: str, reason: str) -> None:
    found = make(tmp_path, program).judge(recordings(tmp_path, "a", "b"))

    assert [entry["mine"] for entry in found] == [Measurement(None, reason)] * 2


def test_program_that_hangs_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    program = f"""
import subprocess, sys, time
code = "import time; time.sleep(3); open({str(tmp_path / "survived")!r}, 'w')"
subprocess.Popen([sys.executable, "-c", code])
time.sleep(60)
"""

    found = make(tmp_path, program, timeout=1.0).judge(recordings(tmp_path, "a"))

    assert found == [{"mine": Measurement(None, "it was ended after 1 s (`timeout`)")}]

    time.sleep(3.0)

    assert not (tmp_path / "survived").exists()


def test_program_that_is_not_there(tmp_path: Path) -> None:
    judge = CommandJudge("mine", "/nowhere/x {list}", timeout=1.0)

    assert judge.judge(recordings(tmp_path, "a")) == [
        {"mine": Measurement(None, "'/nowhere/x' cannot be started: No such file or directory")}
    ]


def test_weights_have_a_hash(tmp_path: Path) -> None:
    tmp_path.joinpath("w.bin").write_bytes(b"x")

    judge = make(tmp_path, LENGTHS, weights=tmp_path / "w.bin")

    assert judge.instrument is not None and judge.instrument.name == "w.bin"
    assert judge.instrument.weights_hash.startswith("2d711642b726b044")


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"has no \{list\}"):
        CommandJudge("mine", "python x.py", timeout=1.0)

    with pytest.raises(UserInputError, match="No closing quotation"):
        CommandJudge("mine", "python 'x.py {list}", timeout=1.0)

    with pytest.raises(UserInputError, match="do not exist"):
        CommandJudge("mine", "x {list}", timeout=1.0, weights=tmp_path / "absent")


def test_what_was_left_behind_ends_too(tmp_path: Path) -> None:
    program = f"""
import subprocess, sys
code = "import time; time.sleep(2); open({str(tmp_path / "survived")!r}, 'w')"
subprocess.Popen([sys.executable, "-c", code])
print(1)
"""

    start = time.monotonic()

    assert values(make(tmp_path, program).judge(recordings(tmp_path, "a"))) == [1.0]

    time.sleep(max(3.0 - (time.monotonic() - start), 0.0))

    assert not (tmp_path / "survived").exists()


def test_what_has_left_the_group_does_not_hold_us(tmp_path: Path) -> None:
    program = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], start_new_session=True)
time.sleep(60)
"""

    start = time.monotonic()

    found = make(tmp_path, program, timeout=1.0).judge(recordings(tmp_path, "a"))

    assert found == [{"mine": Measurement(None, "it was ended after 1 s (`timeout`)")}]

    # Less than the other one sleeps.
    assert time.monotonic() - start < 25.0


def test_endless_output_is_ended(tmp_path: Path) -> None:
    found = make(tmp_path, "while True: print('1\\n' * 100_000)").judge(recordings(tmp_path, "a"))

    assert found == [{"mine": Measurement(None, "it printed more than 17 MB")}]
