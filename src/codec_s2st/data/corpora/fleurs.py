"""FLEURS: ``LANGUAGE/{train,dev,test}.tsv`` without headers, and ``LANGUAGE/audio/SPLIT/*.wav``.

The sentences are the same in all languages, each read by up to three speakers: so two languages are parallel speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from codec_s2st.data.corpora.corpus import TEST, TRAIN, VALID, Corpus, Option, OptionValues, Skipped
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.languages import iso639_3
from codec_s2st.data.preparation.layout import first_existing, root_of, subfolders
from codec_s2st.data.preparation.text_files import Record, read_table
from codec_s2st.errors import UserInputError

_SPLITS: Final = {"train": TRAIN, "dev": VALID, "test": TEST}

_COLUMNS: Final = ("id", "file", "raw", "normalized", "characters", "num_samples", "gender")


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    root, column = root_of(src, "data"), options.required("text")

    pairs, wanted = options.texts("pair"), options.texts("lang")

    if pairs and wanted:
        raise UserInputError(
            "--pair and --lang cannot be given together", hint="pairs have two languages a row, the others one"
        )

    for pair in pairs:
        source, hyphen, target = pair.partition("-")

        if not hyphen:
            raise UserInputError(f"--pair is '{pair}', but must be two folders' names, e.g. es_419-en_us")

        for split in _SPLITS:
            yield from _read_pair(_folder(root, source), _folder(root, target), split, column)

    if pairs:
        return

    for folder in [_folder(root, name) for name in wanted] if wanted else subfolders(root):
        for split in _SPLITS:
            for record in _read_split(folder, split):
                yield record if isinstance(record, Skipped) else _row(folder, split, record, column)


def _folder(root: Path, name: str) -> Path:
    if not any((root / name / f"{split}.tsv").is_file() for split in _SPLITS):
        raise UserInputError(f"{root} has no FLEURS of '{name}': {root / name / 'train.tsv'} is not there")

    return root / name


def _read_split(folder: Path, split: str) -> Iterator[Record | Skipped]:
    path = folder / f"{split}.tsv"

    if path.is_file():
        yield from read_table(path, columns=_COLUMNS, required=_COLUMNS[:4])


def _row(folder: Path, split: str, record: Record, column: str) -> ManifestRow:
    return ManifestRow(
        id=f"{folder.name}-{Path(record['file']).stem}",
        split=_SPLITS[split],
        source_audio=_audio(folder, split, record),
        source_text=record[column],
        source_lang=iso639_3(folder.name),
    )


def _read_pair(source: Path, target: Path, split: str, column: str) -> Iterator[ManifestRow | Skipped]:
    """Yields each recording of the source with one of the same sentence of the target, in turn."""
    targets: dict[str, list[Record]] = {}

    for record in _read_split(target, split):
        if isinstance(record, Skipped):
            yield record
        else:
            targets.setdefault(record["id"], []).append(record)

    num_seen: dict[str, int] = {}

    for record in _read_split(source, split):
        if isinstance(record, Skipped):
            yield record

            continue

        sentence = record["id"]

        choices = targets.get(sentence)

        if not choices:
            yield Skipped(f"sentence has no recording in {target.name}", f"{sentence} ({record.where})", expected=True)

            continue

        other = choices[num_seen.get(sentence, 0) % len(choices)]

        num_seen[sentence] = num_seen.get(sentence, 0) + 1

        yield ManifestRow(
            id=f"{source.name}-{target.name}-{Path(record['file']).stem}",
            split=_SPLITS[split],
            source_audio=_audio(source, split, record),
            source_text=record[column],
            source_lang=iso639_3(source.name),
            target_audio=_audio(target, split, other),
            target_text=other[column],
            target_lang=iso639_3(target.name),
        )


def _audio(folder: Path, split: str, record: Record) -> str:
    # The hub's archives hold `train/..`, and are unpacked in the folder `audio` that they lie in, or beside the tables.
    return str(first_existing(folder / "audio" / split, folder / split) / record["file"])


FLEURS: Final = Corpus(
    name="fleurs",
    summary="FLEURS: the same 2,009 sentences read in 102 languages, about 10 h each",
    licence="CC BY 4.0",
    languages=(),
    url="https://huggingface.co/datasets/google/fleurs",
    layout="https://huggingface.co/datasets/google/fleurs; Conneau et al. 2022, https://arxiv.org/abs/2205.12446",
    expects="LANGUAGE/{train,dev,test}.tsv and LANGUAGE/audio/{train,dev,test}/*.wav, e.g. LANGUAGE es_419",
    options=(
        Option(name="lang", many=True, help="e.g. es_419, one language a row (default: all that are there)"),
        Option(name="pair", many=True, help="e.g. es_419-en_us: pairs of speech, by sentence"),
        Option(name="text", choices=("raw", "normalized"), default="raw", help="with case and punctuation, or without"),
    ),
    needs=("source_text",),
    read=_read,
)
