"""Rotary positions as products of complex numbers. Legend: N row, H head, K width of a head, S step."""

from __future__ import annotations

import torch
from fairseq2.nn import PositionEncoder, RotaryEncoder
from torch import Tensor

from codec_s2st.models.codec_lm.backbones.positions import HalvesRotaryEncoder


class Rotation:
    """Turns queries and keys. Their elements come out in another order, the same in both, as products allow."""

    def __init__(self, encoder: PositionEncoder) -> None:
        if isinstance(encoder, HalvesRotaryEncoder):
            self._halves = True
        elif isinstance(encoder, RotaryEncoder):
            self._halves = False
        else:
            raise TypeError(f"`encoder` must be a rotary encoder, but is of type `{type(encoder)}` instead.")

        self._encoder = encoder

        self._table = torch.empty((0, encoder.encoding_dim // 2), dtype=torch.complex64, device="cpu")

    def table(self, num_steps: int, device: torch.device) -> Tensor:
        """Returns the turns of the steps from 0 to at least ``num_steps`` - 1. *Shape:* [S, 1, K / 2], complex."""
        encoder = self._encoder

        if self._table.size(0) < num_steps or self._table.device != device:
            if isinstance(encoder, HalvesRotaryEncoder):
                self._table = encoder.turns(num_steps, device)
            else:
                assert isinstance(encoder, RotaryEncoder)

                # The first row is padding's.
                self._table = torch.view_as_complex(encoder.freqs[1:]).to(device)

        return self._table.unsqueeze(1)

    def __call__(self, x: Tensor, turns: Tensor) -> Tensor:
        """
        :param x: *Shape:* [N, H, K].
        :param turns: *Shape:* [N or 1, 1, K / 2].

        :returns: *Shape:* [N, H, K].
        """
        values = x.float()

        if self._halves:
            half = x.size(-1) // 2

            numbers = torch.complex(values[..., :half], values[..., half:])
        else:
            numbers = torch.view_as_complex(values.unflatten(-1, (-1, 2)))

        return torch.view_as_real(numbers * turns).flatten(-2).type_as(x)
