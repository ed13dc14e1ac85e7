from __future__ import annotations

import pytest

pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")

from codec_s2st.demo.espeak import LARGE_TARGET_VOICES, SAMPLE_RATE, synthesise
from codec_s2st.demo.grammar import DEMO, WORLDS
from codec_s2st.recipes.evaluate.listeners import LISTENERS


def test_there_are_listeners_of_every_world() -> None:
    ends = ["" if world == DEMO else f"-{world}" for world in WORLDS]

    assert set(LISTENERS) == {f"{kind}{end}" for kind in ("open", "constrained") for end in ends}


def test_a_sentence_is_understood_by_the_listener_of_its_world() -> None:
    text = "the train leaves at half past three"

    wave = synthesise(text, LARGE_TARGET_VOICES[0])

    heard = {
        name: LISTENERS[name]().transcribe(wave, SAMPLE_RATE, "eng") for name in ("constrained", "constrained-large")
    }

    assert heard["constrained-large"] == text != heard["constrained"]

    assert LISTENERS["constrained-large"]().name.startswith("constrained-large (pocketsphinx ")
