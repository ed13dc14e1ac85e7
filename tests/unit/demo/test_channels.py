from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("espeakng_loader")

from codec_s2st.demo.channels import CHANNELS, through_channel
from codec_s2st.demo.espeak import SAMPLE_RATE, SOURCE_VOICES, synthesise
from codec_s2st.demo.signal import Wave
from codec_s2st.errors import UserInputError


def tone(frequency: float, amplitude: float = 0.5) -> Wave:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)


def decibels(one: Wave, other: Wave) -> float:
    return float(10 * np.log10(np.mean(np.square(one)) / np.mean(np.square(other))))


@pytest.mark.parametrize("channel", CHANNELS)
def test_speech_is_as_long_as_before_and_the_same_each_time(channel: str) -> None:
    wave = synthesise("la casa roja", SOURCE_VOICES[0])

    sent = through_channel(wave, channel, "a")

    assert sent.shape == wave.shape and sent.dtype == np.float32 and np.abs(sent).max() <= 1.0

    assert np.array_equal(sent, through_channel(wave, channel, "a"))
    assert np.array_equal(sent, wave) == (channel == "clean")
    assert np.array_equal(sent, through_channel(wave, channel, "b")) == (channel != "noise")


def test_noise_is_twenty_decibels_below_the_speech() -> None:
    wave = tone(440.0, 0.2)

    assert decibels(wave, through_channel(wave, "noise", "a") - wave) == pytest.approx(20.0, abs=0.2)


@pytest.mark.parametrize(("frequency", "passes"), [(100, False), (200, False), (400, True), (1000, True), (3300, True)])
def test_telephone_has_a_band(frequency: float, passes: bool) -> None:
    wave = tone(frequency)

    loss = decibels(wave, through_channel(wave, "telephone", "a"))

    assert loss == pytest.approx(0.0, abs=0.5) if passes else loss > 30


def test_telephone_quantizes_to_eight_bits() -> None:
    sent = through_channel(tone(1000.0) + tone(1234.5, 0.3), "telephone", "a")

    assert np.unique(sent).size <= 255

    # Each level is a logarithmic one: small samples are told apart more finely.
    levels = np.unique(np.abs(sent))

    assert np.diff(levels)[-1] > 20 * np.diff(levels)[0]


def test_other_channels_are_refused() -> None:
    with pytest.raises(UserInputError, match="channel 'fax'"):
        through_channel(tone(440.0), "fax", "a")
