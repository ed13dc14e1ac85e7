"""Where the codec's speech comes from: the demo world, or the audio files of a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec_s2st.errors import UserInputError
from codec_s2st.share import cache_dir

if TYPE_CHECKING:
    from codec_s2st.demo.espeak import Voice

# Raise it when what `_synthesise` says changes: the cached speech is then made anew.
_VERSION: Final = 1


@dataclass(kw_only=True)
class SpeechSplits:
    """Waveforms [N] by use, float32."""

    train: Sequence[Tensor]

    valid: dict[str, Sequence[Tensor]]
    """By the name of the validation unit."""


@final
class PackedSpeech(Sequence[Tensor]):
    """Waveforms in memory, 16 bits a sample."""

    def __init__(self, samples: NDArray[np.int16], lengths: NDArray[np.int64]) -> None:
        self._samples = torch.from_numpy(samples)
        self._ends = np.cumsum(lengths)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, idx: int) -> Tensor: ...

    @overload
    def __getitem__(self, idx: slice) -> list[Tensor]: ...

    def __getitem__(self, idx: int | slice) -> Tensor | list[Tensor]:
        if isinstance(idx, slice):
            return [self[i] for i in range(*idx.indices(len(self)))]

        end = int(self._ends[idx])

        start = int(self._ends[idx - 1]) if idx > 0 else 0

        return self._samples[start:end].float() / 32768.0


def demo_speech(num_train: int, num_valid: int, *, seed: int) -> SpeechSplits:
    """Returns speech of the demo world, synthesised once and then read from the cache.

    Validation has the sentences of the split ``valid``: ``valid`` in the voices of the training data, ``unseen_voice``
    in the held-out ones.

    :raises UserInputError: the wheels of the extra ``demo`` are not installed.
    """
    from codec_s2st.demo.grammar import sample_pairs

    def sentences(split: str, num: int) -> list[tuple[str, str]]:
        pairs = sample_pairs(split, num, seed)

        marks = ["?" if pair.is_question else "." for pair in pairs]

        return [(pair.spa + mark, pair.eng + mark) for pair, mark in zip(pairs, marks, strict=True)]

    valid = sentences("valid", num_valid)

    plan = {"train": sentences("train", num_train), "valid": valid, "unseen_voice": valid}

    parts = {name: _cached(name, pairs, seed) for name, pairs in plan.items()}

    return SpeechSplits(train=parts.pop("train"), valid=dict(parts))


def _cached(name: str, pairs: list[tuple[str, str]], seed: int) -> PackedSpeech:
    from codec_s2st.demo.espeak import HELD_OUT_VOICES, SOURCE_VOICES, TARGET_VOICES

    # Nobody translates into a held-out voice.
    voices = (HELD_OUT_VOICES, ()) if name == "unseen_voice" else (SOURCE_VOICES, TARGET_VOICES)

    # Sentences and voices are in the key, so that a grown demo world is not answered by old speech.
    said_by = [[voice.espeak_id for voice in side] for side in voices]

    key = hashlib.sha256(json.dumps([_VERSION, name, pairs, said_by, seed]).encode()).hexdigest()[:16]

    path = cache_dir() / "codec" / f"{name}-{key}.npz"

    if not path.exists():
        waves = _synthesise(pairs, voices, seed)

        samples = np.concatenate(waves)

        lengths = np.array([wave.size for wave in waves], dtype=np.int64)

        _save(path, samples, lengths)

    with np.load(path, allow_pickle=False) as file:
        return PackedSpeech(file["samples"], file["lengths"])


def _save(path: Path, samples: NDArray[np.int16], lengths: NDArray[np.int64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    # One name a process: several may synthesise at once, and the last one wins with equal bytes.
    tmp_path = path.with_suffix(f".{os.getpid()}.tmp")

    try:
        with tmp_path.open("wb") as file:
            np.savez(file, samples=samples, lengths=lengths)

        tmp_path.replace(path)
    finally:
        tmp_path.unlink(missing_ok=True)


def _synthesise(
    pairs: list[tuple[str, str]], voices: tuple[Sequence[Voice], Sequence[Voice]], seed: int
) -> list[NDArray[np.int16]]:
    """Says both sides of each pair; a side without voices stays silent."""
    from codec_s2st.demo.espeak import synthesise

    rng = random.Random(seed)

    waves = []

    for pair in pairs:
        for text, choices in zip(pair, voices, strict=True):
            if not choices:
                continue

            wave = synthesise(
                text,
                rng.choice(choices),
                speed_wpm=rng.randint(140, 250),
                pitch=rng.randint(25, 75),
                pitch_range=rng.randint(30, 70),
                seed=rng.randrange(2**16),
            )

            waves.append((wave * 32767.0).round().astype(np.int16))

    return waves


@final
class FileSpeech(Sequence[Tensor]):
    """Waveforms that are read from their files when they are asked for."""

    def __init__(self, paths: list[Path], *, sample_rate: int) -> None:
        self._paths = paths
        self._sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, idx: int) -> Tensor: ...

    @overload
    def __getitem__(self, idx: slice) -> FileSpeech: ...

    def __getitem__(self, idx: int | slice) -> Tensor | FileSpeech:
        if isinstance(idx, slice):
            return FileSpeech(self._paths[idx], sample_rate=self._sample_rate)

        from codec_s2st.codecs.audio import read_audio

        return read_audio(self._paths[idx], sample_rate=self._sample_rate).squeeze(0)


def manifest_speech(path: Path, num_valid: int, *, sample_rate: int) -> SpeechSplits:
    """Returns the source and target audio of a manifest's splits ``train`` and ``valid``.

    :raises UserInputError: one of the two splits has no audio, or the manifest cannot be read.
    """
    from codec_s2st.data.manifest import iter_rows, manifest_path, read_manifest

    paths: dict[str, list[Path]] = {"train": [], "valid": []}

    for row in iter_rows(read_manifest(path)):
        for audio in (row.source_audio, row.target_audio):
            if audio is not None and row.split in paths:
                paths[row.split].append(manifest_path(path).parent / audio)

    for split, files in paths.items():
        if not files:
            raise UserInputError(f"manifest {path} has no audio in the split '{split}', which the codec needs")

    train = FileSpeech(paths["train"], sample_rate=sample_rate)
    valid = FileSpeech(paths["valid"][:num_valid], sample_rate=sample_rate)

    return SpeechSplits(train=train, valid={"valid": valid})
