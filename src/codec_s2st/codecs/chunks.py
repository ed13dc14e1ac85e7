"""Encodes long waves in chunks, in memory that does not grow with them. Legend: N sample, T codec frame, Q stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Conv1d, Module

from codec_s2st.codecs.windows import cut_windows

if TYPE_CHECKING:
    from codec_s2st.codecs.codec import Codec


@dataclass(frozen=True, slots=True)
class EncoderContext:
    """What must stand round a chunk of audio so that its codes are those of the whole."""

    before: int
    """Frames before the chunk."""

    after: int
    """Frames behind it."""


def encode_in_chunks(codec: Codec, blocks: Iterable[Tensor], *, chunk_frames: int) -> Iterator[Tensor]:
    """Yields the codes of one wave that comes in blocks.

    They are those of ``codec.encode()``, up to frames in which two codes are equally near but for the rounding of sums:
    a convolution adds in another order where its input has another length.

    :param codec: Has an :attr:`~Codec.encoder_context`.
    :param blocks: Samples in [-1, 1] at the codec's rate. *Shape:* [1, n], float32.
    :param chunk_frames: The frames that are encoded at once; as many as the context has at least.
    :returns: *Shape:* [1, Q, t], int64.
    :raises ValueError: the codec can encode whole waves only.
    """
    context = codec.encoder_context
    if context is None:
        raise ValueError("The codec can encode whole waves only.")

    hop = codec.spec.hop_length

    size = max(chunk_frames, context.before + context.after) * hop

    state: object = None

    for window in cut_windows(blocks, size=size, before=context.before * hop, after=context.after * hop):
        first = window.num_before // hop

        frames = slice(first, first - (-window.num_new // hop))

        codes, state = codec.encode_chunk(window.samples[None], frames, state)

        yield codes


def conv_reach(modules: Iterable[Module]) -> int:
    """Returns how many samples before (or behind) its place an output of some convolutions depends on, at most.

    :param modules: What the signal passes, in order. What is side by side is counted as if it came in turn.
    """
    reach, stride = 0, 1

    for module in modules:
        for conv in module.modules():
            if isinstance(conv, Conv1d):
                reach += (conv.kernel_size[0] - 1) * conv.dilation[0] * stride

                stride *= conv.stride[0]

    return reach


@dataclass(frozen=True, slots=True)
class RecurrentState:
    """What a chunk leaves to the next one. *Shape:* [layers, B, D] twice; [B, D, t]."""

    hidden: tuple[Tensor, Tensor]

    tail: Tensor
    """The last outputs of the LSTM, which the convolution behind it looks back on."""


def run_layers(layers: Iterable[Module], hidden: Tensor) -> Tensor:
    """Returns what ``layers`` make of ``hidden``, one after the other."""
    for layer in layers:
        hidden = layer(hidden)

    return hidden


def run_recurrent_chunk(
    layers: Sequence[Module],
    wave: Tensor,
    frames: slice,
    state: RecurrentState | None,
    run: Callable[[Iterable[Module], Tensor], Tensor] = run_layers,
) -> tuple[Tensor, RecurrentState]:
    """Runs an encoder of EnCodec's kind on a chunk: causal convolutions, an LSTM with a shortcut, one convolution.

    The LSTM remembers all that was before, so that no context would do; its state is handed on instead.

    :param layers: The encoder's, of which one has the attribute ``lstm``.
    :param wave: The chunk with its context. *Shape:* [B, 1, n].
    :param frames: The frames of the chunk among those of ``wave``.
    :param run: Runs layers; it leaves its input as it is.
    :returns: The latent vectors of the chunk, [B, D, t], and the state.
    """
    place = _place_of_lstm(layers)

    hidden = run(layers[:place], wave)[..., frames]

    lstm: Any = layers[place].lstm

    # (B, D, t) -> (t, B, D)
    output, new_state = lstm(hidden.permute(2, 0, 1), None if state is None else state.hidden)

    output = output.permute(1, 2, 0) + hidden

    seen = output if state is None else torch.cat([state.tail, output], dim=-1)

    result = run(layers[place + 1 :], seen)

    num_old = seen.size(-1) - output.size(-1)

    reach = conv_reach(layers[place + 1 :])

    # Not `[-reach:]`, which for a reach of 0 is all.
    return result[..., num_old:], RecurrentState(new_state, seen[..., seen.size(-1) - min(reach, seen.size(-1)) :])


def recurrent_context(layers: Sequence[Module], hop_length: int) -> EncoderContext:
    """Returns the context of an encoder for :func:`run_recurrent_chunk`."""
    place = _place_of_lstm(layers)

    # The convolution behind the LSTM begins with its first inputs mirrored: the first chunk must hold these.
    return EncoderContext(max(-(-conv_reach(layers[:place]) // hop_length), conv_reach(layers[place:]) + 1), 0)


def _place_of_lstm(layers: Sequence[Module]) -> int:
    return next(idx for idx, layer in enumerate(layers) if hasattr(layer, "lstm"))
