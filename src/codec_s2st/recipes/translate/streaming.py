"""Writes a translation while it is generated, and says how long that took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from codec_s2st.data.files import write_error
from codec_s2st.errors import UserInputError
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
    """Iterates over the samples of a streamed translation; afterwards, ``times`` says how fast they came."""

    def __init__(self, translator: SpeechTranslator, samples: Iterator[Tensor]) -> None:
        """
        :param samples: What :meth:`SpeechTranslator.stream` returned, nothing of it read yet.
        """
        self._sample_rate = translator.codec.spec.sample_rate
        self._samples = samples

        self.times: TranslationTimes | None = None

    def __iter__(self) -> Iterator[Tensor]:
        started_at = time.perf_counter()

        first, num_samples = None, 0

        for samples in self._samples:
            first = time.perf_counter() - started_at if first is None else first

            num_samples += len(samples)

            yield samples

        if first is not None:
            self.times = TranslationTimes(
                first_audio_seconds=first,
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

    :raises UserInputError: as :meth:`SpeechTranslator.stream`; or the file is no wav file, or cannot be written.
    """
    import soundfile

    if path.suffix != ".wav":
        raise UserInputError(f"'{path}' cannot be written while it grows", hint="name a .wav file")

    samples = translator.stream(speech, task=task, source_lang=source_lang, target_lang=target_lang, voice=voice)

    timed = TimedStream(translator, samples)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)

        with soundfile.SoundFile(path, "w", samplerate=translator.codec.spec.sample_rate, channels=1) as file:
            for part in timed:
                file.write(part.cpu().numpy())

                # The header tells the length that there is.
                file.flush()
    except (OSError, soundfile.LibsndfileError) as ex:
        raise write_error(path, ex) from None

    assert timed.times is not None

    return timed.times
