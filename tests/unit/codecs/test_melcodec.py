from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from fairseq2.device import CPU
from torch import Tensor
from torch.testing import assert_close

from codec_s2st.codecs import load_codec
from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.codecs.melcodec.hub import convert_melcodec_state_dict, get_melcodec_hub, publish_state_dict
from codec_s2st.codecs.melcodec.loss import SpectralLoss
from codec_s2st.codecs.melcodec.model import MelCodec
from codec_s2st.codecs.melcodec.quantizer import ResidualQuantizer
from codec_s2st.codecs.melcodec.spectrum import ISTFTHead, LogMel, frame_wave, mel_filters

HOP = 640


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(7)

        yield


def tiny_codec() -> MelCodec:
    hub = get_melcodec_hub()

    codec = hub.create_new_model(hub.get_arch_config("tiny"), device=CPU)

    codec.init_codebooks(0.3 * torch.randn(4, 25 * HOP))

    return codec.eval()


def demo_codec() -> MelCodec:
    codec = load_codec("demo_codec")

    assert isinstance(codec, MelCodec)

    return codec


def say(text: str, voice_idx: int = 0, *, held_out: bool = False, seed: int = 0) -> Tensor:
    espeak = pytest.importorskip("codec_s2st.demo.espeak")

    voices = espeak.HELD_OUT_VOICES if held_out else espeak.SOURCE_VOICES

    return torch.from_numpy(espeak.synthesise(text, voices[voice_idx], seed=seed))


class TestMelCodec:
    @pytest.mark.parametrize("num_samples", [1, 639, 640, 641, 6400, 9999])
    def test_encode_returns_one_frame_a_hop(self, num_samples: int) -> None:
        codec = tiny_codec()

        codes = codec.encode(0.3 * torch.randn(2, 1, num_samples))

        num_frames = -(-num_samples // HOP)

        assert codes.shape == (2, 4, num_frames)
        assert codes.dtype == torch.int64
        assert int(codes.min()) >= 0 and int(codes.max()) < 16

        assert codec.decode(codes).shape == (2, 1, num_frames * HOP)

    def test_encode_and_decode_are_deterministic(self) -> None:
        codec = tiny_codec()

        wave = 0.3 * torch.randn(1, 1, 20_000)

        codes = codec.encode(wave)

        assert torch.equal(codes, codec.encode(wave))
        assert torch.equal(codec.decode(codes), codec.decode(codes))

    def test_a_padded_batch_gives_the_codes_of_single_waves(self) -> None:
        codec = demo_codec()

        waves = [say("la mujer alta compra un libro"), say("no", 1), say("nosotros vamos a la playa mañana", 2)]

        batch = torch.zeros(3, 1, max(wave.size(0) for wave in waves))

        for row, wave in zip(batch, waves, strict=True):
            row[0, : wave.size(0)] = wave

        batch_codes = codec.encode(batch)

        for row_codes, wave in zip(batch_codes, waves, strict=True):
            codes = codec.encode(wave[None, None])[0]

            same = codes == row_codes[:, : codes.size(1)]

            # A tie that rounds to the other side is possible, a frame that hears the padding is not.
            assert same.float().mean() > 0.995

    def test_the_first_streams_are_the_codes_of_the_whole(self) -> None:
        codec = tiny_codec()

        wave = 0.3 * torch.randn(1, 1, 20_000)

        codes = codec.encode(wave)

        codec.use_streams(2)

        assert torch.equal(codec.encode(wave), codes[:, :2])

    def test_forward_equals_encode_then_decode(self) -> None:
        codec = tiny_codec()

        # With silence at the end, zero padding inside the network and real silence differ only there.
        wave = 0.3 * torch.randn(2, 30 * HOP)

        output = codec(wave)

        codes = codec.encode(wave.unsqueeze(1))

        context = codec.config.encoder_context

        assert output.codes is not None
        assert torch.equal(output.codes.transpose(1, 2)[..., :-context], codes[..., :-context])

        assert_close(codec.decode(output.codes.transpose(1, 2)).squeeze(1), output.wave)

    def test_forward_gives_every_parameter_a_gradient(self) -> None:
        codec = tiny_codec().train()

        output = codec(0.3 * torch.randn(2, 10 * HOP))

        (output.wave.square().mean() + output.commitment_loss).backward()

        for name, parameter in codec.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.any()), name

    def test_published_weights_load_again(self) -> None:
        codec = tiny_codec()

        state_dict = publish_state_dict(codec.state_dict())

        assert all(value.dtype == torch.float16 for value in state_dict.values())

        other = MelCodec(codec.config)

        converted = convert_melcodec_state_dict(dict(state_dict), codec.config)

        other.load_state_dict(converted)  # type: ignore[arg-type]

        assert other.quantizer.has_codebooks

        assert_close(other.quantizer.codebooks, codec.quantizer.codebooks, rtol=1e-3, atol=1e-4)
        assert_close(other.quantizer.totals / other.quantizer.usage[..., None], other.quantizer.codebooks)


