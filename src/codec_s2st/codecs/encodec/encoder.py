"""Runs the convolutions of the package ``encodec`` with fewer passes over memory. Legend: B batch, C channel, N sample.

The values are those of the package, to the bit: what differs is how a wave is padded (its ``reflection_pad1d`` took a
seventh of the time of encoding) and that activations replace what nobody needs any more. ELU runs over whole tensors as
in the package: over the rows of a padded one, other elements would fall to its vectorised part, which rounds otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from encodec.modules.conv import SConv1d
from encodec.modules.lstm import SLSTM
from encodec.modules.seanet import SEANetResnetBlock
from torch import Tensor
from torch.nn import ELU, Module
from torch.nn.functional import elu, elu_

from codec_s2st.codecs.encodec.recurrent import run_together


def run_encoder(layers: Iterable[Module], wave: Tensor) -> Tensor:
    """Returns what ``layers`` of a ``SEANetEncoder`` make of ``wave`` [B, C, N], which stays as it is."""
    hidden = wave

    for layer in layers:
        if isinstance(layer, ELU):
            # Of no layer after which one comes, the output is needed twice.
            hidden = elu(hidden, layer.alpha) if hidden is wave else elu_(hidden, layer.alpha)
        elif isinstance(layer, SEANetResnetBlock):
            hidden = _run_block(layer, hidden)
        elif isinstance(layer, SConv1d):
            hidden = _run_conv(layer, hidden)
        else:
            hidden = layer(hidden)

    return hidden


def run_encoder_together(layers: Sequence[Module], waves: Sequence[Tensor]) -> list[Tensor]:
    """Returns what :func:`run_encoder` does for each of ``waves`` [1, C, N], of any lengths; the LSTM runs on all.

    :param layers: Hold one LSTM, for which :func:`~codec_s2st.codecs.encodec.recurrent.is_exact_together`.
    """
    place = next(idx for idx, layer in enumerate(layers) if isinstance(layer, SLSTM))

    recurrent: Any = layers[place]

    # (1, D, T) -> (T, 1, D)
    inputs = [run_encoder(layers[:place], wave).permute(2, 0, 1) for wave in waves]

    outputs = run_together(recurrent.lstm, [hidden[:, 0] for hidden in inputs])

    latents = []

    for hidden, output in zip(inputs, outputs, strict=True):
        # A copy of its own, as the LSTM alone returns one: ELU rounds by the place in memory.
        output = output.contiguous()[:, None]

        output = output + hidden if recurrent.skip else output

        latents.append(run_encoder(layers[place + 1 :], output.permute(1, 2, 0)))

    return latents


def _run_block(block: Any, hidden: Tensor) -> Tensor:
    inner = hidden

    for layer in block.block:
        if isinstance(layer, ELU):
            inner = elu(inner, layer.alpha) if inner is hidden else elu_(inner, layer.alpha)
        else:
            inner = _run_conv(layer, inner)

    shortcut = _run_conv(block.shortcut, hidden) if isinstance(block.shortcut, SConv1d) else hidden

    return inner.add_(shortcut)


def _run_conv(conv: Any, hidden: Tensor) -> Tensor:
    """Pads ``hidden`` by its own mirrored ends, as ``SConv1d`` does, and convolves it."""
    inner = conv.conv.conv

    kernel_size, stride, dilation = inner.kernel_size[0], inner.stride[0], inner.dilation[0]

    num_padded = (kernel_size - 1) * dilation - (stride - 1)

    num_samples = hidden.size(-1)

    # Up to a whole stride.
    num_right = -num_samples % stride

    num_left = num_padded

    if not conv.causal:
        num_left = num_padded - num_padded // 2

        num_right += num_padded // 2

    if num_left == num_right == 0:
        output: Tensor = inner(hidden)

        return output

    # Shorter than what is mirrored: the package knows what to do.
    if num_samples <= max(num_left, num_right) or conv.pad_mode != "reflect":
        output = conv(hidden)

        return output

    padded = hidden.new_empty((*hidden.shape[:-1], num_left + num_samples + num_right))

    padded[..., num_left : num_left + num_samples].copy_(hidden)

    padded[..., :num_left] = hidden[..., 1 : num_left + 1].flip(-1)

    padded[..., num_left + num_samples :] = hidden[..., num_samples - 1 - num_right : num_samples - 1].flip(-1)

    output = inner(padded)

    return output
