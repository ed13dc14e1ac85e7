from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from fairseq2.device import CPU
from torch import Tensor
from torch.testing import assert_close

from codec_s2st.codecs import load_codec
from codec_s2st.codecs.melcodec.config import MelCodecConfig
from codec_s2st.codecs.melcodec.hub import convert_melcodec_state_dict, get_melcodec_hub, publish_state_dict
from codec_s2st.codecs.melcodec.model import MelCodec

HOP = 640


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(7)

        yield


def tiny_codec(*, phonetic: bool = False) -> MelCodec:
    hub = get_melcodec_hub()

    config = hub.get_arch_config("tiny")

    if phonetic:
        config = replace(config, phonetic_codebook_size=12, num_phonemes=5)

    codec = hub.create_new_model(config, device=CPU)

    codec.init_codebooks(0.3 * torch.randn(4, 25 * HOP))

    return codec.eval()


@pytest.fixture(params=[False, True], ids=["plain", "phonetic"])
def codec(request: pytest.FixtureRequest) -> MelCodec:
    return tiny_codec(phonetic=request.param)


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
    def test_encode_returns_one_frame_a_hop(self, codec: MelCodec, num_samples: int) -> None:
        codes = codec.encode(0.3 * torch.randn(2, 1, num_samples))

        num_frames = -(-num_samples // HOP)

        assert codes.shape == (2, 4, num_frames)
        assert codes.dtype == torch.int64
        assert int(codes.min()) >= 0 and int(codes.max()) < 16

        assert codec.decode(codes).shape == (2, 1, num_frames * HOP)

    def test_encode_and_decode_are_deterministic(self, codec: MelCodec) -> None:
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

    def test_the_first_streams_are_the_codes_of_the_whole(self, codec: MelCodec) -> None:
        wave = 0.3 * torch.randn(1, 1, 20_000)

        codes = codec.encode(wave)

        codec.use_streams(2)

        assert torch.equal(codec.encode(wave), codes[:, :2])

    def test_forward_equals_encode_then_decode(self, codec: MelCodec) -> None:
        # With silence at the end, zero padding inside the network and real silence differ only there.
        wave = 0.3 * torch.randn(2, 30 * HOP)

        output = codec(wave)

        codes = codec.encode(wave.unsqueeze(1))

        context = codec.config.encoder_context

        assert output.codes is not None
        assert torch.equal(output.codes.transpose(1, 2)[..., :-context], codes[..., :-context])

        assert_close(codec.decode(output.codes.transpose(1, 2)).squeeze(1), output.wave)

    def test_forward_gives_every_parameter_a_gradient(self, codec: MelCodec) -> None:
        codec = codec.train()

        output = codec(0.3 * torch.randn(2, 10 * HOP))

        loss = output.wave.square().mean() + output.commitment_loss

        if output.phoneme_logits is not None:
            loss = loss + output.phoneme_logits.logsumexp(-1).mean()

        loss.backward()

        for name, parameter in codec.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.any()), name

    def test_published_weights_load_again(self, codec: MelCodec) -> None:
        state_dict = publish_state_dict(codec.state_dict())

        assert all(value.dtype == torch.float16 for value in state_dict.values())

        other = MelCodec(codec.config)

        converted = convert_melcodec_state_dict(dict(state_dict), codec.config)

        other.load_state_dict(converted)  # type: ignore[arg-type]

        assert other.has_codebooks

        for name in ("quantizer", "phonetic_quantizer"):
            loaded, quantizer = getattr(other, name), getattr(codec, name)

            if quantizer is None:
                assert loaded is None

                continue

            assert_close(loaded.codebooks, quantizer.codebooks, rtol=1e-3, atol=1e-4)
            assert_close(loaded.totals / loaded.usage[..., None], loaded.codebooks)


class TestPhoneticLevel:
    def test_is_a_code_book_of_its_own_size(self) -> None:
        codec = tiny_codec(phonetic=True)

        assert codec.spec.codebook_sizes == (12, 16, 16, 16)

        codes = codec.encode(0.3 * torch.randn(2, 1, 200 * HOP))

        assert int(codes[:, 0].max()) < 12 <= int(codes[:, 1:].max())

    def test_tells_two_phonemes_a_frame(self) -> None:
        codec = tiny_codec(phonetic=True)

        wave = 0.3 * torch.randn(2, 30 * HOP)

        logits = codec(wave).phoneme_logits

        assert logits.shape == (2, 60, 5)

        codes = codec.encode(wave.unsqueeze(1))

        context = 2 * codec.config.encoder_context

        assert torch.equal(codec.phonemes(codes)[:, :-context], logits.argmax(-1)[:, :-context])

        # Nothing but the first level decides.
        codes[:, 1:] = 0

        assert torch.equal(codec.phonemes(codes)[:, :-context], logits.argmax(-1)[:, :-context])

        assert codec(wave, quantize=False).phoneme_logits.shape == (2, 60, 5)

    def test_always_takes_part(self) -> None:
        codec = tiny_codec(phonetic=True)

        wave = 0.3 * torch.randn(2, 30 * HOP)

        codes = codec(wave).codes.transpose(1, 2)

        for num_levels in (1, 2, 4):
            level_mask = (torch.arange(4) < num_levels).float().expand(2, 4)

            assert_close(codec(wave, level_mask=level_mask).wave, codec.decode(codes[:, :num_levels]).squeeze(1))

    def test_knows_the_phonemes_of_the_demo_world(self) -> None:
        phonemes = pytest.importorskip("codec_s2st.demo.phonemes")

        assert get_melcodec_hub().get_arch_config("phonetic").num_phonemes == phonemes.NUM_PHONEMES


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


class TestMelCodecConfig:
    def test_encoder_context_covers_what_a_frame_sees(self) -> None:
        codec = tiny_codec()

        context = codec.config.encoder_context

        wave = torch.zeros(1, 40 * HOP)

        changed = wave.clone()
        changed[:, 20 * HOP : 21 * HOP] = 1.0

        differs = (codec.encoder(wave)[0] != codec.encoder(changed)[0]).any(-1)[0]

        frames = differs.nonzero().flatten().tolist()

        assert 20 - context <= frames[0] < 20 < frames[-1] <= 20 + context

    def test_shape_follows_the_configuration(self) -> None:
        config = MelCodecConfig(hop_length=320, num_codebooks=2, codebook_size=7, encoder_dim=16, decoder_dim=16)

        codec = MelCodec(config).eval()

        codes = codec.encode(torch.randn(1, 1, 1000))

        assert codes.shape == (1, 2, 4)
        assert codec.decode(codes).shape == (1, 1, 1280)
