from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from codec_s2st.codecs.melcodec.loss import SpectralLoss
from codec_s2st.codecs.melcodec.quantizer import ResidualQuantizer
from codec_s2st.codecs.melcodec.spectrum import ISTFTHead, LogMel, frame_wave, mel_filters


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(7)

        yield


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
