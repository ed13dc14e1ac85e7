from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")

from codec_s2st.demo.espeak import TARGET_VOICES, synthesise
from codec_s2st.demo.grammar import english_automaton, sample_pairs
from codec_s2st.demo.language_model import arpa_lines
from codec_s2st.demo.listener import ConstrainedListener, OpenListener
from codec_s2st.demo.utterances import iter_demo_utterances
from codec_s2st.errors import UserInputError


@pytest.fixture(scope="module")
def spoken() -> list[tuple[str, np.ndarray]]:
    return [(u.pair.eng, u.target) for u in iter_demo_utterances("test", 25, seed=21)]


def _wer(references: list[str], hypotheses: list[str]) -> float:
    import jiwer

    return float(jiwer.wer(references, hypotheses))


def test_constrained_listener_understands(spoken: list[tuple[str, np.ndarray]]) -> None:
    listener = ConstrainedListener()

    heard = [listener.transcribe(wave, 16_000) for _, wave in spoken]

    # The beginning of a sentence is heard where the end is not understood.
    assert sum(english_automaton().accepts(text) for text in heard) >= 23

    assert _wer([text for text, _ in spoken], heard) < 0.06

    assert _fresh(ConstrainedListener, spoken) == heard[:8]


@pytest.mark.parametrize(("order", "limit"), [(1, 0.4), (2, 0.12)])
def test_open_listener_understands(spoken: list[tuple[str, np.ndarray]], order: int, limit: float) -> None:
    listener = OpenListener(order=order)

    heard = [listener.transcribe(wave, 16_000) for _, wave in spoken]

    assert _wer([text for text, _ in spoken], heard) < limit

    assert _fresh(lambda: OpenListener(order=order), spoken) == heard[:8]


def _fresh(make: Callable[[], ConstrainedListener | OpenListener], spoken: list[tuple[str, np.ndarray]]) -> list[str]:
    """Returns what a listener hears that has heard something else before: it must not matter."""
    listener = make()

    listener.transcribe(spoken[20][1], 16_000)

    return [listener.transcribe(wave, 16_000) for _, wave in spoken[7::-1]][::-1]


def test_open_listener_hears_what_the_grammar_does_not_allow() -> None:
    wave = synthesise("seven hospital because kitchen", TARGET_VOICES[0], speed_wpm=150)

    assert OpenListener().transcribe(wave, 16_000) == "seven hospital because kitchen"
    assert ConstrainedListener().transcribe(wave, 16_000) != "seven hospital because kitchen"


def test_other_sample_rates_are_resampled() -> None:
    import torch
    import torchaudio

    pair = sample_pairs("test", 3, seed=22)[0]

    wave = torch.from_numpy(synthesise(pair.eng, TARGET_VOICES[0]))

    faster = torchaudio.functional.resample(wave, 16_000, 24_000).numpy()

    assert ConstrainedListener().transcribe(faster, 24_000) == ConstrainedListener().transcribe(wave.numpy(), 16_000)


def test_nothing_is_heard_in_nothing() -> None:
    listener = OpenListener()

    assert listener.transcribe(np.zeros(0, np.float32), 16_000) == ""
    assert listener.transcribe(np.zeros(8_000, np.float32), 16_000) == ""


@pytest.mark.parametrize("wave", [np.zeros((1, 100), np.float32), np.array([0.0, np.nan], np.float32)])
def test_bad_waves_are_refused(wave: np.ndarray) -> None:
    with pytest.raises(UserInputError, match="one row of finite samples"):
        OpenListener().transcribe(wave, 16_000)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)

    with pytest.raises(UserInputError, match=r"codec-s2st\[demo\]"):
        ConstrainedListener()


@pytest.mark.parametrize("order", [1, 2])
def test_language_model_sums_to_one(order: int) -> None:
    words = ["a", "b", "c"]

    text = "".join(arpa_lines(["a b", "a b c", "a a"], words, order=order))

    first_part, _, second_part = text.partition("\\2-grams:")

    def entries(part: str) -> list[list[str]]:
        return [line.split() for line in part.splitlines() if len(line.split()) == 3]

    unigrams = {word: (float(value), float(weight)) for value, word, weight in entries(first_part)}
    bigrams = {(first, second): float(value) for value, first, second in entries(second_part)}

    assert bool(bigrams) == (order == 2)

    def probability(first: str, second: str) -> float:
        if (first, second) in bigrams:
            return float(10 ** bigrams[first, second])

        return float(10 ** (unigrams[first][1] + unigrams[second][0]))

    for first in ("<s>", *words):
        assert sum(probability(first, second) for second in (*words, "</s>")) == pytest.approx(1.0, abs=2e-3)


def test_language_model_refuses_unknown_words() -> None:
    with pytest.raises(ValueError, match="not in the vocabulary"):
        list(arpa_lines(["a d"], ["a"], order=2))
