"""Speech for the demo world: espeak-ng, from the wheel ``espeakng-loader`` (extra ``demo``).

The same arguments give the same bytes, whatever was said before and in whatever process. espeak-ng itself lives in a
small process of its own (see :mod:`codec_s2st.demo._espeak_worker`), which forks for every utterance; we never fork
here, since we may have threads (torch starts some) and a fork with threads can hang. As many workers are started as
threads speak at once, so that a pool of threads is all it takes to use several cores.
"""

from __future__ import annotations

import atexit
import os
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO, Final

import numpy as np

from codec_s2st.data.alignment import TimedSpan
from codec_s2st.demo import _espeak_worker
from codec_s2st.demo.signal import Wave, resample
from codec_s2st.errors import CodecS2STError, UserInputError

SAMPLE_RATE: Final = 16_000

INSTALL_HINT: Final = "pip install 'codec-s2st[demo]'"

_EDGE_SECONDS: Final = 0.04

_PEAK: Final = 0.7


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One speaker of the demo world."""

    name: str
    """The speaker's name in manifests."""

    espeak_id: str
    """The voice of espeak-ng: a language and a variant, for instance ``es+f2``."""

    language: str
    """``spa`` or ``eng``."""

    @property
    def is_female(self) -> bool:
        """Whether the variant is one of those that espeak-ng made for women."""
        return "+f" in self.espeak_id


def _voices(language: str, *espeak_ids: str) -> tuple[Voice, ...]:
    return tuple(
        Voice(name=f"{language}-{id_.replace('+', '-')}", espeak_id=id_, language=language) for id_ in espeak_ids
    )


SOURCE_VOICES: Final = _voices(
    "spa", "es+m1", "es+m3", "es+m7", "es+f1", "es+f2", "es-419+m2", "es-419+m4", "es-419+m6", "es-419+f4", "es-419+f5"
)
"""The Spanish voices of the splits ``train``, ``valid``, ``test`` and ``test-unseen-template``."""

HELD_OUT_VOICES: Final = _voices("spa", "es+m8", "es-419+f3")
"""The Spanish voices of the split ``test-unseen-voice`` alone."""

TARGET_VOICES: Final = _voices("eng", "en-us+f2", "en-us+m3")
"""The English voices; the first is the target of the worlds ``small`` and ``demo``."""

LARGE_TARGET_VOICES: Final = _voices("eng", "en-us+klatt3", "en-us+klatt", "en-us+klatt4", "en-us+m1", "en-us+f1")
"""The targets of the world ``large``: those that the listener understands best; see docs/demo-world.md."""

# Some of the variants that espeak-ng brings; m8 and f3 are held out.
_VARIANTS: Final = (
    "m1 m2 m3 m4 m5 m6 m7 f1 f2 f4 f5 Alicia Andrea Andy Annie Denis Diogo Gene Henrique Jacky Lee Marco Mario Michael "
    "Mike adam anika antonio belinda benjamin boris caleb david ed edward iven john linda marcelo max michel miguel "
    "norbert pablo paul pedro rob robert sandro shelby steph travis victor zac"
).split()

MANY_VOICES: Final = tuple(
    _voices(language, *(f"{accent}+{variant}" for accent in accents for variant in _VARIANTS))
    for language, accents in (("spa", ("es", "es-419")), ("eng", ("en-us",)))
)
"""Many Spanish and many English voices, none of them held out: for what must know voices, not languages."""


@dataclass(frozen=True, kw_only=True)
class TimedSpeech:
    """An utterance, and when what in it is said."""

    wave: Wave
    """[N] at 16 kHz, float32, peak 0.7, with 40 ms of silence kept at both ends."""

    words: tuple[TimedSpan, ...]
    """The words; espeak-ng says some, such as "of the", as one."""

    phonemes: tuple[TimedSpan, ...]
    """The phonemes by espeak-ng's own names, stress marks included; pauses begin with an underscore."""


