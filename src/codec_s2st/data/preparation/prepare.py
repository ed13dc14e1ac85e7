"""A corpus -> ``manifest.parquet`` and ``prepare.json``, which says what it was made of and what was left out.

The same files and options give the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from codec_s2st import __version__
from codec_s2st.data.corpora.corpus import Corpus, OptionValues, Skipped
from codec_s2st.data.files import atomic_path, folder_lock, sha256_of
from codec_s2st.data.manifest import MANIFEST_FILE, manifest_frame
from codec_s2st.data.manifest_checks import check_manifest
from codec_s2st.data.manifest_row import SIDES, ManifestRow
from codec_s2st.data.manifest_writer import open_manifest_writer
from codec_s2st.data.preparation.counts import LeftOut, ProgressHook, Tally
from codec_s2st.data.preparation.probe import probe_rows
from codec_s2st.data.preparation.rules import (
    BAD_LANGUAGE,
    NO_LANGUAGE,
    OTHER_SPLIT,
    Rules,
    check_hold_out,
    stored_path,
)
from codec_s2st.errors import UserInputError

RECORD_FILE: Final = "prepare.json"

DUPLICATE: Final = "id occurs a second time"

_ADVICE: Final = {
    OTHER_SPLIT: "leave --split out to take all",
    NO_LANGUAGE: "e.g. --constant source_lang=spa",
    BAD_LANGUAGE: "e.g. 'spa', 'eng', 'cmn'",
}
"""What to do about a reason that leaves nothing of a corpus."""

_BATCH: Final = 50_000
"""Rows that are held in memory."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a corpus is to be read; what holds for all corpora."""

    splits: tuple[str, ...] = ()
    """The splits to take; empty for all."""

    keep_incomplete: bool = False
    """Whether utterances stay that lack a text which the corpus should have."""

    lowercase: bool = False

    hold_out: float = 0.0
    """The share of ``train`` that becomes ``valid``."""

    limit: int | None = None
    """The number of utterances after which to stop."""

    absolute: bool = False
    """Whether audio below the output folder has an absolute path, too."""

    num_threads: int = 8
    """Threads that look at audio files."""


@dataclass(frozen=True, kw_only=True)
class PrepareSummary:
    manifest: Path
    record: Path
    num_rows: int
    hours: Mapping[str, float]
    """Hours of audio, by side and language (``source spa``)."""
    left_out: tuple[LeftOut, ...]

    @property
    def num_flawed(self) -> int:
        """How many were left out that should not have had to be."""
        return sum(item.num for item in self.left_out if not item.expected)

    def __str__(self) -> str:
        hours = ", ".join(f"{value:,.2f} h {name}" for name, value in self.hours.items())

        lines = [f"{self.num_rows:,} rows{': ' + hours if hours else ''}"]

        for item in self.left_out:
            lines.append(f"left out: {item.num:,}, {item.reason} (e.g. {item.examples[0]})")

        return "\n".join(lines)


def prepare_corpus(
    corpus: Corpus,
    src: Path,
    out: Path,
    options: Mapping[str, object] | None = None,
    preparation: Preparation | None = None,
    *,
    progress: ProgressHook | None = None,
) -> PrepareSummary:
    """Writes ``out/manifest.parquet`` and ``out/prepare.json``.

    :param options: The corpus's own options, by name.

    :raises UserInputError: there is nothing of the corpus in ``src``, an option is wrong, no utterance could be used,
        or ``out`` cannot be written.
    """
    preparation = preparation or Preparation()

    check_hold_out(preparation.hold_out)

    for name, value in (("limit", preparation.limit), ("jobs", preparation.num_threads)):
        if value is not None and value < 1:
            raise UserInputError(f"--{name} is {value}, but must be positive")

    values = OptionValues(corpus.options, options or {})

    if not src.exists():
        raise UserInputError(f"{src} does not exist", hint=f"{corpus.name} is looked for in it: {corpus.expects}")

    manifest = out / MANIFEST_FILE

    with folder_lock(out):
        tally = Tally(progress or (lambda taken: None))

        rows = _without_duplicates(_rows(corpus, src, out, values, preparation), tally)

        with closing(rows), open_manifest_writer(manifest) as append:
            while batch := list(islice(rows, _BATCH)):
                frame = manifest_frame(batch)

                check_manifest(frame, str(manifest), first_row=tally.num_rows)

                append(frame)

                tally.add(frame)

            if tally.num_rows == 0:
                raise _nothing(corpus, src, tally)

        record = {
            "tool": f"codec_s2st {__version__}",
            "corpus": {"name": corpus.name, "licence": corpus.licence, "url": corpus.url, "layout": corpus.layout},
            "src": str(src),
            "options": values.as_json(),
            "preparation": _preparation_json(preparation),
            "manifest_sha256": sha256_of(manifest),
            "num_rows": tally.num_rows,
            "splits": tally.splits(),
            "left_out": [
                {"reason": item.reason, "num": item.num, "expected": item.expected, "examples": list(item.examples)}
                for item in tally.left_out()
            ],
        }

        with atomic_path(out / RECORD_FILE) as temporary:
            temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    return PrepareSummary(
        manifest=manifest,
        record=out / RECORD_FILE,
        num_rows=tally.num_rows,
        hours=tally.hours(),
        left_out=tally.left_out(),
    )


