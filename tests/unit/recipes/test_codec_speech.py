from __future__ import annotations

import pytest
import torch

from codec_s2st.recipes.codec.data import ClipReader, CropReader, PhonemeGrid
from codec_s2st.recipes.codec.speech import PhonemeTrack, SpeechClip, demo_speech

HOP = 640


def clip(num_samples: int, seed: int) -> SpeechClip:
    """Speech whose samples are its phonemes."""
    generator = torch.Generator().manual_seed(seed)

    begins = torch.sort(torch.randperm(num_samples, generator=generator)[:20]).values

    numbers = torch.randint(1, 9, (20,), generator=generator)

    wave = torch.zeros(num_samples)

    for begin, number in zip(begins.tolist(), numbers.tolist(), strict=True):
        wave[begin:] = number

    return SpeechClip(wave, PhonemeTrack(begins, numbers))


def test_track_tells_what_is_said_at_each_sample() -> None:
    speech = clip(3_000, seed=1)

    assert speech.phonemes is not None

    assert torch.equal(speech.phonemes.at(torch.arange(3_000)), speech.wave.long())
    assert speech.phonemes.at(torch.tensor([-500, -1])).tolist() == [0, 0]


@pytest.mark.parametrize("per_frame", [1, 2, 5])
def test_batches_say_what_is_heard_in_their_crops(per_frame: int) -> None:
    clips = [clip(num_samples, seed) for seed, num_samples in enumerate((4_000, 9_999, 30_000))]

    reader = CropReader(
        clips,
        batch_size=8,
        crop_size=10 * HOP,
        silence_size=1_000,
        seed=3,
        rank=0,
        grid=PhonemeGrid(hop_length=HOP, per_frame=per_frame),
    )

    for _ in range(5):
        (batch,) = next(reader)

        assert batch.phonemes is not None and batch.phonemes.shape == (8, 10 * per_frame)

        for wave, phonemes in zip(batch.wave, batch.phonemes, strict=True):
            # Half of the crops are louder or less loud.
            heard = wave[[int((i + 0.5) * HOP / per_frame) for i in range(10 * per_frame)]]

            loudest = int(heard.argmax())

            # Nothing but the silence after the last phoneme, which the track does not know of, differs.
            gain = heard[loudest] / phonemes[loudest] if heard[loudest] > 0 else 1.0

            is_said = heard > 0

            assert torch.allclose(heard[is_said], gain * phonemes[is_said], atol=1e-4)


def test_clips_are_labelled_whole() -> None:
    speech = clip(5_000, seed=2)

    ((batch,),) = list(ClipReader([speech], hop_length=HOP, grid=PhonemeGrid(hop_length=HOP, per_frame=2)))

    assert batch.wave.shape == (1, 8 * HOP)

    assert batch.phonemes is not None

    assert batch.phonemes[0].tolist()[:15] == [int(speech.wave[160 + 320 * i]) for i in range(15)]


def test_speech_of_a_world_comes_with_its_phonemes(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("espeakng_loader")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    one, again = (demo_speech(3, 2, world="large", seed=1) for _ in range(2))

    assert len(one.train) == 6 and {name: len(clips) for name, clips in one.valid.items()} == {
        "valid": 4,
        "unseen_voice": 2,
    }

    for left, right in zip(one.train, again.train, strict=True):
        assert torch.equal(left.wave, right.wave)

        assert left.phonemes is not None and right.phonemes is not None

        assert torch.equal(left.phonemes.numbers, right.phonemes.numbers)

        assert int(left.phonemes.begins[-1]) < left.wave.size(0)
