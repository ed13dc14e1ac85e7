"""Tables of published corpora, line by line: what is wrong with a line costs that line, and no other."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from codec_s2st.data.corpora.corpus import Skipped
from codec_s2st.data.files import read_retrying
from codec_s2st.errors import UserInputError

BOM: Final = b"\xef\xbb\xbf"

READ_ERRORS: Final = (EOFError, OSError, zlib.error)
"""What reading raises where a file ends too early, fails, or is packed wrongly."""

NOT_TEXT: Final = "line is not in the file's encoding"

CUT_SHORT: Final = "line has too few columns"


@dataclass(frozen=True, slots=True)
class Line:
    path: Path

    number: int
    """Counted from 1."""

    text: str
    """Without the end of the line."""

    @property
    def where(self) -> str:
        return f"{self.path.name}, line {self.number}"


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a table, by column."""

    path: Path

    number: int

    cells: dict[str, str]

    @property
    def where(self) -> str:
        return f"{self.path.name}, line {self.number}"

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def get(self, column: str) -> str:
        """Returns the cell, empty where the table has no such column."""
        return self.cells.get(column, "")


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[Line | Skipped]:
    """Yields the lines of a text file that are not blank; ``.gz`` is unpacked.

    A byte order mark is dropped, CR LF ends a line as LF does. Only these do: some transcripts hold other characters
    that Python takes for ends of lines.

    :raises UserInputError: the file cannot be read, or ``encoding`` is none.
    """
    check_encoding(encoding)

    with open_binary(path) as fp:
        number = 0

        try:
            for content in fp:
                number += 1

                content = content.rstrip(b"\r\n")

                if number == 1:
                    content = content.removeprefix(BOM)

                try:
                    text = content.decode(encoding)
                except UnicodeDecodeError:
                    yield Skipped(NOT_TEXT, f"{path.name}, line {number}")

                    continue

                if text.strip():
                    yield Line(path, number, text)
        except READ_ERRORS as ex:
            raise UserInputError(f"{path} cannot be read beyond line {number}: {ex}") from None


def check_encoding(encoding: str) -> None:
    """
    :raises UserInputError: ``encoding`` is none, or its ends of lines are more than a byte, by which lines are told.
    """
    try:
        end = "\n".encode(encoding)
    except LookupError:
        raise UserInputError(f"there is no encoding '{encoding}'", hint="e.g. utf-8, latin-1") from None

    if end != b"\n":
        raise UserInputError(
            f"files in '{encoding}' are not read", hint=f"iconv -f {encoding} -t utf-8 FILE > NEWFILE, and give that"
        )


def read_table(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    required: Sequence[str] = (),
    separator: str = "\t",
    encoding: str = "utf-8",
) -> Iterator[Record | Skipped]:
    """Yields the lines of a table whose cells are never quoted: a quotation mark is one.

    :param columns: The names of the columns, where the file has no header. The last of them may contain the separator.
    :param required: The columns that must be there, in the header and in a line; surplus cells are left out.

    :raises UserInputError: the file cannot be read, or its header lacks a required column.
    """
    names = columns

    for line in read_lines(path, encoding):
        if isinstance(line, Skipped):
            yield line

            continue

        if names is None:
            names = [name.strip() for name in line.text.split(separator)]

            for name in required:
                if name not in names:
                    raise UserInputError(f"{path} has no column '{name}' (its header: {', '.join(names)})")

            continue

        cells = line.text.split(separator, len(names) - 1 if columns is not None else -1)

        record = Record(path, line.number, {name: cell.strip() for name, cell in zip(names, cells, strict=False)})

        if any(name not in record.cells for name in required):
            yield Skipped(CUT_SHORT, record.where)
        else:
            yield record


def unquote(text: str) -> str:
    """Undoes what a writer of CSV does to a cell with quotation marks: encloses it, and doubles those within."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text

    inner = text[1:-1]

    # Otherwise the text begins with one quotation and ends with another: "a" and "b".
    return inner.replace('""', '"') if '"' not in inner.replace('""', "") else text


def unescape(text: str) -> str:
    """Undoes backslashes before characters, as pandas writes them for want of quotation marks."""
    return re.sub(r"\\(.)", r"\1", text)


def open_binary(path: Path) -> IO[bytes]:
    """
    :raises UserInputError: the file cannot be read.
    """

    def opened() -> IO[bytes]:
        return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")

    return read_retrying(path, opened)
