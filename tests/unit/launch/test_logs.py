from __future__ import annotations

from io import StringIO
from pathlib import Path

from codec_s2st.launch.logs import Follower, last_lines, size_of


def test_follower_copies_what_is_new(tmp_path: Path) -> None:
    file, stream = tmp_path / "log", StringIO()

    follower = Follower(file, stream)

    follower.copy()

    file.write_text("uno\n")

    follower.copy()
    follower.copy()

    with file.open("a") as fp:
        fp.write("dos\n")

    follower.copy()

    assert stream.getvalue() == "uno\ndos\n"


def test_follower_starts_where_it_is_told(tmp_path: Path) -> None:
    file, stream = tmp_path / "log", StringIO()

    file.write_text("uno\n")

    follower = Follower(file, stream, position=size_of(file))

    with file.open("a") as fp:
        fp.write("dos\n")

    follower.copy()

    assert stream.getvalue() == "dos\n"


def test_last_lines_are_not_blank(tmp_path: Path) -> None:
    file = tmp_path / "log"

    assert last_lines(file, 3) == [] and size_of(file) == 0

    file.write_bytes(b"1\n\n2\n\xff3\n\n  \n4\n")

    assert last_lines(file, 3) == ["2", "\ufffd3", "4"]


def test_last_lines_of_a_large_file(tmp_path: Path) -> None:
    file = tmp_path / "log"

    file.write_text("".join(f"{number}\n" for number in range(100_000)))

    assert last_lines(file, 2) == ["99998", "99999"]
