"""CVSS-C and CVSS-T: ``{train,dev,test}.tsv`` without headers (clip, translation) and ``SPLIT/CLIP.mp3.wav``.

They are paired with the clips of Common Voice 4 by the clips' names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from codec_s2st.data.corpora.common_voice import clip_id, clip_path, language_folder, read_sentences
from codec_s2st.data.corpora.corpus import TEST, TRAIN, VALID, Corpus, Option, OptionValues, Skipped
from codec_s2st.data.manifest_row import ManifestRow
from codec_s2st.data.preparation.languages import iso639_3
from codec_s2st.data.preparation.layout import check_asked, subfolders
from codec_s2st.data.preparation.text_files import read_table

_SPLITS: Final = {"train": TRAIN, "dev": VALID, "test": TEST}

# The archives have no folder of their own: which language they are of, the clips' names tell.
_CLIP: Final = re.compile(r"common_voice_([A-Za-z-]+)_\d+\.mp3")


def _read(src: Path, options: OptionValues, *, one_voice: bool) -> Iterator[ManifestRow | Skipped]:
    release = options.path("common-voice")

    assert release is not None

    wanted = options.texts("lang")

    reader = _Reader(release, wanted, one_voice=one_voice)

    for folder in (src, *subfolders(src)):
        for name in _SPLITS:
            if (folder / f"{name}.tsv").is_file():
                yield from reader.read(folder, name)

    check_asked(src, "lang", wanted, reader.languages)


class _Reader:
    def __init__(self, release: Path, wanted: tuple[str, ...], *, one_voice: bool) -> None:
        self._release = release
        self._wanted = wanted
        self._one_voice = one_voice

        self.languages: set[str] = set()
        """Those that were met with, as the clips' names have them."""

        self._lang: str | None = None
        self._folder = release
        self._sentences: dict[str, tuple[str, str]] = {}

    def read(self, folder: Path, name: str) -> Iterator[ManifestRow | Skipped]:
        for record in read_table(folder / f"{name}.tsv", columns=("clip", "text"), required=("clip", "text")):
            if isinstance(record, Skipped):
                yield record

                continue

            clip = record["clip"]

            match = _CLIP.fullmatch(clip)

            if match is None:
                yield Skipped("clip has no name of Common Voice", f"{clip} ({record.where})")

                continue

            self.languages.add(match[1])

            if self._wanted and match[1] not in self._wanted:
                yield Skipped("language was not asked for", clip, expected=True)

                continue

            self._open(match[1])

            known = self._sentences.get(clip)

            if known is None:
                yield Skipped("clip is not in Common Voice's validated.tsv", f"{clip} ({record.where})")

                continue

            sentence, speaker = known

            yield ManifestRow(
                id=clip_id(clip),
                split=_SPLITS[name],
                source_audio=str(clip_path(self._folder, clip)),
                source_text=sentence,
                source_lang=iso639_3(match[1]),
                source_speaker=speaker,
                target_audio=str(folder / name / f"{clip}.wav"),
                target_text=record["text"],
                target_lang="eng",
                target_speaker="cvss-c" if self._one_voice else speaker,
            )

    def _open(self, lang: str) -> None:
        """Reads Common Voice's sentences, those of one language at a time."""
        if lang != self._lang:
            self._folder = language_folder(self._release, lang)

            self._sentences = read_sentences(self._folder)

            self._lang = lang


def _corpus(name: str, voices: str, *, one_voice: bool) -> Corpus:
    return Corpus(
        name=name,
        summary=f"{name.upper()}: Common Voice 4 in 21 languages with English translations spoken by {voices}",
        licence="CC BY 4.0 (Common Voice: CC0 1.0)",
        languages=(
            *("ara", "cat", "cmn", "cym", "deu", "eng", "est", "fas", "fra", "ind", "ita", "jpn", "lav", "mon", "nld"),
            *("por", "rus", "slv", "spa", "swe", "tam", "tur"),
        ),
        url="https://github.com/google-research-datasets/cvss and Common Voice 4, "
        "https://commonvoice.mozilla.org/datasets",
        layout="README.md of https://github.com/google-research-datasets/cvss; Jia et al. 2022, "
        "https://arxiv.org/abs/2201.03713",
        expects="train.tsv, dev.tsv, test.tsv beside train/, dev/, test/ with *.mp3.wav; or such a folder a language",
        options=(
            Option(name="common-voice", kind="path", required=True, help="Common Voice 4: the folder with fr/, es/"),
            Option(name="lang", many=True, help="source language, e.g. es or zh-CN (default: all that are there)"),
        ),
        needs=("source_text", "target_text"),
        read=partial(_read, one_voice=one_voice),
    )


CVSS_C: Final = _corpus("cvss-c", "one voice", one_voice=True)

CVSS_T: Final = _corpus("cvss-t", "the speaker's voice", one_voice=False)
