"""The signal ends of the embedded codec: log-mel features in, inverse STFT out.

Legend: B batch, N samples, F spectra, M mel bands, K frequency bins, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch.nn.functional import pad
from typing_extensions import override


def frame_wave(wave: Tensor, size: int, hop: int) -> Tensor:
    """Cuts ``wave`` [B, N] into windows [B, N // hop, size] centred on the hops; both ends see silence."""
    margin = (size - hop) // 2

    return pad(wave, (margin, size - hop - margin)).unfold(-1, size, hop)


def mel_filters(num_mels: int, size: int, sample_rate: int) -> Tensor:
    """Returns triangular filters [K, M], equally spaced on the mel scale, each summing to one."""

    def to_mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    mels = torch.linspace(to_mel(0.0), to_mel(sample_rate / 2), num_mels + 2, dtype=torch.float64)

    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)

    bins = torch.linspace(0.0, sample_rate / 2, size // 2 + 1, dtype=torch.float64)

    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])

    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])

    filters = torch.minimum(rising, falling).clamp_min(0.0)

    # A band narrower than a bin may contain no bin at all: it then listens to the nearest one.
    distances = (bins[:, None] - edges[None, 1:-1]).abs()

    is_nearest = torch.arange(bins.size(0))[:, None] == distances.argmin(dim=0)

    filters = torch.where((filters.sum(dim=0) == 0.0) & is_nearest, 1.0, filters)

    return (filters / filters.sum(dim=0)).float()


class LogMel(Module):
    """Turns a waveform into log-mel features of about unit scale."""

    window: Tensor
    filters: Tensor

    def __init__(self, *, size: int, hop: int, num_mels: int, sample_rate: int) -> None:
        super().__init__()

        self.size = size
        self.hop = hop
        self.num_mels = num_mels
        self.sample_rate = sample_rate

        self.register_buffer("window", torch.empty(size), persistent=False)
        self.register_buffer("filters", torch.empty(size // 2 + 1, num_mels), persistent=False)

        self.reset_non_persistent_buffers()

    def reset_parameters(self) -> None:
        # What a run that resumes calls for each module that it takes off the meta device.
        self.reset_non_persistent_buffers()

    def reset_non_persistent_buffers(self) -> None:
        """Computes the window and the filters: they are constants, no checkpoint holds them."""
        self.window.copy_(torch.hann_window(self.size))
        self.filters.copy_(mel_filters(self.num_mels, self.size, self.sample_rate))

    @override
    def forward(self, wave: Tensor) -> Tensor:
        """Maps [B, N] to [B, N // hop, M]; N is a multiple of the hop."""
        frames = frame_wave(wave, self.size, self.hop) * self.window

        power = torch.view_as_real(torch.fft.rfft(frames)).square().sum(-1)

        # 1e-3 is some 90 dB below a loud vowel: what lies below is silence.
        return torch.log(power @ self.filters + 1e-3) * 0.25


class ISTFTHead(Module):
    """Predicts one spectrum a hop (log magnitude and phase) and overlaps their inverse transforms."""

    window: Tensor

    def __init__(self, model_dim: int, *, size: int, hop: int) -> None:
        super().__init__()

        self.size = size
        self.hop = hop

        self.proj = Linear(model_dim, size + 2)

        self.register_buffer("window", torch.empty(size), persistent=False)

        self.reset_non_persistent_buffers()

    def reset_parameters(self) -> None:
        # What a run that resumes calls for each module that it takes off the meta device.
        self.reset_non_persistent_buffers()

    def reset_non_persistent_buffers(self) -> None:
        """Computes the window: it is a constant, no checkpoint holds it."""
        self.window.copy_(torch.hann_window(self.size))

    @override
    def forward(self, seqs: Tensor) -> Tensor:
        """Maps [B, F, D] to a waveform [B, F * hop]."""
        log_magnitude, phase = self.proj(seqs).chunk(2, dim=-1)

        # The clamp keeps one wild prediction from becoming an infinite sample.
        magnitude = log_magnitude.clamp_max(7.0).exp()

        frames = torch.fft.irfft(torch.polar(magnitude, phase), n=self.size) * self.window

        num_frames = frames.size(1)

        wave = self._overlap_add(frames)

        envelope = self._overlap_add((self.window**2).expand(1, num_frames, self.size))

        margin = (self.size - self.hop) // 2

        wave = wave / envelope.clamp_min(1e-3)

        return wave[:, margin : margin + num_frames * self.hop]

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Adds windows [B, F, size] that start a hop apart: [B, (F + size / hop - 1) * hop]."""
        overlap = self.size // self.hop

        parts = frames.unflatten(-1, (overlap, self.hop)).unbind(dim=2)

        # Each window is `overlap` blocks of a hop; block k of all windows is one shifted signal.
        blocks = [pad(part, (0, 0, k, overlap - 1 - k)) for k, part in enumerate(parts)]

        return torch.stack(blocks).sum(dim=0).flatten(1)