def synthesise(
    text: str, voice: Voice, *, speed_wpm: int = 200, pitch: int = 50, pitch_range: int = 50, seed: int = 0
) -> Wave:
    """Says ``text``; see :func:`synthesise_timed`, which also tells when.

    :returns: The wave [N].
    """
    return synthesise_timed(text, voice, speed_wpm=speed_wpm, pitch=pitch, pitch_range=pitch_range, seed=seed).wave


def synthesise_words(
    text: str, voice: Voice, *, speed_wpm: int = 200, pitch: int = 50, pitch_range: int = 50, seed: int = 0
) -> tuple[Wave, tuple[TimedSpan, ...]]:
    """Says ``text``; see :func:`synthesise_timed`.

    :returns: The wave, and when its words are said.
    """
    speech = synthesise_timed(text, voice, speed_wpm=speed_wpm, pitch=pitch, pitch_range=pitch_range, seed=seed)

    return speech.wave, speech.words


def synthesise_timed(
    text: str, voice: Voice, *, speed_wpm: int = 200, pitch: int = 50, pitch_range: int = 50, seed: int = 0
) -> TimedSpeech:
    """Says ``text``.

    :param text: One sentence; a trailing ``?`` gives a question's melody.
    :param speed_wpm: The speed in words a minute, 80 to 450.
    :param pitch: The height of the voice, 0 to 99; 50 is the voice's own.
    :param pitch_range: How lively the melody is, 0 to 99.
    :param seed: What espeak-ng's noise sources start from.

    :raises UserInputError: The wheel is missing, the voice does not exist, a value is out of range, or the text has
        nothing to say.
    """
    if not 80 <= speed_wpm <= 450:
        raise UserInputError(f"speed_wpm is {speed_wpm}, but it must be 80 to 450")

    if not (0 <= pitch <= 99 and 0 <= pitch_range <= 99):
        raise UserInputError(f"pitch is {pitch} and pitch_range {pitch_range}, but both must be 0 to 99")

    text = " ".join(text.split()).replace("\0", "")

    request = "\t".join((voice.espeak_id, str(speed_wpm), str(pitch), str(pitch_range), str(seed), text))

    client = _borrow()

    # A client that failed is not given back: its pipes may hold half an answer.
    reply = client.ask(request.encode())

    _give_back(client)

    if reply is None:
        raise UserInputError(f"espeak-ng has no voice '{voice.espeak_id}'")

    wave, trimmed = _trim(
        resample(np.frombuffer(reply.pcm, dtype="<i2").astype(np.float32), client.sample_rate, SAMPLE_RATE)
    )

    if wave.size == 0:
        raise UserInputError(f"espeak-ng says nothing for the text {text!r}")

    seconds = wave.size / SAMPLE_RATE

    return TimedSpeech(
        wave=wave,
        words=_spans(text, reply.events, trimmed, seconds),
        phonemes=_phoneme_spans(reply.phonemes, trimmed, seconds),
    )


def _spans(text: str, events: list[tuple[int, int]], trimmed: float, seconds: float) -> tuple[TimedSpan, ...]:
    """
    :param events: As the worker tells them: where a word begins in the text, or -1, and when, in milliseconds.
    :param trimmed: The seconds that were cut off at the begin of the speech.
    :param seconds: The duration of what is left.
    """
    begins = [begin for begin, _ in events if begin >= 0]

    pieces = iter([text[begin:end].strip() for begin, end in zip_longest(begins, begins[1:])])

    times = [min(max(time / 1000 - trimmed, 0.0), seconds) for _, time in events]

    # A word ends where the next one begins, or with its clause.
    ends = [*times[1:], seconds]

    return tuple(
        TimedSpan(next(pieces), start, end)
        for (begin, _), start, end in zip(events, times, ends, strict=True)
        if begin >= 0
    )


def _phoneme_spans(phonemes: list[tuple[str, int]], trimmed: float, seconds: float) -> tuple[TimedSpan, ...]:
    times = [min(max(time / 1000 - trimmed, 0.0), seconds) for _, time in phonemes]

    ends = [*times[1:], seconds]

    return tuple(
        TimedSpan(name, start, end) for (name, _), start, end in zip(phonemes, times, ends, strict=True) if end > start
    )


