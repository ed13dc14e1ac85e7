"""Which stretch of an utterance says which words, and texts in which speech and writing take turns.

Legend: T codec frame, K span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from random import Random
from typing import Final, TypeAlias

from codec_s2st.errors import UserInputError

_UNSPACED: Final = frozenset({"cmn", "yue", "jpn", "tha", "lao", "khm", "mya"})
"""Languages that are written without blanks between words."""


@dataclass(frozen=True, slots=True)
class TimedSpan:
    """A word or a phrase and when it is said, as manifests have it."""

    text: str

    start: float
    end: float
    """In seconds from the begin of the recording."""


@dataclass(frozen=True, slots=True)
class AlignedSpan:
    """A word or a phrase and the codec frames ``begin`` to ``end`` that say it, as token shards have it."""

    text: str

    begin: int
    end: int


Alignment: TypeAlias = tuple[AlignedSpan, ...]


def to_frames(
    spans: Sequence[TimedSpan], frame_rate: float, num_frames: int, *, trimmed: tuple[float, float] = (0.0, 0.0)
) -> Alignment:
    """Returns the frames of ``spans``; times are rounded to the nearest boundary of a frame.

    :param frame_rate: Frames a second.
    :param num_frames: The number of frames of the utterance; what lies outside is cut.
    :param trimmed: The seconds that were cut off at begin and end of the recording.

    :raises UserInputError: there is no span, one has no text, times run backwards, or one is behind the recording.
    """
    if not spans:
        raise UserInputError("holds no span; an alignment that is not known is null")

    last, seconds = 0.0, num_frames / frame_rate + sum(trimmed)

    output = []

    for i, span in enumerate(spans):
        if not span.text.strip():
            raise UserInputError(f"span {i} has no text")

        # Not-a-number is not in order either.
        if not last <= span.start <= span.end:
            raise UserInputError(f"span {i} ('{span.text}') is said from {span.start} to {span.end} s, after {last} s")

        if span.start > seconds:
            raise UserInputError(f"span {i} ('{span.text}') begins at {span.start} s, but there are {seconds:.2f} s")

        last = span.start

        begin, end = (
            min(max(round((time - trimmed[0]) * frame_rate), 0), num_frames) for time in (span.start, span.end)
        )

        output.append(AlignedSpan(span.text, begin, end))

    return tuple(output)


def parse_spans(spans: Sequence[Mapping[str, object]] | None) -> tuple[TimedSpan, ...] | None:
    """Returns the spans of a manifest's row, which are mappings with the keys ``text``, ``start`` and ``end``."""
    if spans is None:
        return None

    return tuple(
        TimedSpan(str(span["text"] or ""), *(_number(span[key]) for key in ("start", "end"))) for span in spans
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def cut_points(alignment: Alignment, num_frames: int) -> list[int]:
    """Returns where the frames of an utterance part so that each belongs to one span: in the middle of pauses.

    :returns: K + 1 frames, 0 to T, which never decrease.
    """
    middles = ((a.end + b.begin) // 2 for a, b in pairwise(alignment))

    # A span that lies within the one before it has no frames left.
    return [0, *accumulate(middles, max), num_frames]


def take_turns(
    alignment: Alignment, num_frames: int, lang: str | None, spans: tuple[int, int], rng: Random
) -> Iterator[str | range]:
    """Yields an utterance from begin to end, in turn as text and as a range of frames; chance decides which is first.

    :param spans: The least and the largest number of spans until the other takes over; chance decides here too. Speech
        goes on until it has a frame.
    """
    cuts = cut_points(alignment, num_frames)

    is_speech = rng.random() < 0.5

    begin = 0

    while begin < len(alignment):
        end = begin + spans[0] + int(rng.random() * (spans[1] - spans[0] + 1))

        # The first leaves something to the other.
        end = min(end, max(len(alignment) - (begin == 0), 1))

        while is_speech and cuts[begin] == cuts[end] and end < len(alignment):
            end += 1

        if is_speech and cuts[begin] < cuts[end]:
            yield range(cuts[begin], cuts[end])
        else:
            yield join_texts([span.text for span in alignment[begin:end]], lang)

        is_speech = not is_speech

        begin = end


def join_texts(texts: Sequence[str], lang: str | None) -> str:
    """Returns words or phrases as one text: with blanks between them, unless the language is written without."""
    return ("" if lang in _UNSPACED else " ").join(text.strip() for text in texts)
