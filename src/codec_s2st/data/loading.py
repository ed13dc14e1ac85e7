"""Loads the recordings of a manifest as its settings say, whole or in blocks. Legend: N samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from codec_s2st.codecs.audio import AudioTooLongError, read_audio, stream_audio
from codec_s2st.data.loudness import SILENCE_LUFS, LoudnessMeter
from codec_s2st.data.trimming import SilenceMeter
from codec_s2st.errors import UserInputError

WHOLE_SECONDS: Final = 60.0
"""Longer recordings are read and encoded in pieces of this length, where the codec can do that."""


@dataclass(frozen=True, kw_only=True)
class AudioSettings:
    """What becomes of a recording before it is encoded; the codes depend on all of it."""

    max_seconds: float
    """Longer recordings are refused."""

    trim_db: float | None = None
    """What is that many decibels below the loudest 20 ms is silence, and cut off both ends."""

    trim_margin: float = 0.1
    """How many seconds of that silence are kept at either end."""

    loudness: float | None = None
    """The loudness that recordings are scaled to, in LUFS; as they come if ``None``."""

    @property
    def provenance(self) -> dict[str, object]:
        """What shards say of it; what is off is absent, so that shards stay valid when a setting is added."""
        found: dict[str, object] = {"max_seconds": float(self.max_seconds)}

        if self.trim_db is not None:
            found |= {"trim_db": float(self.trim_db), "trim_margin": float(self.trim_margin)}

        if self.loudness is not None:
            found["loudness"] = float(self.loudness)

        return found


@dataclass(frozen=True, slots=True)
class LoadedAudio:
    """A recording, ready to be encoded."""

    wave: Tensor | None
    """*Shape:* [1, N], float32; ``None`` for one that is long."""

    blocks: Callable[[], Iterator[Tensor]] | None
    """Reads one that is long, in blocks. *Shape:* [1, n], float32."""

    trimmed: tuple[float, float] | None
    """The seconds that were cut off begin and end."""


def load_audio(path: Path, settings: AudioSettings, *, sample_rate: int, whole_seconds: float) -> LoadedAudio:
    """Loads a recording; of one that is longer than ``whole_seconds``, nothing stays in memory.

    :param sample_rate: The codec's.
    :raises UserInputError: it cannot be read, is longer than the settings allow, or is silence where these need sound.
    """
    needs_edit = settings.trim_db is not None or settings.loudness is not None

    try:
        wave = read_audio(path, sample_rate=sample_rate, max_seconds=min(whole_seconds, settings.max_seconds))
    except AudioTooLongError:
        if settings.max_seconds <= whole_seconds:
            raise
    else:
        if not needs_edit:
            return LoadedAudio(wave, None, None)

        edit = _measure(path, [wave], settings, sample_rate)

        return LoadedAudio(next(edit.apply([wave])), None, edit.trimmed)

    def read() -> Iterator[Tensor]:
        return stream_audio(path, sample_rate=sample_rate, max_seconds=settings.max_seconds)

    if not needs_edit:
        return LoadedAudio(None, read, None)

    edit = _measure(path, read(), settings, sample_rate)

    return LoadedAudio(None, lambda: edit.apply(read()), edit.trimmed)


@dataclass(frozen=True, slots=True)
class _Edit:
    """What is done to the samples of a recording."""

    begin: int

    end: int

    gain: float

    trimmed: tuple[float, float] | None

    def apply(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        place = 0

        for block in blocks:
            first, place = place, place + block.size(-1)

            if place > self.begin and first < self.end:
                kept = block[:, max(0, self.begin - first) : self.end - first]

                yield kept if self.gain == 1.0 else kept * self.gain


def _measure(path: Path, blocks: Iterable[Tensor], settings: AudioSettings, sample_rate: int) -> _Edit:
    silence: SilenceMeter | None = None

    if settings.trim_db is not None:
        silence = SilenceMeter(sample_rate, trim_db=settings.trim_db, margin=settings.trim_margin)

    level = None if settings.loudness is None else LoudnessMeter(sample_rate)

    num_samples = 0

    for block in blocks:
        num_samples += block.size(-1)

        if silence is not None:
            silence.add(block)

        if level is not None:
            level.add(block)

    begin, end, trimmed = 0, num_samples, None

    if silence is not None:
        if (speech := silence.speech()) is None:
            raise UserInputError(f"audio file '{path}' holds nothing but silence")

        begin, end = speech

        trimmed = begin / sample_rate, (num_samples - end) / sample_rate

    gain = 1.0

    if level is not None and settings.loudness is not None:
        if (found := level.loudness()) is None:
            raise UserInputError(f"audio file '{path}' holds nothing louder than {SILENCE_LUFS:g} LUFS")

        # What would be clipped stays softer instead.
        gain = min(10.0 ** ((settings.loudness - found) / 20.0), 1.0 / level.peak)

    return _Edit(begin, end, gain, trimmed)
