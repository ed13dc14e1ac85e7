"""Chooses rows of a manifest by rules, a piece at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from codec_s2st.data.manifest import SIDES, manifest_path
from codec_s2st.data.manifest_scan import scan_manifest, scan_schema
from codec_s2st.data.manifest_writer import open_manifest_writer
from codec_s2st.errors import UserInputError


@dataclass(frozen=True, kw_only=True)
class FilterRules:
    """What a row must fulfil; a rule does not count where the row has nothing that it speaks of."""

    min_seconds: float | None = None
    max_seconds: float | None = None
    """Of each recording."""

    max_ratio: float | None = None
    """Of the longer recording of a pair to the shorter one."""

    splits: tuple[str, ...] = ()

    source_langs: tuple[str, ...] = ()
    target_langs: tuple[str, ...] = ()

    source_script: str | None = None
    target_script: str | None = None
    """The Unicode script that the letters of the text must be of, such as ``Latin``, ``Han`` or ``Cyrillic``."""

    unique: Literal["text", "audio"] | None = None
    """Of rows with the same texts, or the same recordings, the first one stays."""

    def check_scripts(self) -> None:
        """
        :raises UserInputError: Unicode has no such script.
        """
        for side, script in zip(SIDES, (self.source_script, self.target_script), strict=True):
            try:
                pl.Series([""]).str.contains(rf"\p{{{script or 'Latin'}}}")
            except pl.exceptions.ComputeError:
                raise UserInputError(
                    f"--{side}-script is '{script}', which is no script of Unicode",
                    hint="Latin, Han, Cyrillic, Arabic, Devanagari, ..",
                ) from None

    def chosen(self) -> dict[str, tuple[str, ...]]:
        """Returns the values that stay, by column."""
        asked = {"split": self.splits, "source_lang": self.source_langs, "target_lang": self.target_langs}

        return {column: values for column, values in asked.items() if values}

    def reasons(self) -> dict[str, pl.Expr]:
        """Returns, for each rule that is set, when a row breaks it; the first one that it breaks is counted."""
        output: dict[str, pl.Expr] = {}

        for column, values in self.chosen().items():
            output[column] = ~pl.col(column).is_in(values)

        for side in SIDES:
            seconds = pl.col(f"{side}_seconds")

            if self.min_seconds is not None:
                output[f"{side}_seconds too short"] = seconds < self.min_seconds

            if self.max_seconds is not None:
                output[f"{side}_seconds too long"] = seconds > self.max_seconds

        if self.max_ratio is not None:
            ratio = pl.col("target_seconds") / pl.col("source_seconds")

            output["ratio of durations"] = (ratio > self.max_ratio) | (ratio < 1 / self.max_ratio)

        for side, script in zip(SIDES, (self.source_script, self.target_script), strict=True):
            if script is not None:
                # Marks, digits and punctuation belong to every script.
                letters = pl.col(f"{side}_text").str.replace_all(rf"[^\p{{L}}]|\p{{{script}}}", "")

                output[f"{side}_text not {script}"] = letters != ""

        return output


@dataclass(frozen=True)
class FilterResult:
    manifest: Path
    num_rows: int
    num_kept: int
    left_out: dict[str, int]
    """By the first rule that a row broke."""


def filter_manifest(path: Path, out: Path, rules: FilterRules) -> FilterResult:
    """Writes the rows of the manifest at ``path`` that fulfil ``rules``, in their order.

    Relative paths of recordings become absolute where the new manifest lies in another folder.

    :param out: a ``.parquet`` file, or a folder that will hold ``manifest.parquet``.

    :raises UserInputError: the manifest cannot be read, no row is left, or ``out`` cannot be written.
    """
    file = manifest_path(path)

    output = out if out.suffix == ".parquet" else out / file.name

    if output.exists() and output.samefile(file):
        raise UserInputError(f"'{output}' is the manifest itself", hint="name another file or folder")

    by_reason: Counter[str | None] = Counter()

    keys: list[NDArray[np.uint64]] = []

    rules.check_scripts()

    reasons = _reason_expr(rules)

    values: dict[str, set[str]] = {column: set() for column in rules.chosen()}

    for batch in scan_manifest(file):
        frame = batch.with_columns(reasons)

        for column, there in values.items():
            there.update(batch.get_column(column).drop_nulls().unique())

        by_reason.update(dict(frame.group_by("reason").len().iter_rows()))

        if rules.unique is not None:
            keys.append(_keys(frame, rules.unique))

    repeated = None

    if rules.unique is not None:
        repeated = _find_repeated(np.concatenate(keys) if keys else np.empty(0, dtype=np.uint64))

        by_reason[f"repeated {rules.unique}"] = int(repeated.sum())

        by_reason[None] -= int(repeated.sum())

    num_kept = by_reason.pop(None, 0)

    left_out = {reason or "": count for reason, count in by_reason.most_common() if count}

    if num_kept <= 0:
        counts = ", ".join(f"{count:,} by {reason}" for reason, count in left_out.items())

        holds = "; ".join(f"its {column} is {', '.join(sorted(there))}" for column, there in values.items() if there)

        raise UserInputError(f"no row of manifest {file} is left: {counts}", hint=holds or "loosen a rule")

    folder = None if output.absolute().parent == file.absolute().parent else file.absolute().parent

    begin = 0

    schema = scan_schema(file)

    with open_manifest_writer(output, schema) as append:
        for batch in scan_manifest(file):
            frame = batch.with_columns(reasons)

            if repeated is not None:
                frame = frame.filter(~pl.Series(repeated[begin : begin + len(frame)]))

            begin += len(batch)

            frame = frame.filter(pl.col("reason").is_null()).select(schema.names())

            if folder is not None:
                frame = frame.with_columns(_absolute(f"{side}_audio", folder) for side in SIDES)

            append(frame)

    return FilterResult(output, num_kept + sum(left_out.values()), num_kept, left_out)


def _reason_expr(rules: FilterRules) -> pl.Expr:
    broken = [pl.when(when).then(pl.lit(name)) for name, when in rules.reasons().items()]

    return pl.coalesce(*broken, pl.lit(None, dtype=pl.String)).alias("reason")


def _absolute(column: str, folder: Path) -> pl.Expr:
    audio = pl.col(column)

    return pl.when(audio.str.starts_with("/")).then(audio).otherwise(pl.lit(f"{folder}/") + audio).alias(column)


def _keys(frame: pl.DataFrame, what: str) -> NDArray[np.uint64]:
    """Returns a number for the content of each row, and 0 for those that no rule speaks of.

    64 bits a row stand for its texts: two of ten million rows have the same by chance once in 370,000 manifests.
    """
    content = [pl.col(f"{side}_{what}") for side in SIDES]

    counts = pl.col("reason").is_null() & pl.any_horizontal(column.is_not_null() for column in content)

    joined = pl.concat_str([column.fill_null("\x00") for column in content], separator="\x01")

    keys = frame.select(pl.when(counts).then(joined.hash(seed=0)).otherwise(0)).to_series()

    return keys.to_numpy()


def _find_repeated(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Returns which rows have a key that a row before has. *Shape:* [N]."""
    repeated: NDArray[np.bool_] = keys != 0

    _, first = np.unique(keys, return_index=True)

    repeated[first] = False

    return repeated
