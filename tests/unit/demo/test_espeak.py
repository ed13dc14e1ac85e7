from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from codec_s2st.demo.espeak import (
    HELD_OUT_VOICES,
    LARGE_TARGET_VOICES,
    MANY_VOICES,
    SAMPLE_RATE,
    SOURCE_VOICES,
    TARGET_VOICES,
    Voice,
    synthesise,
    synthesise_timed,
    synthesise_words,
)
from codec_s2st.errors import UserInputError

pytest.importorskip("espeakng_loader")

_ALL_VOICES = SOURCE_VOICES + HELD_OUT_VOICES + TARGET_VOICES + LARGE_TARGET_VOICES


def test_there_are_enough_voices_and_held_out_ones_are_apart() -> None:
    assert len(SOURCE_VOICES) >= 8
    assert len(HELD_OUT_VOICES) >= 2
    assert len(TARGET_VOICES) == 2
    assert len({voice.name for voice in _ALL_VOICES}) == len(_ALL_VOICES)
    assert len({voice.espeak_id for voice in _ALL_VOICES}) == len(_ALL_VOICES)


@pytest.mark.parametrize("voice", _ALL_VOICES, ids=lambda voice: voice.name)
def test_every_voice_speaks_and_repeats_itself(voice: Voice) -> None:
    wave = synthesise("la casa roja", voice, seed=3)

    # Something else in between: no state may leak.
    synthesise("otra cosa muy distinta", voice, speed_wpm=300, pitch=90, seed=8)

    again = synthesise("la casa roja", voice, seed=3)

    assert wave.dtype == np.float32
    assert 0.4 * SAMPLE_RATE < wave.size < 3 * SAMPLE_RATE
    assert np.abs(wave).max() == pytest.approx(0.7, abs=1e-3)
    assert wave.tobytes() == again.tobytes()


def test_many_voices_speak_and_none_is_held_out() -> None:
    held_out = {voice.espeak_id.split("+")[1] for voice in HELD_OUT_VOICES}

    for language, voices in zip(("spa", "eng"), MANY_VOICES, strict=True):
        assert len({voice.name for voice in voices}) == len(voices) > 50

        for voice in voices:
            assert voice.language == language
            assert voice.espeak_id.split("+")[1] not in held_out
            assert np.abs(synthesise("no", voice)).max() == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("voice", [SOURCE_VOICES[0], LARGE_TARGET_VOICES[0]], ids=lambda voice: voice.name)
def test_phonemes_are_told_in_order(voice: Voice) -> None:
    speech = synthesise_timed("no sé", voice)

    assert [p.text.lstrip("',%=")[0] for p in speech.phonemes if not p.text.startswith("_")][:2] == ["n", "o"]

    for one, two in pairwise(speech.phonemes):
        assert one.start < one.end == two.start

    assert speech.phonemes[-1].end == pytest.approx(speech.wave.size / SAMPLE_RATE)

    # What is named is heard: a vowel is louder than the silence after the last word.
    def power(start: float, end: float) -> float:
        return float(np.square(speech.wave[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]).mean())

    vowel = next(p for p in speech.phonemes if p.text.lstrip("',%=").startswith("o"))

    assert power(vowel.start, vowel.end) > 100 * power(speech.phonemes[-1].end - 0.02, speech.phonemes[-1].end)


def test_words_are_told_with_the_speech_that_is_the_same_without_them() -> None:
    wave, words = synthesise_words("he  helps the brothers of the girl?", TARGET_VOICES[0])

    assert wave.tobytes() == synthesise("he helps the brothers of the girl?", TARGET_VOICES[0]).tobytes()

    # Two that are said as one are one.
    assert [word.text for word in words] == ["he", "helps", "the", "brothers", "of the", "girl?"]

    # 40 ms of silence at both ends are no word's.
    assert words[0].start == pytest.approx(0.04, abs=0.02)
    assert words[-1].end == pytest.approx(wave.size / SAMPLE_RATE - 0.04, abs=0.1)

    assert all(0.03 < word.end - word.start < 0.8 for word in words)
    assert all(one.end == two.start for one, two in pairwise(words))


