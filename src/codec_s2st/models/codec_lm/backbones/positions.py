"""Rotary positions, whose tables are filled as far as they are needed.

Legend: N sequence, S step, H head, E its width.
"""

from __future__ import annotations

from typing import Final

import torch
from fairseq2.nn import BatchLayout, IncrementalStateBag, PositionEncoder
from fairseq2.ops import unsqueeze
from torch import Tensor
from torch.nn import Module
from typing_extensions import override

_MIN_STEPS: Final = 1024


class HalvesRotaryEncoder(PositionEncoder):
    """Turns the two halves of a head against each other (arXiv 2104.09864, in Hugging Face's order).

    It computes what fairseq2's ``ReferenceRotaryEncoder`` computes. But that one fills its tables when a model is
    loaded, for as many steps as the model could be asked for: 17 MB for 32,768 steps, which most never see.
    """

    def __init__(self, encoding_dim: int, max_seq_len: int, *, theta: float) -> None:
        """
        :param encoding_dim: E, an even number.
        :param theta: The base of the wavelengths.
        """
        super().__init__(encoding_dim)

        self.max_seq_len = max_seq_len

        self.theta = theta

        # These are no buffers, which would be moved, broadcast and allocated as a whole.
        self._num_steps = 0

        self._cos, self._sin = torch.empty(0, device="cpu"), torch.empty(0, device="cpu")

    @torch.compiler.disable
    def prepare(self, num_steps: int, device: torch.device) -> None:
        """Fills the tables for steps 0..``num_steps`` - 1, at least."""
        if num_steps <= self._num_steps and device == self._cos.device:
            return

        # By doubling, as a generation asks for one step more each time.
        num_steps = min(max(2 * self._num_steps, num_steps, _MIN_STEPS), self.max_seq_len)

        # Training may come after inference.
        with torch.inference_mode(False), torch.no_grad():
            idx = torch.arange(self.encoding_dim // 2, device=device, dtype=torch.float32)

            steps = torch.arange(num_steps, device=device, dtype=torch.float32)

            angles = steps[:, None] * self.theta ** (-2.0 * idx / self.encoding_dim)

            self._cos, self._sin = _with_padding(angles.cos()), _with_padding(angles.sin())

        self._num_steps = num_steps

    def turns(self, num_steps: int, device: torch.device) -> Tensor:
        """Returns the tables for steps 0..``num_steps`` - 1, at least, as complex numbers. *Shape:* [S, E / 2]."""
        self.prepare(num_steps, device)

        half = self.encoding_dim // 2

        # The first row is padding's.
        return torch.complex(self._cos[1:, :half], self._sin[1:, :half])

    @override
    def forward(
        self, seqs: Tensor, seqs_layout: BatchLayout, *, state_bag: IncrementalStateBag | None = None
    ) -> Tensor:
        """
        :param seqs: *Shape:* [N, S, H, E], or [S, H, E] if packed.
        """
        start = 0 if self.training or state_bag is None else state_bag.step_nr

        end = start + seqs_layout.max_seq_len

        if end > self.max_seq_len:
            raise ValueError(f"The model knows positions of {self.max_seq_len} steps, but was given {end}.")

        if end > self._num_steps or seqs.device != self._cos.device:
            self.prepare(end, seqs.device)

        # The first row is padding's.
        if seqs_layout.packed or seqs_layout.padded:
            rows = start + 1 + seqs_layout.position_indices

            cos, sin = self._cos[rows], self._sin[rows]
        else:
            cos, sin = self._cos[None, start + 1 : end + 1], self._sin[None, start + 1 : end + 1]

        if count := seqs.ndim - cos.ndim:
            cos, sin = unsqueeze(cos, dim=-2, count=count), unsqueeze(sin, dim=-2, count=count)

        values = seqs.float()

        first, second = values[..., : self.encoding_dim // 2], values[..., self.encoding_dim // 2 :]

        turned = torch.cat((-second, first), dim=-1)

        return (values * cos + turned * sin).type_as(seqs)

    @override
    def extra_repr(self) -> str:
        """:meta private:"""
        return f"encoding_dim={self.encoding_dim}, max_seq_len={self.max_seq_len}, theta={self.theta}"


def _with_padding(half: Tensor) -> Tensor:
    """
    :param half: *Shape:* [S, E / 2].

    :returns: A row of zeros, then ``half`` twice. *Shape:* [1 + S, E].
    """
    table = half.new_zeros((1 + half.size(0), 2 * half.size(1)))

    table[1:] = half.repeat(1, 2)

    return table


def prepare_whole_tables(module: Module, inputs: tuple[object, ...]) -> None:
    """Fills the tables below ``module`` for all steps. A hook to be called before its ``forward``.

    Compiled code would be compiled anew for each size of a table.
    """
    seqs = inputs[0]

    assert isinstance(seqs, Tensor)

    for encoder in module.modules():
        if isinstance(encoder, HalvesRotaryEncoder):
            encoder.prepare(encoder.max_seq_len, seqs.device)
