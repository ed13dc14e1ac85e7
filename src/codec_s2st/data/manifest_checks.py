"""What a manifest's rows must fulfil; every message names file, row, id and column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from codec_s2st.audio_segments import SEGMENT_MARK, SEGMENT_PATTERN
from codec_s2st.data.manifest_row import SIDES
from codec_s2st.errors import UserInputError

# Ids become file names and keys of reports: no separators of paths, no control characters.
_BAD_ID: Final = r"[/\\\x00-\x1f\x7f]|^\.{1,2}$|^\s|\s$"

_ROW: Final = "row number"


def check_manifest(frame: pl.DataFrame, where: str, *, first_row: int = 0) -> None:
    """Checks a manifest, or a piece of it, that has the columns and types of ``MANIFEST_SCHEMA``.

    :param where: the manifest's file, for messages.
    :param first_row: the number of the first row.
    :raises UserInputError: for the first row that breaks a rule.
    """
    if frame.is_empty():
        raise UserInputError(f"manifest {where} holds no rows")

    frame = frame.with_row_index(_ROW, first_row)

    # Each string is looked at once; what looks odd is looked at again, rule by rule.
    odd = frame.filter(pl.any_horizontal(condition.fill_null(False) for condition in _looks_odd()))

    if len(odd):
        _check_rows(_Checker(odd, where))

    # Hashes first: comparing them is four times faster than comparing the ids.
    if frame["id"].hash(seed=0).n_unique() < len(frame):
        _Checker(frame, where).refuse("id", pl.col("id").is_first_distinct().not_(), "occurs a second time")


def _looks_odd() -> Iterator[pl.Expr]:
    """Yields conditions of which at least one holds for every row that :func:`_check_rows` refuses."""
    for name in ("id", "split"):
        column = pl.col(name)

        yield column.is_null() | (column == "") | column.str.contains(_BAD_ID) | (column.str.len_bytes() > 200)

    for side in SIDES:
        audio, text, lang, seconds = (pl.col(f"{side}_{field}") for field in ("audio", "text", "lang", "seconds"))

        yield audio.str.contains(rf"^\s*$|\x00|\.\.|{SEGMENT_MARK}")

        yield from (_is_blank(pl.col(f"{side}_{field}")) for field in ("text", "speaker"))

        yield _is_no_code(lang)

        yield lang.is_null() & (audio.is_not_null() | text.is_not_null())

        yield seconds.is_finite().not_() | (seconds < 0)

    yield _is_empty_row()


def _check_rows(check: _Checker) -> None:
    for name in ("id", "split"):
        column = pl.col(name)

        check.refuse(name, column.is_null(), "is null")
        check.refuse(name, column == "", "is empty")
        check.refuse(name, column.str.contains(_BAD_ID), "must be usable as a file name: no '/', '\\', control characters or surrounding blanks")  # fmt: skip  # noqa: E501
        check.refuse(name, column.str.len_bytes() > 200, "is longer than 200 bytes")

    for side in SIDES:
        audio, text, lang = pl.col(f"{side}_audio"), pl.col(f"{side}_text"), pl.col(f"{side}_lang")

        for field in ("audio", "text", "lang", "speaker"):
            check.refuse(f"{side}_{field}", _is_blank(pl.col(f"{side}_{field}")), "is blank; absent values are null")

        check.refuse(f"{side}_audio", audio.str.contains(r"\x00"), "holds a null character")
        check.refuse(f"{side}_audio", _leaves_folder(audio), "leaves the manifest's folder; use an absolute path if that is meant")  # fmt: skip  # noqa: E501
        check.refuse(f"{side}_audio", _is_malformed_segment(audio), "names no stretch of a file: '#t=BEGIN,END', in seconds, is one")  # fmt: skip  # noqa: E501
        check.refuse(f"{side}_lang", _is_no_code(lang), "is not an ISO 639-3 code such as 'spa'")
        check.refuse(f"{side}_lang", lang.is_null() & (audio.is_not_null() | text.is_not_null()), f"is null, although the row has a {side}")  # fmt: skip  # noqa: E501

        seconds = pl.col(f"{side}_seconds")

        check.refuse(f"{side}_seconds", seconds.is_finite().not_() | (seconds < 0), "is not a duration in seconds")

    check.refuse("source_audio", _is_empty_row(), "is null, and so are source_text, target_audio and target_text: the row is empty")  # fmt: skip  # noqa: E501


def _is_blank(column: pl.Expr) -> pl.Expr:
    return column.str.strip_chars() == ""


def _is_no_code(lang: pl.Expr) -> pl.Expr:
    return lang.str.contains(r"^[a-z]{3}$").not_()


def _is_empty_row() -> pl.Expr:
    return pl.all_horizontal(pl.col(f"{side}_{field}").is_null() for side in SIDES for field in ("audio", "text"))


def _leaves_folder(audio: pl.Expr) -> pl.Expr:
    """Returns whether a relative path has a ``..`` component.

    Links are followed: who can put a link into the folder can put the audio there, too.
    """
    return audio.str.starts_with("/").not_() & audio.str.contains(r"(^|/)\.\.(/|$)")


def _is_malformed_segment(audio: pl.Expr) -> pl.Expr:
    begin, end = (audio.str.extract(r"#t=([0-9.]+),([0-9.]+)$", idx).cast(pl.Float64, strict=False) for idx in (1, 2))

    is_well_formed = audio.str.contains(SEGMENT_PATTERN) & (begin < end)

    return audio.str.contains(SEGMENT_MARK, literal=True) & is_well_formed.fill_null(False).not_()


class _Checker:
    def __init__(self, frame: pl.DataFrame, where: str) -> None:
        self._frame = frame
        self._where = where

    def refuse(self, column: str, condition: pl.Expr, reason: str) -> None:
        """Raises for the first row where ``condition`` is true; null counts as false."""
        mask = self._frame.select(condition.fill_null(False).alias("bad"))["bad"]

        if not mask.any():
            return

        idx = mask.arg_max()
        assert idx is not None

        row, value = self._frame[_ROW][idx], self._frame[column][idx]
        shown = "" if value is None else f" '{_shorten(str(value))}'"

        raise UserInputError(
            f"manifest {self._where}, row {row} (id '{_shorten(str(self._frame['id'][idx]))}'), "
            f"column '{column}':{shown} {reason}"
        )


def _shorten(text: str) -> str:
    text = text.encode("unicode_escape").decode() if not text.isprintable() else text

    return text if len(text) <= 80 else f"{text[:77]}..."