@dataclass(frozen=True)
class _Reply:
    """What the worker says of one utterance."""

    pcm: bytes

    events: list[tuple[int, int]]

    phonemes: list[tuple[str, int]]


class _Client:
    """The near end of one worker process."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise UserInputError("the wheel 'espeakng-loader' is not installed", hint=INSTALL_HINT) from None

        command = [
            sys.executable,
            "-I",
            "-S",
            str(Path(_espeak_worker.__file__)),
            str(espeakng_loader.get_library_path()),
            str(espeakng_loader.get_data_path()),
        ]

        self.pid = os.getpid()

        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

        self.sample_rate = self._read_int()

        if self.sample_rate <= 0:
            raise CodecS2STError(f"espeak-ng cannot start: its data is not in {espeakng_loader.get_data_path()}")

    def ask(self, request: bytes) -> _Reply | None:
        """Returns the answer to ``request``, or ``None`` where the voice does not exist."""
        try:
            self._stream(self._process.stdin).write(struct.pack("<i", len(request)) + request)
        except BrokenPipeError:
            raise self._died() from None

        status = self._read_int()

        if status >= 0:
            pcm = self._read(status)

            events = [(self._read_int(), self._read_int()) for _ in range(self._read_int())]

            phonemes = [(self._read_name(), self._read_int()) for _ in range(self._read_int())]

            return _Reply(pcm, events, phonemes)

        if status == _espeak_worker.NO_VOICE:
            return None

        raise CodecS2STError(f"espeak-ng failed on the request {request.decode()!r}")

    def close(self) -> None:
        """Ends the worker, which stops at the end of its input."""
        self._stream(self._process.stdin).close()
        self._stream(self._process.stdout).close()

        self._process.wait(timeout=10)

    def _read_int(self) -> int:
        (value,) = struct.unpack("<i", self._read(4))

        return int(value)

    def _read_name(self) -> str:
        return self._read(8).rstrip(b"\0").decode()

    def _read(self, num_bytes: int) -> bytes:
        stream = self._stream(self._process.stdout)

        chunks: list[bytes] = []

        while num_bytes > 0:
            chunk = stream.read(num_bytes)

            if not chunk:
                raise self._died()

            chunks.append(chunk)
            num_bytes -= len(chunk)

        return b"".join(chunks)

    def _died(self) -> CodecS2STError:
        return CodecS2STError(f"the espeak-ng process ended (exit code {self._process.poll()})")

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None

        return stream


_idle: list[_Client] = []

_lock = threading.Lock()


def _borrow() -> _Client:
    with _lock:
        while _idle:
            client = _idle.pop()

            # A process forked from ours must not use our pipes.
            if client.pid == os.getpid():
                return client

    return _Client()


def _give_back(client: _Client) -> None:
    with _lock:
        _idle.append(client)


@atexit.register
def _close_all() -> None:
    while _idle:
        client = _idle.pop()

        if client.pid == os.getpid():
            client.close()


def _reset_lock() -> None:
    global _lock

    _lock = threading.Lock()


# Another thread may hold the lock while we are forked.
os.register_at_fork(after_in_child=_reset_lock)


def _trim(wave: Wave) -> tuple[Wave, float]:
    """Cuts the silence at both ends to 40 ms and sets the peak.

    :returns: The seconds that were cut off at the begin; below 0 if silence was added.
    """
    level = np.abs(wave)

    peak = float(level.max(initial=0.0))

    if peak == 0.0:
        return wave[:0], 0.0

    loud = np.flatnonzero(level > 0.01 * peak)

    margin = int(_EDGE_SECONDS * SAMPLE_RATE)

    silence = np.zeros(margin, np.float32)

    padded = np.concatenate((silence, wave, silence))

    trimmed = padded[loud[0] : loud[-1] + 2 * margin + 1] * np.float32(_PEAK / peak)

    return trimmed, (int(loud[0]) - margin) / SAMPLE_RATE
