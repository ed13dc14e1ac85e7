"""Pairs of the demo world with their speech, in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from typing import Final

from codec_s2st.data.alignment import TimedSpan
from codec_s2st.demo.espeak import (
    HELD_OUT_VOICES,
    LARGE_TARGET_VOICES,
    SOURCE_VOICES,
    TARGET_VOICES,
    Voice,
    synthesise_words,
)
from codec_s2st.demo.grammar import DEMO, Pair, sample_pairs
from codec_s2st.demo.signal import Wave

# The source varies, the target's voice follows from the source's: the model learns what is said.
_SOURCE_SPEEDS: Final = (165, 230)
_SOURCE_PITCHES: Final = (30, 70)
_SOURCE_RANGES: Final = (30, 70)

TARGET_SPEED: Final = 180

_TARGET_VOICES: Final = {"small": TARGET_VOICES[:1], "demo": TARGET_VOICES[:1], "large": LARGE_TARGET_VOICES}


@dataclass(frozen=True, kw_only=True)
class DemoUtterance:
    """A pair and its speech at 16 kHz."""

    pair: Pair

    source: Wave
    """Spanish; *shape* [N]."""

    target: Wave
    """English; *shape* [M]."""

    source_speaker: str

    target_speaker: str

    source_words: tuple[TimedSpan, ...]

    target_words: tuple[TimedSpan, ...]
    """When the words are said."""


def iter_demo_utterances(
    split: str, num: int, seed: int, *, world: str = DEMO, jobs: int = 1
) -> Iterator[DemoUtterance]:
    """Yields ``num`` pairs of ``split`` with their speech, in the order of :func:`sample_pairs`.

    :param world: The world's name.
    :param jobs: How many utterances are synthesised at once; what is yielded does not depend on it.

    :raises UserInputError: As for :func:`sample_pairs`, or the wheel ``espeakng-loader`` is missing.
    """
    pairs = sample_pairs(split, num, seed, world=world)

    if jobs == 1:
        for pair in pairs:
            yield speak(pair, split, seed, world=world)

        return

    # Threads will do: the work is done by espeak-ng's own processes.
    with ThreadPoolExecutor(jobs) as pool:
        pending: deque[Future[DemoUtterance]] = deque()

        try:
            for pair in pairs:
                pending.append(pool.submit(speak, pair, split, seed, world=world))

                # Not all at once: a long corpus does not fit into memory.
                if len(pending) > 4 * jobs:
                    yield pending.popleft().result()

            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def speak(pair: Pair, split: str, seed: int, *, world: str = DEMO) -> DemoUtterance:
    """Synthesises ``pair``; voices, speed and melody depend on the arguments alone."""
    rng = Random(int.from_bytes(sha256(f"{split}/{seed}/{pair.id}".encode()).digest()[:8], "big"))

    def between(bounds: tuple[int, int]) -> int:
        return bounds[0] + int(rng.random() * (bounds[1] - bounds[0] + 1))

    voices = HELD_OUT_VOICES if split == "test-unseen-voice" else SOURCE_VOICES

    source_voice = voices[int(rng.random() * len(voices))]

    source, source_words = synthesise_words(
        pair.spoken(pair.spa),
        source_voice,
        speed_wpm=between(_SOURCE_SPEEDS),
        pitch=between(_SOURCE_PITCHES),
        pitch_range=between(_SOURCE_RANGES),
        seed=between((0, 2**30)),
    )

    target_voice = target_voice_of(source_voice, world)

    target, target_words = synthesise_words(pair.spoken(pair.eng), target_voice, speed_wpm=TARGET_SPEED)

    return DemoUtterance(
        pair=pair,
        source=source,
        target=target,
        source_speaker=source_voice.name,
        target_speaker=target_voice.name,
        source_words=_written(source_words),
        target_words=_written(target_words),
    )


def target_voice_of(source: Voice, world: str) -> Voice:
    """Returns the voice that translations of ``source`` are spoken in: each has its own, a woman's has a woman's.

    Could any voice follow any, a model would have to guess what cannot be known.
    """
    voices = _TARGET_VOICES[world]

    fitting = [voice for voice in voices if voice.is_female == source.is_female] or voices

    return fitting[(*SOURCE_VOICES, *HELD_OUT_VOICES).index(source) % len(fitting)]


def _written(words: tuple[TimedSpan, ...]) -> tuple[TimedSpan, ...]:
    """Returns words as they stand in a pair's text, which has no punctuation."""
    return tuple(replace(word, text=word.text.rstrip("?")) for word in words)
