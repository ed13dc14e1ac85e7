"""Emilia: ``LANGUAGE/BATCH.jsonl`` beside the mp3 files that it names, or a JSON file beside each mp3 file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from codec_s2st.data.corpora.corpus import TRAIN, Corpus, Option, OptionValues, Skipped
from codec_s2st.data.files import read_retrying
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.json_files import NOT_JSON, read_jsonl
from codec_s2st.data.preparation.languages import find_iso639_3
from codec_s2st.data.preparation.layout import check_asked, files, subfolders, walk
from codec_s2st.errors import UserInputError

_LANGUAGES: Final = ("de", "en", "fr", "ja", "ko", "zh")


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    wanted = options.texts("lang") or _LANGUAGES

    min_quality = options.number("min-dnsmos") or 0.0

    packed: list[Path] = []

    is_empty = True

    folders = list(_language_folders(src))

    check_asked(src, "lang", options.texts("lang"), (folder.name.lower() for folder in folders))

    for folder in folders:
        if folder.name.lower() not in wanted:
            continue

        tables = files(folder, ".jsonl")

        for entry in _listed(tables, folder) if tables else _beside(folder):
            is_empty = False

            yield entry if isinstance(entry, Skipped) else _row(*entry, min_quality)

        packed += files(folder, ".tar") or files(folder, ".tar.gz")

    # Who keeps the archives beside the files may.
    if packed and is_empty:
        raise UserInputError(f"{packed[0].parent} holds archives", hint=f"unpack them there: tar xf {packed[0].name}")


def _language_folders(src: Path) -> Iterator[Path]:
    """Yields the folders EN, ZH, .. of the corpus's editions, whose archives are laid out in different ways."""
    for root in (src, src / "raw", src / "Emilia", src / "Emilia-YODAS"):
        yield from (folder for folder in subfolders(root) if folder.name.lower() in _LANGUAGES)


def _listed(tables: list[Path], folder: Path) -> Iterator[tuple[str, Mapping[str, Any], Path] | Skipped]:
    for table in tables:
        for item in read_jsonl(table):
            if isinstance(item, Skipped):
                yield item
            else:
                where, entry = item

                yield where, entry, folder / str(entry.get("wav", ""))


def _beside(folder: Path) -> Iterator[tuple[str, Mapping[str, Any], Path] | Skipped]:
    for path in walk(folder, (".json",)):
        try:
            entry = json.loads(read_retrying(path, path.read_bytes))
        except (ValueError, RecursionError):
            entry = None

        if isinstance(entry, dict):
            yield path.name, entry, path.with_suffix(".mp3")
        else:
            yield Skipped(NOT_JSON, path.name)


def _row(where: str, entry: Mapping[str, Any], audio: Path, min_quality: float) -> ManifestRow | Skipped:
    try:
        # In the hub's edition the id is `_id` in some files.
        id_ = str(entry.get("id") or entry["_id"])

        text, language, quality = str(entry["text"]), str(entry["language"]), float(entry.get("dnsmos") or 0.0)
    except (KeyError, TypeError, ValueError) as ex:
        return Skipped("entry lacks something", f"{where}: {ex}")

    if quality < min_quality:
        return Skipped("quality is below the limit", id_, expected=True)

    return ManifestRow(
        id=id_,
        split=TRAIN,
        source_audio=str(audio),
        source_text=text,
        source_lang=find_iso639_3(language) or language,
        source_speaker=str(entry.get("speaker") or "") or None,
    )


EMILIA: Final = Corpus(
    name="emilia",
    summary="Emilia: 101,000 h of speech found on the Internet, with transcripts by machine, in 6 languages",
    licence="CC BY-NC 4.0 (Emilia-YODAS: CC BY 4.0)",
    languages=("cmn", "deu", "eng", "fra", "jpn", "kor"),
    url="https://huggingface.co/datasets/amphion/Emilia-Dataset",
    layout="https://huggingface.co/datasets/amphion/Emilia-Dataset; He et al. 2024, https://arxiv.org/abs/2407.05361",
    expects="{DE,EN,FR,JA,KO,ZH}/*.jsonl and the mp3 files that they name, or unpacked archives of .mp3 and .json",
    options=(
        Option(name="lang", many=True, choices=_LANGUAGES, help="(default: all that are there)"),
        Option(name="min-dnsmos", kind="number", help="leave out what scores lower in DNSMOS P.835, e.g. 3.2"),
    ),
    needs=("source_text",),
    read=_read,
)