class TestDemoCodec:
    def test_card_loads(self) -> None:
        codec = demo_codec()

        assert codec.spec.codebook_sizes == (512,) * 8
        assert codec.spec.frame_rate == 25.0
        assert not codec.training
        assert codec.fingerprint.name == "codec_s2st_demo_codec"
        assert next(codec.parameters()).dtype == torch.float32

    @pytest.mark.parametrize(("held_out", "threshold"), [(False, 0.88), (True, 0.82)])
    def test_speech_stays_intelligible(self, held_out: bool, threshold: float) -> None:
        stoi = pytest.importorskip("pystoi").stoi

        codec = demo_codec()

        scores: dict[int, list[float]] = {2: [], 8: []}

        for idx, text in enumerate(["la profesora lee una carta en el jardín", "dónde está la llave de mi hermana"]):
            wave = say(text, idx, held_out=held_out)

            codes = codec.encode(wave[None, None])

            for num_streams, values in scores.items():
                decoded = codec.decode(codes[:, :num_streams])[0, 0, : wave.size(0)]

                values.append(stoi(wave.numpy(), decoded.numpy(), 16_000))

        assert np.mean(scores[8]) > threshold
        # A random wave scores about 0.
        assert np.mean(scores[2]) > threshold - 0.1

    def test_all_code_books_are_in_use(self) -> None:
        codec = demo_codec()

        texts = ["la mujer alta compra un libro verde", "qué come el perro de tu abuela", "mañana vamos a la playa"]

        codes = torch.cat([codec.encode(say(text, i)[None, None])[0] for i, text in enumerate(texts * 3)], dim=1)

        for level_codes in codes:
            assert level_codes.unique().numel() > 40

    def test_quiet_speech_stays_intelligible(self) -> None:
        stoi = pytest.importorskip("pystoi").stoi

        codec = demo_codec()

        wave = 0.5 * say("la profesora lee una carta en el jardín")

        decoded = codec.decode(codec.encode(wave[None, None]))[0, 0, : wave.size(0)]

        assert stoi(wave.numpy(), decoded.numpy(), 16_000) > 0.85
        assert 0.6 < float(decoded.square().mean() / wave.square().mean()) < 1.6


def slow_encode(quantizer: ResidualQuantizer, row: Tensor) -> list[int]:
    codes = []

    for codebook in quantizer.codebooks:
        distances = [float((row - code).square().sum()) for code in codebook]

        codes.append(int(np.argmin(distances)))

        row = row - codebook[codes[-1]]

    return codes


class TestResidualQuantizer:
    def test_encode_and_decode_equal_a_slow_loop(self) -> None:
        quantizer = ResidualQuantizer(num_levels=3, num_codes=11, latent_dim=5)

        seqs = torch.randn(2, 7, 5)

        codes = quantizer.encode(seqs, 3)

        decoded = quantizer.decode(codes)

        for b in range(2):
            for t in range(7):
                assert codes[b, t].tolist() == slow_encode(quantizer, seqs[b, t])

                expected = sum(quantizer.codebooks[q, codes[b, t, q]] for q in range(3))

                assert_close(decoded[b, t], expected)

    def test_forward_moves_the_codebooks_by_running_means(self) -> None:
        quantizer = ResidualQuantizer(num_levels=1, num_codes=2, latent_dim=1, decay=0.5, dead_usage=0.0)

        quantizer.codebooks.copy_(torch.tensor([[[-1.0], [1.0]]]))
        quantizer.usage.fill_(1.0)
        quantizer.totals.copy_(quantizer.codebooks)

        quantizer.train()(torch.tensor([[[-3.0], [-1.0], [2.0]]]))

        # usage: (1 + 2) / 2 and (1 + 1) / 2; totals: (-1 - 4) / 2 and (1 + 2) / 2.
        assert_close(quantizer.usage[0], torch.tensor([1.5, 1.0]))
        assert_close(quantizer.codebooks[0, :, 0], torch.tensor([-2.5 / 1.5, 1.5]))

    def test_forward_sets_the_codebooks_by_k_means(self) -> None:
        quantizer = ResidualQuantizer(num_levels=1, num_codes=3, latent_dim=2)

        centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])

        rows = (centres.repeat(50, 1) + 0.01 * torch.randn(150, 2)).unsqueeze(0)

        assert not quantizer.has_codebooks

        for _ in range(50):
            output = quantizer.train()(rows)

        # Whatever rows k-means drew first, dead codes are drawn anew until every cluster has its own.
        assert float(output.commitment_loss) < 0.01

    def test_dead_codes_are_drawn_from_the_batch(self) -> None:
        quantizer = ResidualQuantizer(num_levels=1, num_codes=2, latent_dim=1, decay=0.5, dead_usage=0.1)

        quantizer.codebooks.copy_(torch.tensor([[[0.0], [1e6]]]))
        quantizer.usage.fill_(1.0)
        quantizer.totals.copy_(quantizer.codebooks)

        for _ in range(8):
            quantizer.train()(torch.randn(1, 32, 1))

        assert float(quantizer.codebooks.abs().max()) < 10.0

    def test_eval_mode_leaves_the_codebooks_alone(self) -> None:
        quantizer = ResidualQuantizer(num_levels=2, num_codes=4, latent_dim=3).eval()

        before = {name: value.clone() for name, value in quantizer.state_dict().items()}

        quantizer(torch.randn(2, 9, 3))

        for name, value in quantizer.state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_level_mask_leaves_levels_out(self) -> None:
        quantizer = ResidualQuantizer(num_levels=3, num_codes=8, latent_dim=4).eval()

        seqs = torch.randn(2, 5, 4)

        output = quantizer(seqs, torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))

        assert_close(output.quantized[0], quantizer.decode(output.codes[:1, :, :1])[0])
        assert_close(output.quantized[1], quantizer.decode(output.codes[1:])[0])

    def test_gradients_pass_straight_through(self) -> None:
        quantizer = ResidualQuantizer(num_levels=2, num_codes=8, latent_dim=4).eval()

        seqs = torch.randn(1, 5, 4, requires_grad=True)

        weight = torch.randn(1, 5, 4)

        (quantizer(seqs).quantized * weight).sum().backward()

        assert_close(seqs.grad, weight)