def check_strict(summary: PrepareSummary) -> None:
    """
    :raises UserInputError: an utterance was left out that should not have had to be.
    """
    if summary.num_flawed:
        raise UserInputError(
            f"{summary.num_flawed} utterance(s) were left out, and strict is set", hint=f"reasons: {summary.record}"
        )


def _rows(
    corpus: Corpus, src: Path, out: Path, values: OptionValues, preparation: Preparation
) -> Iterator[ManifestRow | Skipped]:
    roots = [src] + [path for option in corpus.options if option.kind == "path" and (path := values.path(option.name))]

    rules = Rules(
        needs=() if preparation.keep_incomplete else corpus.needs,
        roots=() if corpus.free_paths else tuple(root if root.is_dir() else root.parent for root in roots),
        splits=preparation.splits,
        lowercase=preparation.lowercase,
        hold_out=preparation.hold_out,
    )

    folder = os.path.abspath(out)

    rows = probe_rows(rules.apply(corpus.read(src, values)), num_threads=preparation.num_threads)

    with closing(rows) as rows:  # type: ignore[type-var]
        num_left = preparation.limit

        for row in rows:
            if isinstance(row, ManifestRow):
                yield row if preparation.absolute else _shorten_paths(row, folder)

                if num_left is not None:
                    num_left -= 1

                    if num_left == 0:
                        return
            else:
                yield row


def _shorten_paths(row: ManifestRow, out: str) -> ManifestRow:
    paths = {f"{side}_audio": getattr(row, f"{side}_audio") for side in SIDES}

    shortened = {name: stored for name, path in paths.items() if path and (stored := stored_path(path, out)) != path}

    return replace(row, **shortened) if shortened else row  # type: ignore[arg-type]


def _without_duplicates(rows: Iterable[ManifestRow | Skipped], tally: Tally) -> Generator[ManifestRow, None, None]:
    """Yields the rows with an id that no row before has, and counts the others."""
    known: set[str] = set()

    for row in rows:
        if isinstance(row, ManifestRow):
            if row.id in known:
                row = Skipped(DUPLICATE, row.id)
            else:
                known.add(row.id)

        tally.count(row)

        if isinstance(row, ManifestRow):
            yield row


def _nothing(corpus: Corpus, src: Path, tally: Tally) -> UserInputError:
    left_out = tally.left_out()

    if not left_out:
        return UserInputError(f"{src} holds nothing of {corpus.name}", hint=f"expected: {corpus.expects}")

    num = sum(item.num for item in left_out)

    first = max(left_out, key=lambda item: item.num)

    return UserInputError(
        f"none of the {num:,} utterances of {src} can be used; {first.num:,} of them: {first.reason}"
        f" (e.g. {first.examples[0]})",
        hint=_ADVICE.get(first.reason, f"expected: {corpus.expects}"),
    )


def _preparation_json(preparation: Preparation) -> dict[str, object]:
    return {
        "splits": list(preparation.splits),
        "keep_incomplete": preparation.keep_incomplete,
        "lowercase": preparation.lowercase,
        "hold_out": preparation.hold_out,
        "limit": preparation.limit,
        "absolute": preparation.absolute,
    }
