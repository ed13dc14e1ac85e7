"""What happens to speech on its way to the model: nothing, noise, or a telephone line."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

from codec_s2st.demo.espeak import SAMPLE_RATE
from codec_s2st.demo.signal import Wave
from codec_s2st.errors import unknown_name

CHANNELS: Final = ("clean", "noise", "telephone")

SNR_DB: Final = 20.0
"""The power of the speech over that of the noise, in decibels."""

_TELEPHONE_BAND: Final = (300.0, 3400.0)

# Of the band's edges, in Hz.
_EDGE_WIDTH: Final = 100.0

_MU: Final = 255.0


def through_channel(wave: Wave, channel: str, name: str) -> Wave:
    """Returns what is left of ``wave`` [N] at 16 kHz, as long as before.

    ``noise`` adds white noise, 20 dB below the mean power of the whole wave. ``telephone`` leaves 300 to 3,400 Hz and
    quantizes as ITU-T G.711 does in its mu-law form (companded by its formula, not by its table of segments).

    :param channel: One of :data:`CHANNELS`.
    :param name: Seeds the noise, so that each recording has its own.

    :raises UserInputError: ``channel`` is unknown.
    """
    if channel not in CHANNELS:
        raise unknown_name("channel", channel, CHANNELS)

    if channel == "noise":
        return _limited(wave + _noise(wave, name))

    return _companded(_in_band(wave)) if channel == "telephone" else wave


def _noise(wave: Wave, name: str) -> Wave:
    deviation = np.sqrt(np.mean(np.square(wave, dtype=np.float64)) * 10 ** (-SNR_DB / 10))

    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(wave.size)

    scaled: Wave = (deviation * noise).astype(np.float32)

    return scaled


def _in_band(wave: Wave) -> Wave:
    low, high = _TELEPHONE_BAND

    # One block more: what the transform wraps around falls into silence.
    size = 2 * wave.size

    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)

    inside = np.minimum(frequencies - low, high - frequencies)

    gains = np.square(np.sin(np.clip(inside / _EDGE_WIDTH + 0.5, 0.0, 1.0) * np.pi / 2))

    return np.fft.irfft(np.fft.rfft(wave, size) * gains, size)[: wave.size].astype(np.float32)


def _companded(wave: Wave) -> Wave:
    wave = _limited(wave)

    levels = np.sign(wave) * np.log1p(_MU * np.abs(wave)) / np.log1p(_MU)

    levels = np.round(levels * 127) / 127

    restored = np.sign(levels) * np.expm1(np.abs(levels) * np.log1p(_MU)) / _MU

    return np.asarray(restored, np.float32)


def _limited(wave: Wave) -> Wave:
    limited: Wave = np.clip(wave, -1.0, 1.0)

    return limited
