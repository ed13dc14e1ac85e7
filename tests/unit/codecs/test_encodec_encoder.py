"""Our way through the encoder of the package ``encodec`` gives its values, to the bit."""

from __future__ import annotations

import pytest
import torch

from codec_s2st.codecs.encodec.config import EncodecConfig
from codec_s2st.codecs.encodec.encoder import run_encoder
from codec_s2st.codecs.encodec.model import EncodecCodec
from tests.hg_codecs import make_wave


@pytest.mark.parametrize(
    "config",
    [
        EncodecConfig(num_codebooks=1),
        EncodecConfig(num_codebooks=1, num_filters=4, causal=False, residual_kernel_size=5),
        EncodecConfig(num_codebooks=1, num_filters=4, conv_shortcut=False, num_residual_layers=3, ratios=[5, 3]),
    ],
)
class TestRunEncoder:
    @pytest.mark.parametrize("num_samples", [1, 2, 5, 319, 320, 321, 7_777, 48_000])
    def test_values_are_those_of_the_package(self, config: EncodecConfig, num_samples: int) -> None:
        torch.manual_seed(0)

        layers = EncodecCodec(config).eval().encoder.model

        wave = make_wave(2.0, 1, 24_000)[..., :num_samples]

        before = wave.clone()

        with torch.no_grad():
            latents = run_encoder(layers, wave)

            assert torch.equal(latents, layers(wave))

        assert torch.equal(wave, before)

        assert num_samples < 1_000 or float(latents.std()) > 0.001

    def test_input_of_an_activation_stays_as_it_is(self, config: EncodecConfig) -> None:
        layers = EncodecCodec(config).eval().encoder.model[-2:]

        hidden = torch.randn(1, layers[1].conv.conv.in_channels, 50)

        before = hidden.clone()

        with torch.no_grad():
            assert torch.equal(run_encoder(layers, hidden), layers(before))

        assert torch.equal(hidden, before)