class TestSpectrum:
    def test_frames_are_centred_on_the_hops(self) -> None:
        wave = torch.arange(1.0, 9.0).unsqueeze(0)

        frames = frame_wave(wave, 4, 2)

        assert frames.tolist() == [[[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 0]]]

    def test_mel_filters_hear_their_own_tone(self) -> None:
        filters = mel_filters(20, 512, 16_000)

        assert_close(filters.sum(dim=0), torch.ones(20))

        centres = filters.argmax(dim=0)

        assert bool((centres[1:] > centres[:-1]).all())

    def test_istft_head_inverts_the_transform(self) -> None:
        head = ISTFTHead(8, size=640, hop=160)

        wave = torch.randn(2, 3200)

        spectra = torch.fft.rfft(frame_wave(wave, 640, 160) * head.window)

        # The head's projection is by-passed: its output is what the spectra say.
        head.proj = torch.nn.Identity()  # type: ignore[assignment]

        output = head(torch.cat((spectra.abs().clamp_min(1e-20).log(), spectra.angle()), dim=-1))

        # The first and the last windows have lost what lies beyond the ends.
        assert_close(output, wave, rtol=1e-4, atol=1e-4)

    def test_log_mel_resets_its_constants(self) -> None:
        log_mel = LogMel(size=640, hop=160, num_mels=40, sample_rate=16_000)

        wave = torch.randn(1, 1600)

        expected = log_mel(wave)

        log_mel.window.zero_()
        log_mel.filters.zero_()

        log_mel.reset_non_persistent_buffers()

        assert torch.equal(log_mel(wave), expected)
        assert not log_mel.state_dict()


class TestSpectralLoss:
    def test_loss_is_zero_for_equal_waves_and_deaf_to_sign(self) -> None:
        criterion = SpectralLoss(sample_rate=16_000)

        wave = torch.randn(2, 4000)

        assert float(criterion(wave, wave)) == 0.0
        assert float(criterion(-wave, wave)) < 1e-5
        assert float(criterion(0.5 * wave, wave)) > 0.1


class TestMelCodecConfig:
    def test_encoder_context_covers_what_a_frame_sees(self) -> None:
        codec = tiny_codec()

        context = codec.config.encoder_context

        wave = torch.zeros(1, 40 * HOP)

        changed = wave.clone()
        changed[:, 20 * HOP : 21 * HOP] = 1.0

        differs = (codec.encoder(wave) != codec.encoder(changed)).any(-1)[0]

        frames = differs.nonzero().flatten().tolist()

        assert 20 - context <= frames[0] < 20 < frames[-1] <= 20 + context

    def test_shape_follows_the_configuration(self) -> None:
        config = MelCodecConfig(hop_length=320, num_codebooks=2, codebook_size=7, encoder_dim=16, decoder_dim=16)

        codec = MelCodec(config).eval()

        codes = codec.encode(torch.randn(1, 1, 1000))

        assert codes.shape == (1, 2, 4)
        assert codec.decode(codes).shape == (1, 1, 1280)
