"""The interface of a codec, and how one is loaded. Legend: B batch, N sample, T codec frame, Q stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor
from torch.nn import Module

from codec_s2st.codecs.chunks import EncoderContext
from codec_s2st.codecs.streaming import DecoderContext
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.fingerprint import CodecFingerprint
from codec_s2st.tokens.streams import StreamSpec
from codec_s2st.tokens.units import Frames, Samples

if TYPE_CHECKING:
    from torch import device as Device


class Codec(Module, ABC):
    """Turns a mono waveform into Q streams of codes, and back.

    A family implements :meth:`_do_encode` and :meth:`_do_decode`; what every codec promises about shapes and ranges is
    checked here.
    """

    def __init__(self, spec: StreamSpec) -> None:
        """
        :param spec: All the code books that the codec has.
        """
        super().__init__()

        self._full_spec = spec
        self._spec = spec
        self._full_fingerprint: CodecFingerprint | None = None

    @property
    def spec(self) -> StreamSpec:
        """The shape of what :meth:`encode` returns: the code books in use, the hop and the sample rate."""
        return self._spec

    @property
    def fingerprint(self) -> CodecFingerprint:
        """The identity of the codec with the code books in use.

        :raises RuntimeError: the codec was not loaded from weights, so it has no identity.
        """
        if self._full_fingerprint is None:
            raise RuntimeError("A codec has a fingerprint only if it was loaded by `load_codec()`.")

        return self._full_fingerprint.first(self._spec.num_streams)

    def set_fingerprint(self, name: str, weights_hash: str) -> None:
        """Gives the codec its identity.

        :param name: The name of the asset card.
        :param weights_hash: The SHA-256 of the weights, in hex.
        """
        spec = self._full_spec

        self._full_fingerprint = CodecFingerprint(
            name, weights_hash, spec.codebook_sizes, spec.hop_length, spec.sample_rate
        )

    def use_streams(self, num_streams: int) -> None:
        """Makes the codec use its first ``num_streams`` code books only.

        :raises UserInputError: the codec does not have that many.
        """
        try:
            self._spec = self._full_spec.first(num_streams)
        except ValueError:
            raise UserInputError(
                f"the number of streams must be between 1 and {self._full_spec.num_streams} for this codec, "
                f"but is {num_streams}"
            ) from None

    @final
    @torch.no_grad()
    def encode(self, wave: Tensor) -> Tensor:
        """Returns the codes of a batch of waveforms of equal length.

        :param wave: Samples in [-1, 1] at ``spec.sample_rate``. *Shape:* [B, 1, N], float32.
        :returns: Codes, each below its code book's size. *Shape:* [B, Q, T], int64, where T is ``spec.frames_in(N)``.
        :raises ValueError: ``wave`` has another shape.
        """
        if wave.dim() != 3 or wave.size(1) != 1:
            raise ValueError(f"`wave` must be of shape [B, 1, N], but is {list(wave.shape)} instead.")

        batch_size, _, num_samples = wave.shape

        shape = (batch_size, self._spec.num_streams, self._spec.frames_in(Samples(num_samples)))

        if 0 in shape:
            return torch.empty(shape, dtype=torch.int64, device=wave.device)

        codes = self._do_encode(wave, self._spec.num_streams)

        if codes.shape != shape:
            raise RuntimeError(f"The codec returned codes of shape {list(codes.shape)}; its spec says {list(shape)}.")

        return codes

    @property
    def group_size(self) -> int:
        """How many waves :meth:`encode_each` is best given at a time; 1 where it gains nothing from several."""
        return 1

    @final
    @torch.no_grad()
    def encode_each(self, waves: Sequence[Tensor]) -> list[Tensor]:
        """Returns what :meth:`encode` does for each of ``waves`` alone, whatever the others are.

        :param waves: Of any lengths. *Shape:* [1, 1, N] each, N > 0.
        :returns: *Shape:* [1, Q, T] each.
        :raises ValueError: a wave has another shape.
        """
        for wave in waves:
            if wave.shape[:2] != (1, 1) or wave.dim() != 3 or not wave.size(-1):
                raise ValueError(
                    f"`waves` must be of shape [1, 1, N] with N > 0, but one is {list(wave.shape)} instead."
                )

        all_codes = self._do_encode_each(waves, self._spec.num_streams)

        for wave, codes in zip(waves, all_codes, strict=True):
            shape = (1, self._spec.num_streams, self._spec.frames_in(Samples(wave.size(-1))))

            if codes.shape != shape:
                raise RuntimeError(
                    f"The codec returned codes of shape {list(codes.shape)}; its spec says {list(shape)}."
                )

        return all_codes

    @final
    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Returns the waveforms of a batch of codes.

        :param codes: Codes of the first q streams, where q is at most the number of code books that the codec has.
            *Shape:* [B, q, T], int64.
        :returns: Samples at ``spec.sample_rate``. *Shape:* [B, 1, N], float32, where N is ``spec.samples_in(T)``.
        :raises ValueError: ``codes`` has another shape, or a code is outside its code book.
        """
        full = self._full_spec

        if codes.dim() != 3 or not 1 <= codes.size(1) <= full.num_streams:
            raise ValueError(
                f"`codes` must be of shape [B, 1..{full.num_streams}, T], but is {list(codes.shape)} instead."
            )

        batch_size, num_streams, num_frames = codes.shape

        shape = (batch_size, 1, full.samples_in(Frames(num_frames)))

        if 0 in shape:
            return torch.empty(shape, device=codes.device)

        sizes = torch.tensor(full.codebook_sizes[:num_streams], device=codes.device)

        if bool(((codes < 0) | (codes >= sizes[:, None])).any()):
            raise ValueError(f"`codes` must be below the sizes {tuple(sizes.tolist())} of their code books.")

        wave = self._do_decode(codes)

        if wave.shape != shape:
            raise RuntimeError(f"The codec returned a wave of shape {list(wave.shape)}; its spec says {list(shape)}.")

        return wave

    @property
    def encoder_context(self) -> EncoderContext | None:
        """What a chunk of audio needs round it for :func:`~codec_s2st.codecs.chunks.encode_in_chunks`.

        ``None`` for a codec whose codes depend on the whole wave; it can encode whole waves only.
        """
        return None

    @property
    def decoder_context(self) -> DecoderContext | None:
        """What a chunk of codes needs round it for :class:`~codec_s2st.codecs.streaming.StreamDecoder`.

        ``None`` for a codec whose samples may depend on all codes; it can decode whole utterances only.
        """
        return None

    @final
    @torch.no_grad()
    def encode_chunk(self, wave: Tensor, frames: slice, state: object) -> tuple[Tensor, object]:
        """Returns the codes of a chunk.

        :param wave: The chunk and its context. *Shape:* [1, 1, N].
        :param frames: The frames of the chunk among those of ``wave``.
        :param state: What the chunk before returned; ``None`` at the beginning.
        :returns: *Shape:* [1, Q, t], int64; and what the next chunk needs.
        """
        codes, state = self._do_encode_chunk(wave, self._spec.num_streams, frames, state)

        if codes.shape != (1, self._spec.num_streams, frames.stop - frames.start):
            raise RuntimeError(f"The codec returned codes of shape {list(codes.shape)} for {frames}.")

        return codes, state

    def _do_encode_chunk(self, wave: Tensor, num_streams: int, frames: slice, state: object) -> tuple[Tensor, object]:
        """See :meth:`encode_chunk`. To be overridden by what remembers more than its context."""
        return self._do_encode(wave, num_streams)[:, :, frames], None

    def _do_encode_each(self, waves: Sequence[Tensor], num_streams: int) -> list[Tensor]:
        """See :meth:`encode_each`. To be overridden by what encodes several waves faster, to the same codes."""
        return [self._do_encode(wave, num_streams) for wave in waves]

    @abstractmethod
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        """Returns the codes [B, num_streams, T] of ``wave`` [B, 1, N]; neither B nor N is 0."""

    @abstractmethod
    def _do_decode(self, codes: Tensor) -> Tensor:
        """Returns the wave [B, 1, T * hop] of ``codes`` [B, q, T]; q may be any number from 1 to Q."""


def load_codec(card: str, *, num_streams: int | None = None, device: Device | None = None) -> Codec:
    """Loads a codec by the name of its asset card, frozen and in evaluation mode.

    :param card: The name of the card, or its file (``.yaml``); ``demo_codec`` and ``codec_s2st_demo_codec`` are the
        same.
    :param num_streams: How many of the codec's code books to use, from the first; all of them if ``None``.
    :param device: Where to load it; the CPU if ``None``.
    :raises UserInputError: there is no such card (the nearest name is suggested), it is not a codec's, its weights do
        not fit it or are not safetensors, or it has fewer code books.
    :raises CodecS2STError: the weights cannot be downloaded.
    """
    # fairseq2 takes a second to import.
    from codec_s2st.codecs.hub import load_codec_model

    codec = load_codec_model(card, device=device or torch.device("cpu"))

    if num_streams is not None:
        codec.use_streams(num_streams)

    return codec
