"""How near a wave is to another. Legend: N sample, F spectrum, M mel band.

STOI and PESQ are of packages that need not be there: what cannot be measured says why.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from codec_s2st.codecs.audio import resample


@dataclass(frozen=True)
class Measurement:
    """A value, or why there is none."""

    value: float | None

    not_measured: str | None = None


PESQ_RATE: Final = 16_000
"""The sample rate of wide-band PESQ."""

_MEL_SECONDS: Final = 0.064
_NUM_MELS: Final = 80
_MEL_FLOOR: Final = 1e-5


def si_sdr(reference: Tensor, estimate: Tensor, sample_rate: int) -> Measurement:
    """Returns the scale-invariant signal-to-distortion ratio in dB, of waves without their means.

    :param reference: *Shape:* [N].
    :param estimate: *Shape:* [N].
    """
    reference, estimate = (wave.double() - wave.double().mean() for wave in (reference, estimate))

    energy = float(reference.square().sum())

    if energy == 0.0:
        return Measurement(None, "the recording is silent")

    # What of the estimate lies along the reference, whatever its scale.
    target = float((reference * estimate).sum()) / energy * reference

    signal, noise = float(target.square().sum()), float((estimate - target).square().sum())

    if signal == 0.0:
        return Measurement(None, "the output has nothing of the recording")

    if noise == 0.0:
        return Measurement(None, "the output is the recording itself")

    return Measurement(10.0 * math.log10(signal / noise))


def mel_distance(reference: Tensor, estimate: Tensor, sample_rate: int) -> Measurement:
    """Returns the mean absolute difference of the base-10 logarithms of the mel magnitude spectra.

    80 bands up to half the sample rate, windows of 64 ms every 16 ms, magnitudes of at least 1e-5; 0.05 is 1 dB.

    :param reference: *Shape:* [N].
    :param estimate: *Shape:* [N].
    """
    from torchaudio.transforms import MelSpectrogram

    window = max(16, round(_MEL_SECONDS * sample_rate))

    to_mel = MelSpectrogram(
        sample_rate,
        n_fft=window,
        hop_length=window // 4,
        # At low rates there are not enough bins for more bands.
        n_mels=min(_NUM_MELS, window // 8),
        power=1.0,
        mel_scale="slaney",
        pad_mode="constant",
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        # (2, M, F)
        spectra = to_mel(torch.stack([reference, estimate])).clamp(min=_MEL_FLOOR).log10()

    return Measurement(float((spectra[0] - spectra[1]).abs().mean()))


def stoi(reference: Tensor, estimate: Tensor, sample_rate: int) -> Measurement:
    """Returns the short-time objective intelligibility of ``pystoi``, mostly from 0 to 1.

    :param reference: *Shape:* [N].
    :param estimate: *Shape:* [N].
    """
    try:
        from pystoi import stoi as compute
    except ImportError:
        return Measurement(None, "not installed: pip install pystoi")

    try:
        with warnings.catch_warnings():
            # It warns, and returns 1e-5, where there is less than half a second of speech.
            warnings.simplefilter("error", RuntimeWarning)

            return Measurement(float(compute(reference.numpy(), estimate.numpy(), sample_rate)))
    except (RuntimeWarning, ValueError) as ex:
        return Measurement(None, f"pystoi: {_first_line(ex)}")


def pesq(reference: Tensor, estimate: Tensor, sample_rate: int) -> Measurement:
    """Returns the wide-band perceptual evaluation of speech quality of ``pesq``, an opinion score from 1.04 to 4.64.

    :param reference: *Shape:* [N].
    :param estimate: *Shape:* [N].
    """
    try:
        from pesq import PesqError
        from pesq import pesq as compute
    except ImportError:
        return Measurement(None, "not installed: pip install pesq (it is built by a C compiler)")

    waves = [resample(wave, sample_rate, PESQ_RATE).numpy() for wave in (reference, estimate)]

    try:
        return Measurement(float(compute(PESQ_RATE, *waves, "wb")))
    except (PesqError, ValueError) as ex:
        return Measurement(None, f"pesq: {_first_line(ex)}")


def _first_line(ex: Exception) -> str:
    message = ex.args[0] if ex.args else type(ex).__name__

    if isinstance(message, bytes):
        message = message.decode(errors="replace")

    return str(message).strip().partition("\n")[0].rstrip(".")


@dataclass(frozen=True)
class SignalMetric:
    name: str

    label: str
    """For people, with the unit."""

    compute: Callable[[Tensor, Tensor, int], Measurement]
    """Maps a recording [N], its copy [N] and their sample rate to the value."""


SIGNAL_METRICS: Final = (
    SignalMetric("stoi", "STOI", stoi),
    SignalMetric("pesq", "PESQ, wide band", pesq),
    SignalMetric("si_sdr", "SI-SDR, dB", si_sdr),
    SignalMetric("mel_distance", "mel distance, log10", mel_distance),
)
