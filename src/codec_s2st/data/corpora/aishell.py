"""AISHELL-1: ``data_aishell/transcript/aishell_transcript_v0.8.txt`` and ``data_aishell/wav/SPLIT/SPEAKER/*.wav``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from codec_s2st.data.corpora.corpus import TEST, TRAIN, VALID, Corpus, OptionValues, Skipped
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.chinese import join_chinese
from codec_s2st.data.preparation.layout import files, root_of, subfolders
from codec_s2st.data.preparation.text_files import read_lines
from codec_s2st.errors import UserInputError

_SPLITS: Final = {"train": TRAIN, "dev": VALID, "test": TEST}

_TABLE: Final = Path("transcript") / "aishell_transcript_v0.8.txt"


def _read(src: Path, options: OptionValues) -> Iterator[ManifestRow | Skipped]:
    root = root_of(src, "data_aishell")

    texts: dict[str, str] = {}

    for line in read_lines(root / _TABLE):
        if isinstance(line, Skipped):
            yield line
        else:
            id_, _, text = line.text.strip().partition(" ")

            if id_ in texts:
                yield Skipped("transcript occurs a second time", line.where)
            else:
                texts[id_] = join_chinese(text)

    num_speakers = 0

    # The recordings tell the split and the speaker, the transcripts do not.
    for name, split in _SPLITS.items():
        for speaker in subfolders(root / "wav" / name):
            num_speakers += 1

            for file in files(speaker, ".wav"):
                text_or_none = texts.pop(file.stem, None)

                yield ManifestRow(
                    id=file.stem,
                    split=split,
                    source_audio=str(file),
                    source_text=text_or_none,
                    source_lang="cmn",
                    source_speaker=speaker.name,
                )

    if num_speakers == 0 and files(root / "wav", ".tar.gz"):
        raise UserInputError(
            f"the archives in {root / 'wav'} are still packed", hint="cd there; for a in *.tar.gz; do tar xzf $a; done"
        )

    for id_ in texts:
        # Some hundred were withdrawn, and stayed in the table.
        yield Skipped("transcript has no recording", id_, expected=True)


AISHELL: Final = Corpus(
    name="aishell",
    summary="AISHELL-1: 178 h of read Mandarin with transcripts",
    licence="Apache 2.0",
    languages=("cmn",),
    url="https://www.openslr.org/33",
    layout="https://www.openslr.org/33; Bu et al. 2017, https://arxiv.org/abs/1709.05522",
    expects="data_aishell/transcript/aishell_transcript_v0.8.txt and data_aishell/wav/{train,dev,test}/SPEAKER/*.wav",
    needs=("source_text",),
    read=_read,
)
