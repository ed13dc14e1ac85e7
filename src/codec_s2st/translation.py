"""What is translated, what comes out, and what is there in between. Legend: N sample, C channel, T frame, Q stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from torch import Tensor

from codec_s2st.codecs.audio import SAMPLE_RATES
from codec_s2st.data.slots import Slot, WholeSlot
from codec_s2st.errors import UserInputError
from codec_s2st.generation.options import GeneratedSegment
from codec_s2st.tokens.sequence import Modality, Segment

MAX_CHANNELS: Final = 64
"""More than that, and more than samples, are samples that were taken for channels."""

_LARGEST: Final = 1e30
"""Sums of samples must stay finite."""


@dataclass(frozen=True)
class SpeechInput:
    """What is to be translated."""

    wave: Tensor
    """Samples in [-1, 1]. *Shape:* [N], or [C, N] with channels that are mixed down."""

    sample_rate: int


@dataclass(frozen=True)
class TextInput:
    """What is to be spoken, or translated, by tasks that start from text."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What came out."""

    waveform: Tensor | None
    """Speech, for tasks that end in speech. *Shape:* [N], float32."""

    sample_rate: int

    codes: Tensor | None
    """The codes behind ``waveform``. *Shape:* [T, Q]."""

    text: str | None
    """Text, for tasks that end in text."""

    steps: tuple[str, ...] = ()
    """The texts on the way, in order, of a task that is a chain."""

    finished: bool
    """``False`` if the output was cut at its largest length."""

    @property
    def seconds(self) -> float:
        return 0.0 if self.waveform is None else self.waveform.numel() / self.sample_rate


@dataclass
class Draft:
    """A translation that is being made."""

    num_frames: int
    """Of the recording, or of what the text is taken for."""

    segments: list[Segment]
    """What is there so far: condition, given segments, and steps."""

    outputs: list[GeneratedSegment] = field(default_factory=list)


def modality_of(slot: Slot) -> Modality:
    """Returns the modality of a segment that is whole; the others are refused before."""
    assert isinstance(slot, WholeSlot)

    return slot.modality


def check_samples(speech: SpeechInput, name: str) -> None:
    """
    :param name: What the error calls the speech.

    :raises UserInputError: there are no samples, or some are not finite, or the sample rate is none.
    """
    wave = speech.wave

    if not isinstance(wave, Tensor):
        raise UserInputError(f"{name} must be a tensor, but is of type {type(wave).__name__}", hint="torch.from_numpy")

    if wave.dim() not in (1, 2) or wave.numel() == 0:
        raise UserInputError(f"{name} must be of shape [N] or [C, N] with samples, but is {list(wave.shape)}")

    if wave.dim() == 2 and wave.size(0) > max(MAX_CHANNELS, wave.size(1)):
        raise UserInputError(
            f"{name} must be of shape [C, N], but is {list(wave.shape)}: {wave.size(0)} channels",
            hint="transpose what soundfile returns: wave.T",
        )

    # Not-a-number is not below it either.
    if not bool((wave.float().abs() < _LARGEST).all()):
        raise UserInputError(f"{name} holds samples that are not finite, or above {_LARGEST:g}")

    if speech.sample_rate not in SAMPLE_RATES:
        known = f"{SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz"

        raise UserInputError(f"the sample rate of {name} is {speech.sample_rate}, but must be {known}")
