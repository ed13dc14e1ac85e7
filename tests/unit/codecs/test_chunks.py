"""Chunks of a long wave give the codes of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import Conv1d, Sequential

from codec_s2st.codecs.chunks import EncoderContext, conv_reach, encode_in_chunks
from codec_s2st.codecs.codec import Codec
from codec_s2st.codecs.encodec.config import EncodecConfig
from codec_s2st.codecs.encodec.hub import get_encodec_hub
from codec_s2st.codecs.encodec.model import EncodecCodec
from codec_s2st.codecs.hg.config import HgCodecConfig
from codec_s2st.codecs.hg.hub import make_hg_codec
from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.codecs.melcodec.model import MelCodec
from codec_s2st.codecs.windows import cut_windows
from tests.hg_codecs import REFERENCES, make_network, make_wave, write_network


def make_hg(name: str) -> Codec:
    reference = REFERENCES[name]

    codec = make_hg_codec(
        HgCodecConfig(
            adapter=reference.adapter,
            sample_rate=reference.sample_rate,
            hop_length=reference.hop_length,
            codebook_sizes=list(reference.codebook_sizes),
            network=reference.network,
        )
    )

    codec.network.load_state_dict(make_network(reference).state_dict())

    return codec.eval()


def make_encodec(folder: Path) -> Codec:
    config = EncodecConfig(
        sample_rate=16_000, num_codebooks=4, codebook_size=256, latent_dim=24, num_filters=4, ratios=[5, 4, 4]
    )

    path = write_network(make_network(REFERENCES["encodec"]), folder) / "model.safetensors"

    return get_encodec_hub().load_custom_model(path, config, device=torch.device("cpu")).eval()


def make_melcodec() -> Codec:
    torch.manual_seed(0)

    codec = MelCodec(MelCodecConfig(num_codebooks=4, codebook_size=64)).eval()

    codec.init_codebooks(make_wave(20.48, 1)[0])

    return codec


@pytest.fixture(scope="module", params=["encodec", "hg encodec", "dac_16khz", "dac_44khz", "melcodec"])
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Codec]:
    with torch.random.fork_rng():
        if request.param == "encodec":
            yield make_encodec(tmp_path_factory.mktemp("encodec"))
        elif request.param == "melcodec":
            yield make_melcodec()
        else:
            yield make_hg(request.param.removeprefix("hg "))


def encode(codec: Codec, wave: Tensor, chunk_frames: int) -> list[Tensor]:
    """Encodes ``wave`` [1, 1, N], which comes in blocks of an odd size."""
    return list(encode_in_chunks(codec, wave[0].split(7_001, dim=-1), chunk_frames=chunk_frames))


class TestEncodeInChunks:
    # An odd length: the last frame is partly empty. With 1, chunks are as short as the context allows.
    @pytest.mark.parametrize("chunk_frames", [1, 37])
    def test_codes_are_those_of_the_whole(self, codec: Codec, chunk_frames: int) -> None:
        wave = make_wave(12.0, 7, codec.spec.sample_rate)[..., :-33]

        codes = encode(codec, wave, chunk_frames)

        assert len(codes) > 5

        whole = codec.encode(wave)

        assert whole.unique().numel() > 50

        assert torch.equal(torch.cat(codes, dim=-1), whole)

    @pytest.mark.parametrize("num_frames", [1, 2, 40, 41, 80])
    def test_every_length_ends_well(self, codec: Codec, num_frames: int) -> None:
        for missing in (0, 1, codec.spec.hop_length - 1):
            wave = make_wave(9.0, 8, codec.spec.sample_rate)[..., : num_frames * codec.spec.hop_length - missing]

            assert torch.equal(torch.cat(encode(codec, wave, 40), dim=-1), codec.encode(wave))

    def test_only_the_streams_in_use_are_made(self, codec: Codec) -> None:
        wave = make_wave(4.0, 9, codec.spec.sample_rate)

        whole = codec.encode(wave)

        codec.use_streams(2)

        try:
            assert torch.equal(torch.cat(encode(codec, wave, 37), dim=-1), whole[:, :2])
        finally:
            codec.use_streams(4)

    def test_context_is_needed(self, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
        wave = make_wave(12.0, 7, codec.spec.sample_rate)

        monkeypatch.setattr(type(codec), "encoder_context", property(lambda self: EncoderContext(0, 0)))

        assert not torch.equal(torch.cat(encode(codec, wave, 37), dim=-1), codec.encode(wave))

    def test_state_is_needed(self, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
        if isinstance(codec, MelCodec) or "Dac" in type(codec).__name__:
            return

        wave = make_wave(12.0, 7, codec.spec.sample_rate)

        encode_chunk = codec.encode_chunk

        monkeypatch.setattr(codec, "encode_chunk", lambda wave, frames, state: encode_chunk(wave, frames, None))

        assert not torch.equal(torch.cat(encode(codec, wave, 37), dim=-1), codec.encode(wave))

    @pytest.mark.parametrize(
        "make",
        [
            lambda: EncodecCodec(EncodecConfig(causal=False, num_filters=2)),
            lambda: make_hg("mimi"),
            lambda: make_hg("xcodec_hubert"),
        ],
    )
    def test_what_sees_the_whole_is_refused(self, make: Callable[[], Codec]) -> None:
        codec = make()

        assert codec.encoder_context is None

        with pytest.raises(ValueError, match="whole waves only"):
            encode(codec, make_wave(1.0, 0), 37)


class TestConvReach:
    @pytest.mark.parametrize("kernels", [[(7, 1, 1)], [(3, 1, 2), (4, 2, 1), (5, 1, 3)], [(10, 5, 1), (8, 4, 1)]])
    def test_output_depends_on_no_sample_beyond(self, kernels: list[tuple[int, int, int]]) -> None:
        torch.manual_seed(0)

        convs = Sequential(*[Conv1d(1, 1, size, stride, dilation=dilation) for size, stride, dilation in kernels])

        wave = torch.zeros(1, 1, 500, requires_grad=True)

        output = convs(wave)

        output[0, 0, 3].backward()

        assert wave.grad is not None

        (places,) = wave.grad[0, 0].nonzero(as_tuple=True)

        assert int(places[-1] - places[0]) == conv_reach([convs])


class TestCutWindows:
    @pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (0, 4), (25, 2)])
    @pytest.mark.parametrize("num_samples", [1, 9, 10, 11, 14, 20, 57])
    @pytest.mark.parametrize("block", [1, 10, 100])
    def test_new_samples_are_the_signal(self, num_samples: int, block: int, before: int, after: int) -> None:
        signal = torch.arange(num_samples)[None]

        windows = list(cut_windows(signal.split(block, dim=-1), size=10, before=before, after=after))

        assert [window.is_last for window in windows] == [False] * (len(windows) - 1) + [True]

        place = 0

        for window in windows:
            assert window.num_before == min(before, place)

            begin = place - window.num_before

            num_after = 0 if window.is_last else after

            assert torch.equal(window.samples, signal[:, begin : place + window.num_new + num_after])

            assert window.is_last or window.num_new == 10

            place += window.num_new

        assert place == num_samples

    def test_empty_signal_has_no_windows(self) -> None:
        assert not list(cut_windows([], size=10, before=1, after=1))
