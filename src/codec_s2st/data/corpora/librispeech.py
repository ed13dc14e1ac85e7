"""LibriSpeech: ``LibriSpeech/SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt`` beside the flac files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from codec_s2st.data.corpora.corpus import TEST, TRAIN, VALID, Corpus, Option, OptionValues, Skipped
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.layout import check_asked, files, root_of, subfolders
from codec_s2st.data.preparation.text_files import CUT_SHORT, read_lines


def split_of(subset: str) -> str:
    """Returns the split of a subset: the test sets stay apart, as results are given for each."""
    kind, _, quality = subset.partition("-")

    return {"train": TRAIN, "dev": VALID}.get(kind) or (f"{TEST}-{quality}" if kind == "test" else subset)


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    wanted = options.texts("subset")

    subsets = subfolders(root_of(src, "LibriSpeech"))

    check_asked(src, "subset", wanted, (subset.name for subset in subsets))

    for subset in subsets:
        if wanted and subset.name not in wanted:
            continue

        for speaker in subfolders(subset):
            for chapter in subfolders(speaker):
                for table in files(chapter, ".trans.txt"):
                    yield from _read_chapter(table, subset.name, speaker.name)


def _read_chapter(table: Path, subset: str, speaker: str) -> Iterator[ManifestRow | Skipped]:
    for line in read_lines(table):
        if isinstance(line, Skipped):
            yield line

            continue

        id_, blank, text = line.text.strip().partition(" ")

        # An id alone is an empty transcript, but a line without any id is damaged.
        if not blank and "-" not in id_:
            yield Skipped(CUT_SHORT, line.where)

            continue

        yield ManifestRow(
            id=id_,
            split=split_of(subset),
            source_audio=str(table.parent / f"{id_}.flac"),
            source_text=text,
            source_lang="eng",
            source_speaker=speaker,
        )


LIBRISPEECH: Final = Corpus(
    name="librispeech",
    summary="LibriSpeech: 960 h of English audiobooks with transcripts",
    licence="CC BY 4.0",
    languages=("eng",),
    url="https://www.openslr.org/12",
    layout="README.TXT of the corpus; https://www.openslr.org/12",
    expects="LibriSpeech/SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and .flac files, e.g. SUBSET dev-clean",
    options=(Option(name="subset", many=True, help="e.g. train-clean-100 (default: all that are there)"),),
    needs=("source_text",),
    read=_read,
)
