"""Speech for training the embedded codec: random crops for training, whole utterances for validation.

Legend: B batch, N samples, T codec frame, P phonemes a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from fairseq2.datasets import DataReader
from fairseq2.device import Device, SupportsDeviceTransfer
from torch import Tensor
from torch.nn.functional import pad
from typing_extensions import Self, override

from codec_s2st.recipes.codec.speech import SpeechClip

_MAX_CUT: Final = 6.0

_MAX_BOOST: Final = 2.0


@dataclass
class SpeechBatch(SupportsDeviceTransfer):
    wave: Tensor
    """[B, N], float32 in [-1, 1]; N is a multiple of the codec's hop."""

    phonemes: Tensor | None = None
    """What is said at evenly spaced times. [B, P * T], int64."""

    @override
    def to(self, device: Device, *, non_blocking: bool = False) -> None:
        self.wave = self.wave.to(device, non_blocking=non_blocking)

        if self.phonemes is not None:
            self.phonemes = self.phonemes.to(device, non_blocking=non_blocking)


@dataclass(frozen=True, kw_only=True)
class PhonemeGrid:
    """At which samples the phonemes of a clip are asked for."""

    hop_length: int

    per_frame: int

    def samples(self, num_samples: int) -> Tensor:
        """Returns P evenly spaced samples of each frame. *Shape:* [P * T], float32."""
        num_phonemes = num_samples // self.hop_length * self.per_frame

        return (torch.arange(num_phonemes) + 0.5) * (self.hop_length / self.per_frame)


@final
class CropReader(DataReader[SpeechBatch]):
    """Reads batches of random crops without end; batch k of a rank depends on seed, rank and k alone."""

    def __init__(
        self,
        speech: Sequence[SpeechClip],
        *,
        batch_size: int,
        crop_size: int,
        silence_size: int,
        seed: int,
        rank: int,
        grid: PhonemeGrid | None = None,
    ) -> None:
        """
        :param crop_size: Samples of a crop.
        :param silence_size: Samples of silence put before and after every waveform.
        :param grid: If given, batches say which phonemes are heard.
        """
        if len(speech) == 0:
            raise ValueError("`speech` must hold at least one utterance, but is empty instead.")

        self._speech = speech
        self._batch_size = batch_size
        self._crop_size = crop_size
        self._silence_size = silence_size
        self._seed = seed
        self._rank = rank
        self._grid = grid
        self._batch_idx = 0

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[SpeechBatch]:
        batch = self.batch(self._batch_idx)

        self._batch_idx += 1

        return [batch]

    def batch(self, idx: int) -> SpeechBatch:
        """Returns batch ``idx``, wherever the reader stands."""
        # Odd multipliers keep the generators of neighbouring batches, ranks and seeds apart.
        seed = (idx * 0x9E3779B97F4A7C15 + self._rank * 0xBF58476D1CE4E5B9 + self._seed * 0x94D049BB133111EB) % 2**63

        generator = torch.Generator().manual_seed(seed)

        crops = [self._crop(generator) for _ in range(self._batch_size)]

        waves = torch.stack([wave for wave, _ in crops])

        if self._grid is None:
            return SpeechBatch(waves)

        return SpeechBatch(waves, torch.stack([phonemes for _, phonemes in crops if phonemes is not None]))

    def _crop(self, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        def draw(limit: int) -> int:
            return int(torch.randint(limit, (), generator=generator))

        clip = self._speech[draw(len(self._speech))]

        wave = pad(clip.wave, (self._silence_size, self._silence_size))

        wave = pad(wave, (0, max(0, self._crop_size - wave.size(0))))

        start = draw(wave.size(0) - self._crop_size + 1)

        crop = wave[start : start + self._crop_size]

        phonemes = None

        if self._grid is not None:
            assert clip.phonemes is not None

            phonemes = clip.phonemes.at(self._grid.samples(self._crop_size) + (start - self._silence_size))

        # Half the crops keep their level; the others teach the codec that recordings differ.
        if draw(2) == 0:
            return crop, phonemes

        decibels = torch.empty(()).uniform_(-_MAX_CUT, _MAX_BOOST, generator=generator).item()

        return crop * math.pow(10.0, decibels / 20.0), phonemes

    @override
    def reset(self) -> None:
        self._batch_idx = 0

    @override
    def state_dict(self) -> dict[str, object]:
        return {"batch_idx": self._batch_idx}

    @override
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        self._batch_idx = int(state_dict["batch_idx"])  # type: ignore[call-overload]

    @property
    @override
    def num_accumulate(self) -> int:
        return 1


@final
class ClipReader(DataReader[SpeechBatch]):
    """Reads whole utterances one by one; every rank reads all, which is cheaper than to keep ranks in step."""

    def __init__(self, speech: Sequence[SpeechClip], *, hop_length: int, grid: PhonemeGrid | None = None) -> None:
        self._speech = speech
        self._hop_length = hop_length
        self._grid = grid
        self._clip_idx = 0

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[SpeechBatch]:
        if self._clip_idx == len(self._speech):
            raise StopIteration

        clip = self._speech[self._clip_idx]

        self._clip_idx += 1

        wave = pad(clip.wave, (0, -clip.wave.size(0) % self._hop_length))

        phonemes = None

        if self._grid is not None:
            assert clip.phonemes is not None

            phonemes = clip.phonemes.at(self._grid.samples(wave.size(0)))[None]

        return [SpeechBatch(wave[None], phonemes)]

    @override
    def reset(self) -> None:
        self._clip_idx = 0

    @override
    def state_dict(self) -> dict[str, object]:
        return {"clip_idx": self._clip_idx}

    @override
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        self._clip_idx = int(state_dict["clip_idx"])  # type: ignore[call-overload]

    @property
    @override
    def num_accumulate(self) -> int:
        return 1
