"""The process that holds espeak-ng: a stand-alone script on the standard library alone.

Run by :mod:`codec_s2st.demo.espeak` as ``python -I -S _espeak_worker.py LIBRARY DATA``. espeak-ng keeps state from one
utterance to the next, even through ``espeak_Terminate``, so that an utterance would depend on what was said before it.
The worker therefore loads the library once and forks a child per utterance: each child starts from the same state.
It imports neither numpy nor torch and starts no thread, which makes the fork safe and cheap (under a millisecond).

Protocol, little endian. Start: the worker writes the sample rate as int32 (negative: the library could not start).
Request: int32 length and that many bytes of UTF-8, ``voice \\t speed \\t pitch \\t range \\t seed \\t text``.
Reply: int32 length and that many bytes of 16-bit PCM, then int32 number of events and two int32 for each: where a word
begins in the text (characters, from 0; -1 for the end of a clause), and the time (milliseconds); then int32 number of
phonemes, and for each its name (8 bytes, padded with zeros) and when it begins (int32, milliseconds). A length of -1
says that the voice does not exist, -2 that the child failed; nothing follows then.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Any

_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_PHONEME_EVENTS = 0x0001
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_RATE, _PITCH, _RANGE = 1, 3, 4

NO_VOICE = -1
FAILED = -2

# Of `espeak_EVENT_TYPE` in espeak-ng's speak_lib.h.
_LIST_TERMINATED, _WORD, _END, _PHONEME = 0, 1, 5, 7


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


def _read(num_bytes: int) -> bytes:
    chunks: list[bytes] = []

    while num_bytes > 0:
        chunk = os.read(0, num_bytes)

        if not chunk:
            os._exit(0)

        chunks.append(chunk)
        num_bytes -= len(chunk)

    return b"".join(chunks)


def _write(data: bytes) -> None:
    view = memoryview(data)

    while view:
        view = view[os.write(1, view) :]


def _reply(status: int, pcm: bytes = b"") -> None:
    _write(struct.pack("<i", status) + pcm)


def _speak(library: ctypes.CDLL, request: bytes) -> None:
    """Runs in the child: says one utterance and writes the reply."""
    voice, speed, pitch, pitch_range, seed, text = request.split(b"\t", 5)

    chunks: list[bytes] = []

    told: list[tuple[int, int]] = []

    phonemes: list[tuple[bytes, int]] = []

    # mypy has no type for a pointer to a structure.
    def on_samples(samples: int | None, num_samples: int, events: Any) -> int:
        if samples and num_samples > 0:
            chunks.append(ctypes.string_at(samples, 2 * num_samples))

        i = 0

        while events[i].type != _LIST_TERMINATED:
            if events[i].type in (_WORD, _END):
                # Characters are counted from 1.
                position = events[i].text_position - 1 if events[i].type == _WORD else -1

                told.append((position, events[i].audio_position))
            elif events[i].type == _PHONEME:
                phonemes.append((events[i].id, events[i].audio_position))

            i += 1

        return 0

    callback = _Callback(on_samples)

    library.espeak_SetSynthCallback(callback)

    if library.espeak_SetVoiceByName(voice) != 0:
        _reply(NO_VOICE)

        return

    library.espeak_ng_SetRandSeed(ctypes.c_long(int(seed)))

    for parameter, value in ((_RATE, speed), (_PITCH, pitch), (_RANGE, pitch_range)):
        library.espeak_SetParameter(parameter, int(value), 0)

    if library.espeak_Synth(text, len(text) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None) != 0:
        _reply(FAILED)

        return

    library.espeak_Synchronize()

    pcm = b"".join(chunks)

    numbers = [number for event in told for number in event]

    reply = pcm + struct.pack(f"<{1 + len(numbers)}i", len(told), *numbers) + struct.pack("<i", len(phonemes))

    _reply(len(pcm), reply + b"".join(struct.pack("<8si", name, time) for name, time in phonemes))


def main(library_path: str, data_path: str) -> None:
    library = ctypes.CDLL(os.path.abspath(library_path))

    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]

    # espeak-ng cuts a long path short without a word: give it a relative one.
    os.chdir(os.path.dirname(os.path.abspath(data_path)))

    sample_rate = library.espeak_Initialize(
        _OUTPUT_SYNCHRONOUS, 0, b".", _INITIALIZE_DONT_EXIT | _INITIALIZE_PHONEME_EVENTS
    )

    _write(struct.pack("<i", sample_rate))

    while True:
        (length,) = struct.unpack("<i", _read(4))

        request = _read(length)

        pid = os.fork()

        if pid == 0:
            try:
                _speak(library, request)
            except BaseException:
                os._exit(1)

            os._exit(0)

        if os.waitpid(pid, 0)[1] != 0:
            _reply(FAILED)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
