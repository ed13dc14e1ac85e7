"""Common Voice: ``LANGUAGE/{train,dev,test,validated}.tsv`` and ``LANGUAGE/clips/*.mp3``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from codec_s2st.data.corpora.corpus import TEST, TRAIN, VALID, Corpus, Option, OptionValues, Skipped
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.languages import iso639_3
from codec_s2st.data.preparation.layout import check_asked, subfolders
from codec_s2st.data.preparation.text_files import Record, read_table, unquote
from codec_s2st.errors import UserInputError

_COLUMNS: Final = ("client_id", "path", "sentence")


def clip_path(folder: Path, name: str) -> Path:
    """Returns where the clip ``name`` of the language's ``folder`` lies; the first releases leave out its suffix."""
    return folder / "clips" / (name if name.endswith((".mp3", ".wav")) else f"{name}.mp3")


def clip_id(name: str) -> str:
    return name.removesuffix(".mp3")


def language_folder(release: Path, language: str) -> Path:
    """Returns the folder of a language in a release, which may be given as that folder itself.

    :raises UserInputError: there is none.
    """
    for folder in (release / language, release):
        if (folder / "validated.tsv").is_file():
            if folder == release and folder.resolve().name != language:
                break

            return folder

    raise UserInputError(
        f"{release} has no Common Voice clips of '{language}': {release / language / 'validated.tsv'} is not there",
        hint="give the folder of the release, e.g. cv-corpus-4-2019-12-10",
    )


def read_sentences(folder: Path) -> dict[str, tuple[str, str]]:
    """Returns sentence and speaker of the validated clips of a language, by the clip's name."""
    records = read_table(folder / "validated.tsv", required=_COLUMNS)

    return {
        record["path"]: (unquote(record["sentence"]), record["client_id"])
        for record in records
        if isinstance(record, Record)
    }


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    wanted = options.texts("lang")

    folders = [src] if (src / "test.tsv").is_file() or (src / "train.tsv").is_file() else subfolders(src)

    # Extracted archives have no other folders; what a user puts beside them is no language.
    languages = {folder.resolve().name: folder for folder in folders if (folder / "clips").is_dir()}

    check_asked(src, "lang", wanted, languages)

    for name, folder in languages.items():
        if wanted and name not in wanted:
            continue

        yield from _read_language(folder, options.text("lang-code") or iso639_3(name), options.required("train-from"))


def _read_language(folder: Path, lang: str, train_from: str) -> Iterator[ManifestRow | Skipped]:
    held_out: set[str] = set()

    for table, split in (("test", TEST), ("dev", VALID), (train_from, TRAIN)):
        path = folder / f"{table}.tsv"

        if not path.is_file():
            continue

        for record in read_table(path, required=_COLUMNS):
            if isinstance(record, Skipped):
                yield record

                continue

            speaker = record["client_id"]

            if split != TRAIN:
                held_out.add(speaker)
            elif train_from == "validated" and speaker in held_out:
                yield Skipped("speaker is in dev or test", record["path"], expected=True)

                continue

            yield ManifestRow(
                id=clip_id(record["path"]),
                split=split,
                source_audio=str(clip_path(folder, record["path"])),
                source_text=unquote(record["sentence"]),
                source_lang=lang,
                source_speaker=speaker,
            )


COMMON_VOICE: Final = Corpus(
    name="common-voice",
    summary="Mozilla Common Voice, any release: read sentences in over 100 languages",
    licence="CC0 1.0",
    languages=(),
    url="https://commonvoice.mozilla.org/datasets",
    layout="https://github.com/common-voice/cv-dataset; Ardila et al. 2020, https://arxiv.org/abs/1912.06670",
    expects="LANGUAGE/train.tsv, dev.tsv, test.tsv and LANGUAGE/clips/*.mp3, or the folder of one language",
    options=(
        Option(name="lang", many=True, help="folder of a language, e.g. es or zh-CN (default: all that are there)"),
        Option(
            name="train-from",
            choices=("train", "validated"),
            default="train",
            help="`validated` trains on all validated clips but those of speakers of dev and test",
        ),
        Option(name="lang-code", help="the ISO 639-3 code, where it does not follow from the folder's name"),
    ),
    needs=("source_text",),
    read=_read,
)
