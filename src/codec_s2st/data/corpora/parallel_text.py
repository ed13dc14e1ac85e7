"""Sentences and their translations: two files of the same lines, or one with a tab between the two."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, Final

from codec_s2st.data.corpora.corpus import TRAIN, Corpus, Option, OptionValues, Skipped
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.languages import iso639_3
from codec_s2st.data.preparation.text_files import BOM, NOT_TEXT, READ_ERRORS, check_encoding, open_binary, read_table
from codec_s2st.errors import UserInputError


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    source_lang, target_lang = iso639_3(options.required("source-lang")), iso639_3(options.required("target-lang"))

    if not src.is_file():
        raise UserInputError(f"{src} is not a file", hint=f"expected: {PARALLEL_TEXT.expects}")

    target = options.path("target")

    encoding = options.required("encoding")

    check_encoding(encoding)

    pairs = _read_tsv(src, encoding) if target is None else _read_two(src, target, encoding)

    for position, pair in enumerate(pairs, start=1):
        if isinstance(pair, Skipped):
            yield pair

            continue

        yield ManifestRow(
            id=f"{src.name}-{position:08d}",
            split=options.required("as-split"),
            source_text=pair[0],
            source_lang=source_lang,
            target_text=pair[1],
            target_lang=target_lang,
        )


def _read_tsv(path: Path, encoding: str) -> Iterator[tuple[str, str] | Skipped]:
    # What follows the two, such as the attributions of Tatoeba, is left out.
    columns = ("source", "target", "rest")

    for record in read_table(path, columns=columns, required=columns[:2], encoding=encoding):
        yield record if isinstance(record, Skipped) else (record["source"], record["target"])


def _read_two(source: Path, target: Path, encoding: str) -> Iterator[tuple[str, str] | Skipped]:
    """Yields the lines of two files, blank ones too: nothing else tells which belong together."""
    with open_binary(source) as one, open_binary(target) as two:
        for number, (first, second) in enumerate(zip_longest(_lines(one, source), _lines(two, target)), start=1):
            if first is None or second is None:
                shorter, longer = (source, target) if first is None else (target, source)

                raise UserInputError(
                    f"{shorter} ends after line {number - 1}, but {longer} goes on: they are no translations"
                )

            if number == 1:
                first, second = first.removeprefix(BOM), second.removeprefix(BOM)

            try:
                yield first.decode(encoding), second.decode(encoding)
            except UnicodeDecodeError:
                yield Skipped(NOT_TEXT, f"{source.name}, line {number}")


def _lines(fp: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        yield from fp
    except READ_ERRORS as ex:
        raise UserInputError(f"{path} cannot be read to its end: {ex}") from None


PARALLEL_TEXT: Final = Corpus(
    name="parallel-text",
    summary="Your own sentences with translations: two text files, or one with tabs",
    licence="yours",
    languages=(),
    url="your own",
    layout="docs/guides/corpora.md",
    expects="a file with SOURCE<tab>TARGET a line, or a file of sentences with --target FILE for their translations",
    options=(
        Option(name="source-lang", required=True, help="e.g. spa"),
        Option(name="target-lang", required=True, help="e.g. eng"),
        Option(name="target", kind="path", help="the file of translations, where there are two files"),
        Option(name="as-split", default=TRAIN, help="the split of all rows; --hold-out takes some of train for valid"),
        Option(name="encoding", default="utf-8", help="of both"),
    ),
    needs=("source_text", "target_text"),
    read=_read,
)
