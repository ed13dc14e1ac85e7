"""Where the codec's speech comes from: the demo world, or the audio files of a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec_s2st.errors import UserInputError
from codec_s2st.share import cache_dir

if TYPE_CHECKING:
    from codec_s2st.demo.espeak import Voice

# Raise it when what `_synthesise` says changes: the cached speech is then made anew.
_VERSION: Final = 3


@dataclass(frozen=True)
class SpeechClip:
    """An utterance."""

    wave: Tensor
    """[N], float32."""

    phonemes: PhonemeTrack | None
    """What is said; ``None`` where nobody knows."""


@dataclass(frozen=True)
class PhonemeTrack:
    """Phonemes, one after the other; before the first there is silence, number 0."""

    begins: Tensor
    """The samples at which they begin, increasing. *Shape:* [K]."""

    numbers: Tensor
    """*Shape:* [K]."""

    def at(self, samples: Tensor) -> Tensor:
        """Returns the numbers of what is being said at ``samples`` [M]. *Shape:* [M], int64."""
        place = torch.searchsorted(self.begins, samples, right=True)

        return torch.cat((self.numbers.new_zeros(1), self.numbers))[place].long()


@dataclass(kw_only=True)
class SpeechSplits:
    """Utterances by use."""

    train: Sequence[SpeechClip]

    valid: dict[str, Sequence[SpeechClip]]
    """By the name of the validation unit."""


@final
class PackedSpeech(Sequence[SpeechClip]):
    """Utterances in memory, 16 bits a sample."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """
        :param arrays: ``samples`` of all utterances and their ``lengths``; ``begins`` and ``numbers`` of all phonemes,
            and how many an utterance has, ``counts``.
        """
        self._samples, self._begins, self._numbers = (
            torch.from_numpy(arrays[name]) for name in ("samples", "begins", "numbers")
        )

        self._ends, self._phoneme_ends = np.cumsum(arrays["lengths"]), np.cumsum(arrays["counts"])

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, idx: int) -> SpeechClip: ...

    @overload
    def __getitem__(self, idx: slice) -> list[SpeechClip]: ...

    def __getitem__(self, idx: int | slice) -> SpeechClip | list[SpeechClip]:
        if isinstance(idx, slice):
            return [self[i] for i in range(*idx.indices(len(self)))]

        samples, phonemes = _range(self._ends, idx), _range(self._phoneme_ends, idx)

        return SpeechClip(
            self._samples[samples].float() / 32768.0, PhonemeTrack(self._begins[phonemes], self._numbers[phonemes])
        )


def _range(ends: NDArray[np.int64], idx: int) -> slice:
    return slice(int(ends[idx - 1]) if idx > 0 else 0, int(ends[idx]))


def demo_speech(num_train: int, num_valid: int, *, world: str, seed: int) -> SpeechSplits:
    """Returns speech of the demo world, synthesised once and then read from the cache.

    Validation has the sentences of the split ``valid``: ``valid`` in the voices of the corpora that are translated,
    ``unseen_voice`` in the held-out ones.

    :param world: The world's name.

    :raises UserInputError: ``world`` is unknown, or the wheels of the extra ``demo`` are not installed.
    """
    from codec_s2st.demo.grammar import sample_pairs

    def sentences(split: str, num: int) -> list[tuple[str, str]]:
        pairs = sample_pairs(split, num, seed, world=world)

        return [(pair.spoken(pair.spa), pair.spoken(pair.eng)) for pair in pairs]

    valid = sentences("valid", num_valid)

    plan = {"train": sentences("train", num_train), "valid": valid, "unseen_voice": valid}

    parts = {name: _cached(name, pairs, seed) for name, pairs in plan.items()}

    return SpeechSplits(train=parts.pop("train"), valid=dict(parts))


def _cached(name: str, pairs: list[tuple[str, str]], seed: int) -> PackedSpeech:
    from codec_s2st.demo.espeak import (
        HELD_OUT_VOICES,
        LARGE_TARGET_VOICES,
        MANY_VOICES,
        SOURCE_VOICES,
        TARGET_VOICES,
    )

    spanish, english = SOURCE_VOICES, TARGET_VOICES[:1] + LARGE_TARGET_VOICES

    voices: tuple[Sequence[Voice], ...]

    if name == "unseen_voice":
        # Nobody translates into a held-out voice.
        voices = HELD_OUT_VOICES, ()
    elif name == "valid":
        voices = spanish, english
    else:
        # The voices of the corpora make up half of it.
        voices = tuple(
            own * (len(many) // len(own)) + many for own, many in zip((spanish, english), MANY_VOICES, strict=True)
        )

    # Sentences and voices are in the key, so that a grown demo world is not answered by old speech.
    said_by = [[voice.espeak_id for voice in side] for side in voices]

    key = hashlib.sha256(json.dumps([_VERSION, name, pairs, said_by, seed]).encode()).hexdigest()[:16]

    path = cache_dir() / "codec" / f"{name}-{key}.npz"

    if not path.exists():
        _save(path, _synthesise(pairs, voices, seed))

    with np.load(path, allow_pickle=False) as file:
        return PackedSpeech(file)


def _save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    # One name a process: several may synthesise at once, and the last one wins with equal bytes.
    tmp_path = path.with_suffix(f".{os.getpid()}.tmp")

    try:
        with tmp_path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

        tmp_path.replace(path)
    finally:
        tmp_path.unlink(missing_ok=True)


def _synthesise(pairs: list[tuple[str, str]], voices: Sequence[Sequence[Voice]], seed: int) -> dict[str, NDArray[Any]]:
    """Says both sides of each pair.

    :param voices: The voices of each side; a side without any stays silent.

    :returns: What :class:`PackedSpeech` reads.
    """
    from codec_s2st.demo.espeak import synthesise_timed
    from codec_s2st.demo.phonemes import number_phonemes

    rng = random.Random(seed)

    waves, tracks = [], []

    for pair in pairs:
        for text, choices in zip(pair, voices, strict=True):
            if not choices:
                continue

            speech = synthesise_timed(
                text,
                rng.choice(choices),
                speed_wpm=rng.randint(140, 250),
                pitch=rng.randint(25, 75),
                pitch_range=rng.randint(30, 70),
                seed=rng.randrange(2**16),
            )

            waves.append((speech.wave * 32767.0).round().astype(np.int16))

            tracks.append(number_phonemes(speech.phonemes))

    return {
        "samples": np.concatenate(waves),
        "lengths": np.array([wave.size for wave in waves], dtype=np.int64),
        "begins": np.concatenate([begins for begins, _ in tracks]),
        "numbers": np.concatenate([numbers for _, numbers in tracks]),
        "counts": np.array([begins.size for begins, _ in tracks], dtype=np.int64),
    }


@final
class FileSpeech(Sequence[SpeechClip]):
    """Utterances that are read from their files when they are asked for."""

    def __init__(self, paths: list[Path], *, sample_rate: int) -> None:
        self._paths = paths
        self._sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, idx: int) -> SpeechClip: ...

    @overload
    def __getitem__(self, idx: slice) -> FileSpeech: ...

    def __getitem__(self, idx: int | slice) -> SpeechClip | FileSpeech:
        if isinstance(idx, slice):
            return FileSpeech(self._paths[idx], sample_rate=self._sample_rate)

        from codec_s2st.codecs.audio import read_audio

        return SpeechClip(read_audio(self._paths[idx], sample_rate=self._sample_rate).squeeze(0), None)


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
