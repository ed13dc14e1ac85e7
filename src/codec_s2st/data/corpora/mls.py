"""Multilingual LibriSpeech: ``mls_LANGUAGE/SPLIT/transcripts.txt`` and ``SPLIT/audio/SPEAKER/BOOK/ID.flac``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from codec_s2st.data.corpora.corpus import TEST, TRAIN, VALID, Corpus, Option, OptionValues, Skipped
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.languages import find_iso639_3
from codec_s2st.data.preparation.layout import check_asked, subfolders
from codec_s2st.data.preparation.text_files import read_table

_SPLITS: Final = {"train": TRAIN, "dev": VALID, "test": TEST}


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    wanted = options.texts("lang")

    folders = [src.resolve() if src.name in ("", ".") else src, *subfolders(src)]

    languages = [(folder, _language(folder)) for folder in folders if folder.name.startswith("mls_")]

    check_asked(src, "lang", wanted, (name for _, name in languages))

    for folder, name in languages:
        lang = find_iso639_3(name)

        if lang is None or (wanted and name not in wanted):
            continue

        suffix = ".opus" if folder.name.endswith("_opus") else ".flac"

        for split in _SPLITS:
            if (folder / split / "transcripts.txt").is_file():
                yield from _read_split(folder / split, _SPLITS[split], lang, suffix)


def _language(folder: Path) -> str:
    return folder.name.removeprefix("mls_").removesuffix("_opus")


def _read_split(folder: Path, split: str, lang: str, suffix: str) -> Iterator[ManifestRow | Skipped]:
    for record in read_table(folder / "transcripts.txt", columns=("id", "text"), required=("id", "text")):
        if isinstance(record, Skipped):
            yield record

            continue

        id_ = record["id"]

        speaker, _, rest = id_.partition("_")

        yield ManifestRow(
            id=f"{lang}_{id_}",
            split=split,
            source_audio=str(folder / "audio" / speaker / rest.partition("_")[0] / f"{id_}{suffix}"),
            source_text=record["text"],
            source_lang=lang,
            source_speaker=speaker,
        )


MLS: Final = Corpus(
    name="mls",
    summary="Multilingual LibriSpeech: 50,000 h of audiobooks in 8 languages, most of it English",
    licence="CC BY 4.0",
    languages=("deu", "eng", "fra", "ita", "nld", "pol", "por", "spa"),
    url="https://www.openslr.org/94",
    layout="README of the corpus, https://www.openslr.org/94; Pratap et al. 2020, https://arxiv.org/abs/2012.03411",
    expects="mls_LANGUAGE/{train,dev,test}/transcripts.txt and audio/SPEAKER/BOOK/*.flac (mls_LANGUAGE_opus: *.opus)",
    options=(Option(name="lang", many=True, help="e.g. spanish (default: all that are there)"),),
    needs=("source_text",),
    read=_read,
)
