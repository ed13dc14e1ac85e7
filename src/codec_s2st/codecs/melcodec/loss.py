"""The reconstruction loss of the embedded codec: log spectra at several resolutions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module
from typing_extensions import override

from codec_s2st.codecs.melcodec.spectrum import frame_wave, mel_filters


class SpectralLoss(Module):
    """L1 distance of log-mel and of log-magnitude spectra, averaged over windows of several lengths.

    Long windows see the harmonics, short ones the onsets; phase is free, but overlapping windows make the phases of
    neighbouring frames agree.
    """

    sizes: tuple[int, ...]

    def __init__(self, *, sample_rate: int, sizes: tuple[int, ...] = (256, 512, 1024, 2048)) -> None:
        super().__init__()

        self.sizes = sizes

        for size in sizes:
            # A band should hold several bins.
            num_mels = min(80, size // 12)

            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            self.register_buffer(f"filters_{size}", mel_filters(num_mels, size, sample_rate), persistent=False)

    @override
    def forward(self, wave: Tensor, reference: Tensor) -> Tensor:
        """Compares waveforms [B, N]; returns a scalar."""
        both = torch.cat((wave, reference))

        loss = wave.new_zeros(())

        for size in self.sizes:
            frames = frame_wave(both, size, size // 4) * self.get_buffer(f"window_{size}")

            power = torch.view_as_real(torch.fft.rfft(frames)).square().sum(-1) / size

            mels = power @ self.get_buffer(f"filters_{size}")

            loss = loss + _log_distance(mels) + 0.5 * _log_distance(power)

        return loss / len(self.sizes)


def _log_distance(power: Tensor) -> Tensor:
    log_power = torch.log10(power + 1e-5)

    a, b = log_power.chunk(2)

    return (a - b).abs().mean()
