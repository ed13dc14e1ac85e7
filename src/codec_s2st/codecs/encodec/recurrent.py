"""Runs an LSTM over several sequences at once, to the bits of one at a time. Legend: B batch, T frame, D width.

An LSTM over one sequence reads all its weights from memory for each step; over four, once for all of them.

By itself a batch has other bits. A gate is the sum over the inputs and that over the state. For a single sequence
oneDNN makes the first of all steps in advance, and adds the two; for a batch it goes on with the second in the register
that holds the first, which rounds otherwise. It does not where the widths of input and state differ: so the input has
one column more, which is zero, as are its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import LSTM
from torch.nn.functional import pad

_PROBE_LENGTHS: Final = (1, 9, 40, 24, 24)


def run_together(lstm: LSTM, sequences: Sequence[Tensor]) -> list[Tensor]:
    """Returns what ``lstm`` makes of each of ``sequences`` alone, bit by bit where :func:`is_exact_together` says so.

    To be called without gradients: where these are recorded, an LSTM adds otherwise.

    :param lstm: Runs forward only, and has biases, but no projection.
    :param sequences: *Shape:* [T, D] each, T > 0.
    """
    # The longest first: those that still go on are the first ones of the batch.
    order = sorted(range(len(sequences)), key=lambda idx: -len(sequences[idx]))

    lengths = [len(sequences[idx]) for idx in order]

    # [T, B, D]
    hidden = sequences[0].new_zeros((lengths[0], len(order), sequences[0].size(-1)))

    for place, idx in enumerate(order):
        hidden[: lengths[place], place] = sequences[idx]

    for layer in range(lstm.num_layers):
        hidden = _run_layer(lstm, layer, hidden, lengths)

    output = [hidden[:0, 0]] * len(order)

    for place, idx in enumerate(order):
        output[idx] = hidden[: lengths[place], place]

    return output


def _run_layer(lstm: LSTM, layer: int, hidden: Tensor, lengths: Sequence[int]) -> Tensor:
    weights = [getattr(lstm, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    weights[0], wide = pad(weights[0], (0, 1)), pad(hidden, (0, 1))

    output = hidden.new_empty((*hidden.shape[:-1], lstm.hidden_size))

    state = (hidden.new_zeros((1, hidden.size(1), lstm.hidden_size)),) * 2

    begin = 0

    for end in sorted(set(lengths)):
        # Those that go on.
        size = sum(length >= end for length in lengths)

        state = (state[0][:, :size].contiguous(), state[1][:, :size].contiguous())

        output[begin:end, :size], *state = torch.lstm(  # type: ignore[assignment]
            wide[begin:end, :size].contiguous(), state, weights, True, 1, 0.0, False, False, False
        )

        begin = end

    return output


@torch.no_grad()
def is_exact_together(lstm: LSTM) -> bool:
    """Tells by trying whether :func:`run_together` has the bits of ``lstm`` here.

    Which way oneDNN adds depends on the processor, and other libraries have ways of their own.
    """
    parameter = lstm.weight_ih_l0

    if parameter.device.type != "cpu" or lstm.bidirectional or lstm.proj_size or not lstm.bias:
        return False

    generator = torch.Generator().manual_seed(0)

    sequences = [
        torch.randn((length, lstm.input_size), generator=generator).to(parameter.dtype) for length in _PROBE_LENGTHS
    ]

    alone = [lstm(sequence[:, None])[0][:, 0] for sequence in sequences]

    return all(map(torch.equal, alone, run_together(lstm, sequences)))
