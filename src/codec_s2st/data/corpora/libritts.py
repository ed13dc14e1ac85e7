"""LibriTTS and LibriTTS-R: ``LibriTTS/SUBSET/SPEAKER/CHAPTER/SPEAKER_CHAPTER.trans.tsv`` beside the wav files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from codec_s2st.data.corpora.corpus import Corpus, Option, OptionValues, Skipped
from codec_s2st.data.corpora.librispeech import split_of
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.layout import check_asked, files, root_of, subfolders
from codec_s2st.data.preparation.text_files import read_lines, read_table


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    wanted, column = options.texts("subset"), options.required("text")

    subsets = subfolders(root_of(src, "LibriTTS", "LibriTTS_R"))

    check_asked(src, "subset", wanted, (subset.name for subset in subsets))

    for subset in subsets:
        if wanted and subset.name not in wanted:
            continue

        for speaker in subfolders(subset):
            for chapter in subfolders(speaker):
                for text in _read_chapter(chapter, column):
                    yield text if isinstance(text, Skipped) else _row(*text, chapter, subset.name, speaker.name)


def _read_chapter(chapter: Path, column: str) -> Iterator[tuple[str, str] | Skipped]:
    """Yields the ids and texts of a chapter: of its table, or of a file an utterance where it has none."""
    tables = files(chapter, ".trans.tsv")

    for table in tables:
        for record in read_table(table, columns=("id", "original", "normalized"), required=("id", column)):
            yield record if isinstance(record, Skipped) else (record["id"], record[column])

    if not tables:
        suffix = f".{column}.txt"

        for file in files(chapter, suffix):
            lines = list(read_lines(file))

            flaws = [line for line in lines if isinstance(line, Skipped)]

            if flaws:
                yield flaws[0]
            else:
                text = " ".join(line.text for line in lines if not isinstance(line, Skipped))

                yield file.name.removesuffix(suffix), text


def _row(id_: str, text: str, chapter: Path, subset: str, speaker: str) -> ManifestRow:
    return ManifestRow(
        id=id_,
        split=split_of(subset),
        source_audio=str(chapter / f"{id_}.wav"),
        source_text=text,
        source_lang="eng",
        source_speaker=speaker,
    )


LIBRITTS: Final = Corpus(
    name="libritts",
    summary="LibriTTS or LibriTTS-R: 585 h of English audiobooks at 24 kHz, with case and punctuation",
    licence="CC BY 4.0",
    languages=("eng",),
    url="https://www.openslr.org/60 (LibriTTS-R: https://www.openslr.org/141)",
    layout="Zen et al. 2019, https://arxiv.org/abs/1904.02882; README.txt of the corpus",
    expects="LibriTTS/SUBSET/SPEAKER/CHAPTER/*.trans.tsv (or *.normalized.txt) and .wav files",
    options=(
        Option(name="subset", many=True, help="e.g. train-clean-100 (default: all that are there)"),
        Option(name="text", choices=("normalized", "original"), default="normalized", help="which of the two texts"),
    ),
    needs=("source_text",),
    read=_read,
)
