"""An LSTM over several sequences at once gives the values of one at a time, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import LSTM

from codec_s2st.codecs.encodec.config import EncodecConfig
from codec_s2st.codecs.encodec.encoder import run_encoder, run_encoder_together
from codec_s2st.codecs.encodec.model import EncodecCodec
from codec_s2st.codecs.encodec.recurrent import is_exact_together, run_together
from tests.hg_codecs import make_wave


def make_lstm(width: int, num_layers: int) -> LSTM:
    torch.manual_seed(0)

    return LSTM(width, width, num_layers).eval().requires_grad_(False)


class TestRunTogether:
    @pytest.mark.parametrize(("width", "num_layers"), [(512, 2), (64, 3), (20, 1)])
    @pytest.mark.parametrize(
        "lengths", [[1], [1, 1], [2, 1, 2], [7, 7, 7], [75, 300, 2, 1, 150], [5, 31, 31, 8, 90, 17, 64, 33, 3]]
    )
    def test_values_are_those_of_each_alone(self, width: int, num_layers: int, lengths: list[int]) -> None:
        lstm = make_lstm(width, num_layers)

        if not is_exact_together(lstm):
            pytest.skip("on this processor it is not, and not used")

        sequences = [3 * torch.randn(length, width) for length in lengths]

        before = [sequence.clone() for sequence in sequences]

        with torch.no_grad():
            found = run_together(lstm, sequences)

            for sequence, output in zip(sequences, found, strict=True):
                assert torch.equal(output, lstm(sequence[:, None])[0][:, 0])

        assert all(map(torch.equal, sequences, before))


class TestIsExactTogether:
    def test_is_told_by_the_bits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lstm = make_lstm(512, 2)

        monkeypatch.setattr(
            "codec_s2st.codecs.encodec.recurrent.run_together",
            lambda lstm, sequences: [lstm(sequence[:, None])[0][:, 0] for sequence in sequences],
        )

        assert is_exact_together(lstm)

        monkeypatch.setattr(
            "codec_s2st.codecs.encodec.recurrent.run_together",
            lambda lstm, sequences: [
                lstm(sequence[:, None])[0][:, 0].nextafter(torch.ones(())) for sequence in sequences
            ],
        )

        assert not is_exact_together(lstm)

    def test_an_lstm_of_another_kind_is_refused(self) -> None:
        assert not is_exact_together(LSTM(16, 16, bidirectional=True))
        assert not is_exact_together(LSTM(16, 16, proj_size=8))
        assert not is_exact_together(LSTM(16, 16, bias=False))


def make_codec(num_filters: int) -> EncodecCodec:
    torch.manual_seed(0)

    codec = EncodecCodec(EncodecConfig(num_codebooks=4, num_filters=num_filters)).eval().requires_grad_(False)

    residual = run_encoder(codec.encoder.model, make_wave(2.0, 0, 24_000))

    # Drawn round what the levels above leave, lest a few codes are nearest to all.
    for level in codec.quantizer.vq.layers:
        vectors = residual[0].T

        chosen = vectors[torch.randint(len(vectors), (1024,))]

        level._codebook.embed.copy_(chosen + 0.5 * vectors.std(0) * torch.randn_like(chosen))

        residual = residual - level.decode(level.encode(residual))

    return codec


class TestEncodeEach:
    @pytest.mark.parametrize("num_filters", [4, 32])
    def test_codes_are_those_of_each_alone(self, num_filters: int) -> None:
        codec = make_codec(num_filters)

        sizes = (1, 319, 48_000, 321, 7_777, 47_999, 48_000)

        waves: list[Tensor] = [make_wave(2.0, seed, 24_000)[..., :size] for seed, size in enumerate(sizes)]

        alone = [codec.encode(wave) for wave in waves]

        assert len(torch.cat(alone, dim=-1).unique()) > 100

        assert all(map(torch.equal, codec.encode_each(waves), alone))

        codec.use_streams(2)

        assert all(torch.equal(few, many[:, :2]) for few, many in zip(codec.encode_each(waves), alone, strict=True))

    @pytest.mark.parametrize("num_filters", [4, 32])
    def test_so_are_the_vectors_before_they_are_quantized(self, num_filters: int) -> None:
        codec = make_codec(num_filters)

        if codec.group_size == 1:
            pytest.skip("on this processor they are not, and not used")

        layers = list(codec.encoder.model)

        waves = [make_wave(1.0, size, 24_000)[..., :size] for size in (20_000, 3_333, 24_000)]

        with torch.no_grad():
            found = run_encoder_together(layers, waves)

            assert all(
                torch.equal(latents, run_encoder(layers, wave)) for latents, wave in zip(found, waves, strict=True)
            )

    def test_a_processor_that_adds_otherwise_gets_one_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        codec = make_codec(4)

        monkeypatch.setattr("codec_s2st.codecs.encodec.recurrent.is_exact_together", lambda lstm: False)

        monkeypatch.delattr("codec_s2st.codecs.encodec.encoder.run_together")

        waves = [make_wave(0.5, seed, 24_000) for seed in range(3)]

        assert codec.group_size == 1

        assert all(map(torch.equal, codec.encode_each(waves), [codec.encode(wave) for wave in waves]))

    @pytest.mark.parametrize("shape", [(1, 1, 0), (2, 1, 9), (1, 2, 9), (1, 9)])
    def test_another_shape_is_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="must be of shape"):
            make_codec(4).encode_each([torch.zeros(1, 1, 9), torch.zeros(shape)])
