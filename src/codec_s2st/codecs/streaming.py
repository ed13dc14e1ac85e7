"""Decodes codes while they come: the samples of the whole, as soon as they are certain. Legend: N sample, T frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from codec_s2st.codecs.codec import Codec


@dataclass(frozen=True, slots=True)
class DecoderContext:
    """What must stand round a chunk of codes so that its samples are those of the whole."""

    before: int | None
    """Frames before the chunk; ``None`` if all of them, as a decoder remembers what was."""

    after: int
    """Frames behind it."""

    first: int = 1
    """So many frames there must be at least, as the beginning of a signal is mirrored."""


class StreamDecoder:
    """Decodes one utterance chunk by chunk.

    A codec without a context, whose samples may depend on all codes, is decoded at the end.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._context = codec.decoder_context

        self._codes: Tensor | None = None

        self._num_done = 0

    def push(self, codes: Tensor) -> Tensor:
        """Takes the next codes, and returns the samples that no later code changes.

        :param codes: *Shape:* [t, Q].

        :returns: *Shape:* [N], maybe of no samples.
        """
        self._codes = codes if self._codes is None else torch.cat([self._codes, codes])

        context = self._context

        if context is None or len(self._codes) < context.first:
            return torch.empty(0)

        return self._decode_until(len(self._codes) - context.after)

    def finish(self) -> Tensor:
        """Returns the samples that are left. *Shape:* [N]."""
        return torch.empty(0) if self._codes is None else self._decode_until(len(self._codes))

    def _decode_until(self, end: int) -> Tensor:
        """Returns the samples of the frames from those that are done up to ``end``."""
        if end <= self._num_done:
            return torch.empty(0)

        assert self._codes is not None

        context, hop = self._context, self._codec.spec.hop_length

        begin = 0

        if context is not None and context.before is not None:
            begin = max(self._num_done - context.before, 0)

        wave: Tensor = self._codec.decode(self._codes[begin:].T[None])[0, 0]

        samples = wave[(self._num_done - begin) * hop : (end - begin) * hop]

        self._num_done = end

        return samples
