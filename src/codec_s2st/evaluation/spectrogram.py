"""Speech as a picture. Legend: F frequency bin, N sample, T frame."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import torch
from torch import Tensor

_WINDOW_SECONDS: Final = 0.025

_HOP_SECONDS: Final = 0.010

_FLOOR_DB: Final = -80.0
"""Below the loudest point, what is there is not seen."""


def log_spectrogram(wave: Tensor, sample_rate: int) -> Tensor:
    """Returns how loud each frequency is, in dB below the loudest point: 25 ms windows (Hann), 10 ms apart.

    :param wave: *Shape:* [N], float.

    :returns: From -80 to 0; of silence, -80. *Shape:* [F, T], from low to high frequencies.
    """
    window = round(_WINDOW_SECONDS * sample_rate)

    # At least one frame, of nothing.
    wave = torch.nn.functional.pad(wave.float(), (0, max(0, window - wave.numel())))

    power = (
        torch.stft(
            wave,
            n_fft=window,
            hop_length=round(_HOP_SECONDS * sample_rate),
            window=torch.hann_window(window),
            center=False,
            return_complex=True,
        )
        .abs()
        .square()
    )

    loudest = power.max()

    if not loudest > 0:
        return torch.full_like(power, _FLOOR_DB)

    return (10.0 * torch.log10(power / loudest)).clamp(min=_FLOOR_DB)


def spectrogram_png(wave: Tensor, sample_rate: int) -> bytes:
    """Returns a picture of ``wave`` [N], one pixel a frame and a frequency bin, low frequencies below."""
    from matplotlib.image import imsave

    content = BytesIO()

    imsave(
        content,
        log_spectrogram(wave, sample_rate).flip(0).numpy(),
        cmap="magma",
        vmin=_FLOOR_DB,
        vmax=0.0,
        format="png",
    )

    return content.getvalue()
