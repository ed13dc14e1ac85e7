from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from codec_s2st.data.alignment import AlignedSpan, TimedSpan, cut_points, join_texts, parse_spans, take_turns, to_frames
from codec_s2st.errors import UserInputError


def random_alignment(rng: Random, num_frames: int) -> tuple[AlignedSpan, ...]:
    """Returns 1 to 9 spans whose begins never decrease; they may have no frame, overlap, or lie in one another."""
    spans, begin = [], 0

    for i in range(rng.randint(1, 9)):
        begin = rng.randint(begin, min(num_frames, begin + 4))

        spans.append(AlignedSpan(f"w{i}", begin, rng.randint(begin, min(num_frames, begin + 6))))

    return tuple(spans)


class TestToFrames:
    def test_rounds_to_the_nearest_boundary_of_a_frame(self) -> None:
        spans = [TimedSpan("buenos", 0.03, 0.41), TimedSpan("días", 0.45, 0.9)]

        # 25 frames a second: boundaries at 0, 0.04, 0.08, ..
        assert to_frames(spans, 25.0, 30) == (AlignedSpan("buenos", 1, 10), AlignedSpan("días", 11, 22))

    def test_cuts_what_lies_outside(self) -> None:
        spans = [TimedSpan("a", 0.0, 0.5), TimedSpan("b", 0.5, 1.2)]

        assert to_frames(spans, 10.0, 7, trimmed=(0.2, 0.4)) == (AlignedSpan("a", 0, 3), AlignedSpan("b", 3, 7))

    @pytest.mark.parametrize(
        ("spans", "message"),
        [
            ([], "holds no span"),
            ([TimedSpan(" ", 0.0, 1.0)], "span 0 has no text"),
            ([TimedSpan("a", -0.1, 1.0)], r"span 0 \('a'\) is said from -0.1 to 1.0 s, after 0.0 s"),
            ([TimedSpan("a", 0.5, 0.4)], "said from 0.5 to 0.4 s"),
            ([TimedSpan("a", 0.5, 0.6), TimedSpan("b", 0.4, 0.6)], r"span 1 \('b'\).* after 0.5 s"),
            ([TimedSpan("a", float("nan"), 0.6)], "from nan"),
            ([TimedSpan("a", 1.21, 1.3)], r"span 0 \('a'\) begins at 1.21 s, but there are 1.20 s"),
        ],
    )
    def test_refuses_what_is_no_alignment(self, spans: list[TimedSpan], message: str) -> None:
        with pytest.raises(UserInputError, match=message):
            to_frames(spans, 25.0, 30)


def test_spans_of_a_manifest_are_read() -> None:
    assert parse_spans(None) is None

    spans = parse_spans([{"text": "a", "start": 0, "end": 0.5}, {"text": None, "start": None, "end": 1.0}])

    assert spans is not None and spans[0] == TimedSpan("a", 0.0, 0.5)

    # What is absent is refused with the row's name, later.
    assert spans[1].text == "" and spans[1].start != spans[1].start


class TestCutPoints:
    def test_part_pauses_and_overlaps_in_the_middle(self) -> None:
        alignment = (AlignedSpan("a", 2, 4), AlignedSpan("b", 8, 12), AlignedSpan("c", 10, 14))

        assert cut_points(alignment, 20) == [0, 6, 11, 20]

    @pytest.mark.parametrize("seed", range(50))
    def test_never_decrease(self, seed: int) -> None:
        rng = Random(seed)

        cuts = cut_points(random_alignment(rng, 12), 12)

        assert cuts[0] == 0 and cuts[-1] == 12 and sorted(cuts) == cuts


class TestTakeTurns:
    @pytest.mark.parametrize("seed", range(100))
    def test_every_span_is_written_or_spoken_once(self, seed: int) -> None:
        rng = Random(seed)

        num_frames = rng.randint(1, 15)

        alignment = random_alignment(rng, num_frames)

        cuts = cut_points(alignment, num_frames)

        least = rng.randint(1, 3)

        bounds = least, least + rng.randint(0, 3)

        # How many spans may have been told; spans without a frame leave it open.
        places = {0}

        for part in take_turns(alignment, num_frames, "spa", bounds, Random(seed)):
            if isinstance(part, str):
                texts = part.split()

                ends = {place + len(texts) for place in places}

                places = {end for end in ends if [span.text for span in alignment[end - len(texts) : end]] == texts}
            else:
                assert len(part) > 0

                starts = [place for place in places if cuts[place] == part.start]

                places = {end for start in starts for end in range(start + 1, len(cuts)) if cuts[end] == part.stop}

        assert len(alignment) in places

    def test_is_a_function_of_chance_alone(self) -> None:
        alignment = random_alignment(Random(3), 12)

        drawn = [tuple(take_turns(alignment, 12, None, (1, 3), Random(seed))) for seed in [*range(20), *range(20)]]

        assert drawn[:20] == drawn[20:] and len(set(drawn)) > 5

    def test_speech_and_text_take_turns(self) -> None:
        alignment = tuple(AlignedSpan(f"w{i}", i, i + 1) for i in range(9))

        firsts = set()

        for seed in range(20):
            parts = list(take_turns(alignment, 9, None, (2, 3), Random(seed)))

            kinds = [isinstance(part, str) for part in parts]

            assert all(a != b for a, b in pairwise(kinds))

            sizes = [len(part.split()) if isinstance(part, str) else len(part) for part in parts]

            assert set(sizes[:-1]) <= {2, 3} and sizes[-1] <= 3

            firsts.add(kinds[0])

        assert firsts == {True, False}

    def test_both_are_there_where_there_are_two_spans(self) -> None:
        alignment = (AlignedSpan("a", 0, 2), AlignedSpan("b", 2, 4))

        for seed in range(10):
            assert len(list(take_turns(alignment, 4, None, (5, 9), Random(seed)))) == 2

    def test_speech_goes_on_until_it_has_a_frame(self) -> None:
        alignment = (AlignedSpan("a", 0, 0), AlignedSpan("b", 0, 0), AlignedSpan("c", 0, 3), AlignedSpan("d", 3, 4))

        drawn = {tuple(take_turns(alignment, 4, None, (1, 1), Random(seed))) for seed in range(20)}

        assert drawn == {("a", range(0, 3), "d"), (range(0, 3), "d")}


@pytest.mark.parametrize(("lang", "text"), [("spa", "a b"), (None, "a b"), ("cmn", "ab"), ("jpn", "ab")])
def test_texts_are_joined_as_the_language_is_written(lang: str | None, text: str) -> None:
    assert join_texts([" a", "b "], lang) == text