def test_words_are_where_they_are_heard() -> None:
    wave, (first, second) = synthesise_words("casa, mesa", SOURCE_VOICES[0])

    # The pause of the comma, by its loudness in windows of 10 ms.
    loudness = np.abs(wave[: wave.size // 160 * 160]).reshape(-1, 160).max(axis=1)

    quiet = [i for i in np.flatnonzero(loudness < 0.02) if 10 < i < loudness.size - 10]

    assert len(quiet) > 10

    assert (first.text, second.text) == ("casa,", "mesa")

    # To espeak-ng, a pause is of the clause before it.
    assert first.end == second.start == pytest.approx((quiet[-1] + 1) / 100, abs=0.03)


def test_voices_differ() -> None:
    waves = {synthesise("la casa roja", voice).tobytes() for voice in _ALL_VOICES}

    assert len(waves) == len(_ALL_VOICES)


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import sys; from codec_s2st.demo.espeak import *;"
        "sys.stdout.buffer.write(synthesise('la casa roja', SOURCE_VOICES[4], seed=5).tobytes())"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    assert output == synthesise("la casa roja", SOURCE_VOICES[4], seed=5).tobytes()


def test_threads_do_not_disturb_each_other() -> None:
    texts = [f"número {i}" for i in range(40)]

    expected = [synthesise(text, SOURCE_VOICES[0]).tobytes() for text in texts]

    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda text: synthesise(text, SOURCE_VOICES[0]).tobytes(), texts))

    assert actual == expected


def test_little_silence_is_kept_at_the_ends() -> None:
    wave = synthesise("sopa", TARGET_VOICES[0])

    loud = np.flatnonzero(np.abs(wave) > 0.01)

    # 40 ms, more or less: what is loud is told by the level before the peak is set.
    assert loud[0] <= 0.05 * SAMPLE_RATE
    assert wave.size - loud[-1] <= 0.05 * SAMPLE_RATE


def test_speed_and_pitch_matter() -> None:
    voice = SOURCE_VOICES[0]

    slow = synthesise("la casa roja es grande", voice, speed_wpm=120)
    fast = synthesise("la casa roja es grande", voice, speed_wpm=260)

    assert slow.size > 1.4 * fast.size

    low = synthesise("la casa roja es grande", voice, pitch=10)
    high = synthesise("la casa roja es grande", voice, pitch=90)

    assert _fundamental(high) > 1.2 * _fundamental(low)


def _fundamental(wave: np.ndarray) -> float:
    """Returns the median pitch in Hz of voiced frames, by autocorrelation."""
    pitches = []

    for begin in range(0, wave.size - 1024, 512):
        frame = wave[begin : begin + 1024]

        if np.abs(frame).max() < 0.2:
            continue

        correlation = np.correlate(frame, frame, "full")[1023:]

        pitches.append(SAMPLE_RATE / (50 + int(np.argmax(correlation[50:300]))))

    return float(np.median(pitches))


@pytest.mark.parametrize(
    ("text", "voice", "options", "message"),
    [
        ("hola", Voice(name="x", espeak_id="xx-nowhere", language="spa"), {}, "no voice 'xx-nowhere'"),
        ("", SOURCE_VOICES[0], {}, "says nothing"),
        ("hola", SOURCE_VOICES[0], {"speed_wpm": 20}, "speed_wpm is 20"),
        ("hola", SOURCE_VOICES[0], {"pitch": 100}, "pitch is 100"),
    ],
)
def test_bad_input_is_refused(text: str, voice: Voice, options: dict[str, int], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        synthesise(text, voice, **options)


def test_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from codec_s2st.demo import espeak

    monkeypatch.setattr(espeak, "_idle", [])
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)

    with pytest.raises(UserInputError, match=r"codec-s2st\[demo\]"):
        synthesise("hola", SOURCE_VOICES[0])
