"""Writes a translation while it is generated, and says how long that took."""

from __future__ import annotations

import os
import time
import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from codec_s2st.data.files import write_error
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.translator import SpeechInput, SpeechTranslator


@dataclass(frozen=True, kw_only=True)
class TranslationTimes:
    """How fast a streamed translation came, from the recording on."""

    first_audio_seconds: float
    """Until the first samples were there."""

    total_seconds: float

    seconds_out: float
    """How long what came out lasts."""

    @property
    def real_time_factor(self) -> float:
        """The seconds that a second of output took."""
        return self.total_seconds / self.seconds_out


class TimedStream:
    """Iterates over the samples of a streamed translation, on the host; ``times`` then says how fast they came."""

    def __init__(self, translator: SpeechTranslator, samples: Iterator[Tensor]) -> None:
        """
        :param samples: What :meth:`SpeechTranslator.stream` returned, nothing of it read yet.
        """
        self._sample_rate = translator.codec.spec.sample_rate
        self._samples = samples

        self.first_audio_seconds: float | None = None
        """Known as soon as the first samples are."""

        self.times: TranslationTimes | None = None

    def __iter__(self) -> Iterator[Tensor]:
        started_at = time.perf_counter()

        num_samples = 0

        for samples in self._samples:
            # A GPU works on while the clock is read.
            samples = samples.cpu()

            if self.first_audio_seconds is None:
                self.first_audio_seconds = time.perf_counter() - started_at

            num_samples += len(samples)

            yield samples

        if self.first_audio_seconds is not None:
            self.times = TranslationTimes(
                first_audio_seconds=self.first_audio_seconds,
                total_seconds=time.perf_counter() - started_at,
                seconds_out=num_samples / self._sample_rate,
            )


def stream_to_file(
    translator: SpeechTranslator,
    speech: SpeechInput,
    path: Path,
    *,
    task: str | None = None,
    source_lang: str | None = None,
    target_lang: str | None = None,
    voice: SpeechInput | None = None,
) -> TranslationTimes:
    """Translates a recording to a wav file that grows while it is translated; players may follow it.

    Until it is complete it is called as :func:`growing_path` says, so that ``path`` never holds half a translation.

    :raises UserInputError: as :meth:`SpeechTranslator.stream`; or the file is no wav file, or cannot be written.
    :raises CodecS2STError: nothing is said, or the disk is full.
    """
    if path.suffix != ".wav":
        raise UserInputError(f"'{path}' cannot be written while it grows", hint="name a .wav file")

    samples = translator.stream(speech, task=task, source_lang=source_lang, target_lang=target_lang, voice=voice)

    timed = TimedStream(translator, samples)

    growing = growing_path(path)

    try:
        # Somebody else's file is left alone.
        with growing.open("xb") as fp:
            try:
                _write(fp, timed, translator.codec.spec.sample_rate)

                if timed.times is not None:
                    os.replace(growing, path)
            finally:
                growing.unlink(missing_ok=True)
    except FileExistsError:
        raise UserInputError(
            f"'{growing}' exists, as which '{path}' would grow", hint="remove it, if nothing else is writing it"
        ) from None
    except OSError as ex:
        raise write_error(path, ex) from None

    if timed.times is None:
        raise CodecS2STError(f"the model has said nothing, and '{path}' is not written", hint="try another recording")

    return timed.times


def growing_path(path: Path) -> Path:
    """Returns what a wav file is called while it grows."""
    return path.with_name(f"{path.stem}.part.wav")


def _write(fp: BinaryIO, parts: Iterable[Tensor], sample_rate: int) -> None:
    # Not by libsndfile, which does not say what is wrong with the disk.
    with wave.open(fp, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)

        for part in parts:
            file.writeframes((part * 32767).round().short().numpy().astype("<i2").tobytes())

            # The header tells the length that there is.
            fp.flush()
