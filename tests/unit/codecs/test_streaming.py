"""Decoding chunk by chunk against decoding the whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from codec_s2st.codecs.codec import Codec
from codec_s2st.codecs.encodec.config import EncodecConfig
from codec_s2st.codecs.encodec.model import EncodecCodec
from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.codecs.melcodec.model import MelCodec
from codec_s2st.codecs.streaming import StreamDecoder


def make_melcodec() -> Codec:
    return MelCodec(MelCodecConfig(num_codebooks=4, codebook_size=64)).eval()


def make_encodec(*, causal: bool = True) -> Codec:
    return EncodecCodec(EncodecConfig(num_codebooks=4, num_filters=4, causal=causal)).eval()


CODECS = [make_melcodec, make_encodec, lambda: make_encodec(causal=False)]


@pytest.mark.parametrize("chunk_frames", [1, 7, 40])
@pytest.mark.parametrize("make", CODECS)
def test_samples_are_those_of_the_whole(make: Callable[[], Codec], chunk_frames: int) -> None:
    torch.manual_seed(0)

    codec = make()

    for num_frames in (1, 3, 110):
        codes = torch.randint(0, 64, (num_frames, 4))

        whole = codec.decode(codes.T[None])[0, 0]

        decoder = StreamDecoder(codec)

        parts = [decoder.push(chunk) for chunk in codes.split(chunk_frames)]

        parts.append(decoder.finish())

        assert float(whole.abs().max()) > 1e-3

        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [make_melcodec, make_encodec])
def test_samples_come_before_the_end(make: Callable[[], Codec]) -> None:
    codec = make()

    context = codec.decoder_context

    assert context is not None

    decoder = StreamDecoder(codec)

    num_frames = context.after + 20

    assert len(decoder.push(torch.randint(0, 64, (num_frames, 4)))) == 20 * codec.spec.hop_length

    assert len(decoder.finish()) == context.after * codec.spec.hop_length


def test_context_is_not_larger_than_it_must_be() -> None:
    codec = make_melcodec()

    context = codec.decoder_context

    assert context is not None and context.before is not None

    torch.manual_seed(0)

    codes = torch.randint(0, 64, (1, 4, 60))

    others = codes.clone()

    others[..., 30] = (others[..., 30] + 1) % 64

    changed = (codec.decode(codes) - codec.decode(others))[0, 0].abs().view(60, -1).amax(dim=1).nonzero().flatten()

    assert 30 - context.after <= int(changed.min()) <= 30 - context.after + 2

    assert 30 + context.before - 2 <= int(changed.max()) <= 30 + context.before


def test_nothing_is_nothing() -> None:
    assert len(StreamDecoder(make_melcodec()).finish()) == 0
