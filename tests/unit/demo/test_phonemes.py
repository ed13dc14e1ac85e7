from __future__ import annotations

import pytest

from codec_s2st.data.alignment import TimedSpan
from codec_s2st.demo.espeak import LARGE_TARGET_VOICES, SOURCE_VOICES, synthesise_timed
from codec_s2st.demo.grammar import sample_pairs
from codec_s2st.demo.phonemes import NUM_PHONEMES, SILENCE, number_phonemes

pytest.importorskip("espeakng_loader")


def test_stress_does_not_make_another_phoneme_and_pauses_are_silence() -> None:
    spans = [TimedSpan("a", 0.0, 0.1), TimedSpan("'a", 0.1, 0.2), TimedSpan("_:", 0.2, 0.3), TimedSpan("tS", 0.3, 0.4)]

    begins, numbers = number_phonemes(spans)

    assert begins.tolist() == [0, 1600, 3200, 4800]
    assert numbers[0] == numbers[1] != SILENCE
    assert numbers[2] == SILENCE
    assert numbers[3] not in (SILENCE, numbers[0])


@pytest.mark.parametrize("world", ["demo", "large"])
def test_all_that_is_said_in_a_world_has_a_number(world: str) -> None:
    for pair in sample_pairs("valid", 60, seed=1, world=world):
        for text, voice in ((pair.spa, SOURCE_VOICES[0]), (pair.eng, LARGE_TARGET_VOICES[0])):
            spans = synthesise_timed(text, voice).phonemes

            _, numbers = number_phonemes(spans)

            assert numbers.max() < NUM_PHONEMES

            assert not [
                span.text
                for span, number in zip(spans, numbers, strict=True)
                if number == SILENCE and not span.text.startswith("_")
            ]
