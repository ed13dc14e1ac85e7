"""Our EnCodec against transformers' on equal random weights: the same codes, bit for bit, and the same waves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from codec_s2st.codecs import Codec
from codec_s2st.codecs.encodec.config import EncodecConfig
from codec_s2st.codecs.encodec.hub import get_encodec_hub

SAMPLE_RATE = 24_000

BANDWIDTHS = [(1.5, 2), (3.0, 4), (6.0, 8), (12.0, 16), (24.0, 32)]


def make_wave(seconds: float, seed: int) -> Tensor:
    """Noise and tones whose loudness changes twenty times a second. *Shape:* [1, 1, N]."""
    generator = torch.Generator().manual_seed(seed)

    num_samples = int(seconds * SAMPLE_RATE)

    num_parts = int(seconds * 20) + 1

    def per_part(low: float, high: float) -> Tensor:
        values = torch.rand(num_parts, generator=generator) * (high - low) + low

        return values.repeat_interleave(SAMPLE_RATE // 20)[:num_samples]

    pitch = per_part(80.0, 2_000.0)

    tones = torch.sin((2 * torch.pi / SAMPLE_RATE * pitch).cumsum(0))

    noise = torch.randn(num_samples, generator=generator)

    wave = per_part(0.0, 0.5) * tones + per_part(0.0, 0.2) * noise

    return wave.clamp(-1, 1)[None, None]


def draw_codebooks(model: Any, seed: int) -> None:
    """Draws every code book around vectors that the levels below leave over, so that many codes are used."""
    generator = torch.Generator().manual_seed(seed)

    residual = model.encoder(make_wave(8.0, seed)).transpose(1, 2)

    for level in model.quantizer.layers:
        codebook = level.codebook

        vectors = residual.flatten(0, 1)

        chosen = torch.randint(vectors.size(0), (codebook.codebook_size,), generator=generator)

        noise = torch.randn(codebook.embed.shape, generator=generator)

        codebook.embed.copy_(vectors[chosen] + 0.9 * vectors.std(0) * noise)

        residual = residual - codebook.decode(codebook.encode(residual))


def make_reference(**kwargs: Any) -> Any:
    from transformers import EncodecConfig as ReferenceConfig
    from transformers import EncodecModel

    torch.manual_seed(3)

    model = EncodecModel(ReferenceConfig(**kwargs)).eval()

    with torch.no_grad():
        # As initialised, signals fade from layer to layer, and the wave hardly depends on the codes.
        for name, parameter in model.named_parameters():
            if name.endswith("weight.original0"):
                parameter.mul_(1.75)

        draw_codebooks(model, seed=5)

    return model


def load_ours(path: Path, config: EncodecConfig) -> Codec:
    return get_encodec_hub().load_custom_model(path, config, device=torch.device("cpu")).eval()


@pytest.fixture(scope="module")
def reference() -> Any:
    return make_reference()


@pytest.fixture(scope="module")
def weights(reference: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("encodec")

    reference.save_pretrained(path, safe_serialization=True)

    return path / "model.safetensors"


@pytest.fixture(scope="module")
def ours(weights: Path) -> Codec:
    return load_ours(weights, EncodecConfig())


@pytest.fixture(scope="module")
def wave() -> Tensor:
    # The last frame is half empty: the padding is compared too.
    return make_wave(6.0, seed=7)[..., :-160]


class TestEncodecParity:
    @pytest.mark.parametrize(("bandwidth", "num_streams"), BANDWIDTHS)
    def test_codes_are_equal_and_waves_close(
        self, reference: Any, ours: Codec, wave: Tensor, bandwidth: float, num_streams: int
    ) -> None:
        ours.use_streams(num_streams)

        with torch.no_grad():
            expected = reference.encode(wave, bandwidth=bandwidth)

            expected_wave = reference.decode(expected.audio_codes, expected.audio_scales)[0]

        codes = ours.encode(wave)

        num_used = [level.unique().numel() for level in codes[0]]

        assert codes.shape == (1, num_streams, -(-wave.size(-1) // 320))

        assert min(num_used) >= 100

        assert torch.equal(codes, expected.audio_codes[0])

        decoded = ours.decode(codes)

        torch.testing.assert_close(decoded, expected_wave, rtol=0, atol=1e-5)

        # The tolerance means something: other codes sound different.
        assert float((ours.decode(codes[..., :75].flip(-1)) - decoded[..., : 75 * 320]).abs().max()) > 0.1

    def test_batch_is_equal(self, reference: Any, ours: Codec) -> None:
        waves = torch.cat([make_wave(1.0, seed=seed) for seed in range(3)])

        ours.use_streams(8)

        with torch.no_grad():
            expected = reference.encode(waves, bandwidth=6.0)

        assert torch.equal(ours.encode(waves), expected.audio_codes[0])

    @pytest.mark.parametrize("num_samples", [1, 7, 319, 320, 321, 960, 1000])
    def test_short_waves_are_equal(self, reference: Any, ours: Codec, num_samples: int) -> None:
        wave = make_wave(1.0, seed=11)[..., :num_samples]

        ours.use_streams(8)

        with torch.no_grad():
            expected = reference.encode(wave, bandwidth=6.0).audio_codes

            expected_wave = reference.decode(expected, [None])[0]

        codes = ours.encode(wave)

        assert torch.equal(codes, expected[0])

        torch.testing.assert_close(ours.decode(codes), expected_wave, rtol=0, atol=1e-5)

    def test_old_weight_norm_layout_is_the_same(self, weights: Path, ours: Codec, tmp_path: Path) -> None:
        renamed = {
            key.replace(".parametrizations.weight.original0", ".weight_g").replace(
                ".parametrizations.weight.original1", ".weight_v"
            ): value
            for key, value in load_file(weights).items()
        }

        assert sum(key.endswith(".weight_g") for key in renamed) > 20

        save_file(renamed, tmp_path / "model.safetensors")

        state_dict = load_ours(tmp_path, EncodecConfig()).state_dict()

        for key, value in ours.state_dict().items():
            assert torch.equal(state_dict[key], value), key

    def test_fewer_codebooks_give_the_first_codes(self, weights: Path, ours: Codec, wave: Tensor) -> None:
        small = load_ours(weights, EncodecConfig(num_codebooks=4))

        ours.use_streams(4)

        assert small.spec == ours.spec

        assert torch.equal(small.encode(wave), ours.encode(wave))

    def test_other_shape_is_equal(self, tmp_path: Path) -> None:
        reference = make_reference(
            num_filters=8,
            num_residual_layers=2,
            upsampling_ratios=[4, 3, 2],
            use_causal_conv=False,
            use_conv_shortcut=False,
            codebook_size=256,
            hidden_size=24,
            num_lstm_layers=1,
            target_bandwidths=[24.0],
        )

        reference.save_pretrained(tmp_path, safe_serialization=True)

        config = EncodecConfig(
            num_codebooks=reference.config.num_quantizers,
            codebook_size=256,
            latent_dim=24,
            num_filters=8,
            num_residual_layers=2,
            ratios=[4, 3, 2],
            num_lstm_layers=1,
            causal=False,
            conv_shortcut=False,
        )

        ours = load_ours(tmp_path, config)

        wave = make_wave(1.0, seed=13)[..., :-5]

        with torch.no_grad():
            expected = reference.encode(wave, bandwidth=24.0).audio_codes

            expected_wave = reference.decode(expected, [None])[0]

        codes = ours.encode(wave)

        assert torch.equal(codes, expected[0])

        torch.testing.assert_close(ours.decode(codes), expected_wave, rtol=0, atol=1e-5)
