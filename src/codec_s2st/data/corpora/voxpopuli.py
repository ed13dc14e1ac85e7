"""VoxPopuli, speech-to-speech: ``transcribed_data/SOURCE/TARGET/s2s.tsv``, as the corpus's own scripts make it.

The speech lies in ``transcribed_data/SOURCE/YEAR``, its interpretation in ``transcribed_data/SOURCE/TARGET/YEAR``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from codec_s2st.data.corpora.corpus import TEST, TRAIN, VALID, Corpus, Option, OptionValues, Skipped
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.languages import find_iso639_3, iso639_3
from codec_s2st.data.preparation.layout import check_asked, root_of, subfolders
from codec_s2st.data.preparation.text_files import Record, read_table
from codec_s2st.errors import UserInputError

_SPLITS: Final = {"train": TRAIN, "dev": VALID, "test": TEST}

_COLUMNS: Final = ("src_id", "src_text", "src_speaker_id", "tgt_id", "tgt_text")


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    wanted = options.texts("pair")

    name = "s2s_ref.tsv" if options.flag("annotated-target") else "s2s.tsv"

    # The other folders are years.
    pairs = {
        f"{source.name}-{target.name}": (source, target)
        for source in subfolders(root_of(src, "transcribed_data"))
        for target in subfolders(source)
        if find_iso639_3(target.name) is not None and (target / name).is_file()
    }

    check_asked(src, "pair", wanted, pairs)

    splits: dict[Path, dict[str, str]] = {}

    for pair, (source, target) in pairs.items():
        if wanted and pair not in wanted:
            continue

        if source not in splits:
            splits = {source: _read_splits(source)}

        yield from _read_pair(source, target, name, splits[source])


def _read_splits(source: Path) -> dict[str, str]:
    """Returns the split of each segment of the source, which the tables of pairs do not have.

    :raises UserInputError: nothing says which segments are to test on.
    """
    splits: dict[str, str] = {}

    for name, split in _SPLITS.items():
        path = source / f"asr_{name}.tsv"

        if path.is_file():
            records = read_table(path, required=("id",))

            splits.update({record["id"]: split for record in records if isinstance(record, Record)})

    if not splits:
        raise UserInputError(
            f"{source} has no asr_train.tsv, asr_dev.tsv or asr_test.tsv, which say what is to train and to test on",
            hint=f"run voxpopuli's get_asr_data for {source.name}",
        )

    return splits


def _read_pair(source: Path, target: Path, name: str, splits: dict[str, str]) -> Iterator[ManifestRow | Skipped]:
    for record in read_table(target / name, required=_COLUMNS[:4]):
        if isinstance(record, Skipped):
            yield record

            continue

        src_id, tgt_id = record["src_id"], record["tgt_id"]

        if src_id not in splits:
            yield Skipped("source is in none of asr_{train,dev,test}.tsv", f"{src_id} ({record.where})")

            continue

        speaker = record["src_speaker_id"]

        yield ManifestRow(
            id=tgt_id,
            split=splits[src_id],
            source_audio=str(source / src_id[:4] / f"{src_id}.ogg"),
            source_text=record["src_text"],
            source_lang=iso639_3(source.name),
            source_speaker=None if speaker == "None" else speaker,
            target_audio=str(target / tgt_id[:4] / f"{tgt_id}.ogg"),
            # Empty but where the interpretation was written down by hand.
            target_text=record.get("tgt_text"),
            target_lang=iso639_3(target.name),
        )


VOXPOPULI: Final = Corpus(
    name="voxpopuli",
    summary="VoxPopuli, speech-to-speech: speeches in the European Parliament with their interpretations",
    licence="CC0 1.0 (and the European Parliament's legal notice)",
    languages=(
        *("ces", "dan", "deu", "eng", "est", "fin", "fra", "hrv", "hun", "ita", "lit", "nld", "pol", "ron", "slk"),
        *("slv", "spa"),
    ),
    url="https://github.com/facebookresearch/voxpopuli",
    layout="README.md and get_s2s_data.py of https://github.com/facebookresearch/voxpopuli; Wang et al. 2021, "
    "https://aclanthology.org/2021.acl-long.80",
    expects="transcribed_data/SOURCE/TARGET/s2s.tsv, which the corpus's get_asr_data and get_s2s_data make",
    options=(
        Option(name="pair", many=True, help="e.g. es-en (default: all that are there)"),
        Option(name="annotated-target", kind="flag", help="read s2s_ref.tsv: interpretations with human transcripts"),
    ),
    needs=("source_text",),
    read=_read,
)
