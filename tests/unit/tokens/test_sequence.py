"""Sequences against a builder that appends one step at a time."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from codec_s2st.tokens.delay import StreamPattern, parse_pattern
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder
from codec_s2st.tokens.vocabulary import Vocabulary

VOCABULARY = Vocabulary(50, (9, 4, 6))

PATTERNS = ["parallel", "delay", "flatten", "delay:0,2,1", "delay:0,0,3"]

PAD = 50

Step = list[int]


def slow_build(pattern: str, segments: list[Segment]) -> tuple[list[Step], list[list[bool]]]:
    """Returns ids and loss mask [S, 3], written out for :data:`VOCABULARY`."""
    names = {"<speech>": 51, "</speech>": 52, "<text>": 53, "</text>": 54, "<flush>": 55}

    code_begins = [50 + 256, 50 + 256 + 9, 50 + 256 + 9 + 4]

    ids: list[Step] = []
    mask: list[list[bool]] = []

    def append(step: Step, in_loss: bool) -> None:
        ids.append(step)

        mask.append([in_loss and id_ != PAD for id_ in step])

    for segment in segments:
        if segment.modality is Modality.TAGS:
            for tag in segment.ids.tolist():
                append([tag, PAD, PAD], False)
        elif segment.modality is Modality.TEXT:
            append([names["<text>"], PAD, PAD], segment.in_loss)

            for id_ in segment.ids.tolist():
                append([id_, PAD, PAD], segment.in_loss)

            append([names["</text>"], PAD, PAD], segment.in_loss)
        else:
            append([names["<speech>"], PAD, PAD], segment.in_loss)

            frames = segment.ids.tolist()

            if pattern == "flatten":
                for frame in frames:
                    for stream in range(3):
                        step = [PAD, PAD, PAD]
                        step[stream] = code_begins[stream] + frame[stream]

                        append(step, segment.in_loss)
            else:
                delays = {
                    "parallel": [0, 0, 0],
                    "delay": [0, 1, 2],
                    "delay:0,2,1": [0, 2, 1],
                    "delay:0,0,3": [0, 0, 3],
                }[pattern]

                for when in range(len(frames) + max(delays) if frames else 0):
                    step = [PAD, PAD, PAD]

                    for stream in range(3):
                        frame_nr = when - delays[stream]

                        if 0 <= frame_nr < len(frames):
                            step[stream] = code_begins[stream] + frames[frame_nr][stream]

                    if when >= len(frames):
                        step[0] = names["<flush>"]

                    append(step, segment.in_loss)

            append([names["</speech>"], PAD, PAD], segment.in_loss)

    return ids, mask


def make_builder(name: str) -> SequenceBuilder:
    return SequenceBuilder(VOCABULARY, parse_pattern(name, 3))


def draw_segments(generator: random.Random) -> list[Segment]:
    segments = []

    for _ in range(generator.randrange(1, 6)):
        modality = generator.choice(list(Modality))

        length = generator.choice([0, 1, 2, 7])

        ids: Tensor

        if modality is Modality.TAGS:
            ids = torch.tensor([generator.choice([66, 73, 114, 115]) for _ in range(length)], dtype=torch.int64)
        elif modality is Modality.TEXT:
            ids = torch.tensor([generator.randrange(50) for _ in range(length)], dtype=torch.int64)
        else:
            dtype = generator.choice([torch.int16, torch.int32, torch.int64])

            codes = [[generator.randrange(size) for size in (9, 4, 6)] for _ in range(length)]

            ids = torch.tensor(codes, dtype=dtype).reshape(length, 3)

        segments.append(Segment(modality, ids, in_loss=generator.random() < 0.5))

    return segments


class TestSequenceBuilder:
    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_build_equals_the_slow_builder(self, pattern: str) -> None:
        builder = make_builder(pattern)

        generator = random.Random(pattern)

        for _ in range(100):
            segments = draw_segments(generator)

            ids, mask = slow_build(pattern, segments)

            sequence = builder.build(segments)

            assert sequence.ids.dtype == torch.int64

            assert sequence.loss_mask.dtype == torch.bool

            assert sequence.ids.tolist() == ids

            assert sequence.loss_mask.tolist() == mask

            assert len(sequence) == len(ids)

    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_codes_come_back(self, pattern: str) -> None:
        builder = make_builder(pattern)

        codes = torch.stack([torch.arange(8), torch.arange(8) % 4, torch.arange(8) % 6], dim=1)

        ids = builder.build([Segment(Modality.SPEECH, codes, in_loss=True)]).ids

        # Between the boundaries.
        reverted = builder.pattern.revert(ids[1:-1]) - torch.tensor(VOCABULARY.codebook_offsets())

        assert torch.equal(reverted, codes)

    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_every_id_is_legal_in_its_stream(self, pattern: str) -> None:
        builder = make_builder(pattern)

        generator = random.Random(1)

        for _ in range(20):
            ids = builder.build(draw_segments(generator)).ids

            assert bool((ids[:, 0] < VOCABULARY.stream0_size).all())

            for stream in (1, 2):
                begin = VOCABULARY.codebook_begin(stream)

                column = ids[:, stream]

                legal = (column == PAD) | ((column >= begin) & (column < begin + VOCABULARY.codebook_sizes[stream]))

                assert bool(legal.all())

    def test_opening_is_the_first_step_of_a_segment(self) -> None:
        builder = make_builder("delay")

        for modality, ids in ((Modality.TEXT, torch.tensor([1])), (Modality.SPEECH, torch.zeros(1, 3).long())):
            sequence = builder.build([Segment(modality, ids, in_loss=True)])

            assert torch.equal(builder.opening(modality), sequence.ids[:1])

    @pytest.mark.parametrize(
        ("modality", "ids"),
        [
            (Modality.TEXT, torch.tensor([50])),
            (Modality.TEXT, torch.tensor([-1])),
            (Modality.TAGS, torch.tensor([49])),
            (Modality.TAGS, torch.tensor([50 + 256])),
            (Modality.SPEECH, torch.tensor([[9, 0, 0]])),
            (Modality.SPEECH, torch.tensor([[0, 4, 0]])),
            (Modality.SPEECH, torch.tensor([[0, 0, -1]])),
            (Modality.SPEECH, torch.tensor([[0, 0]])),
            (Modality.SPEECH, torch.tensor([0, 0, 0])),
        ],
    )
    def test_build_raises_error_when_ids_are_out_of_range(self, modality: Modality, ids: Tensor) -> None:
        with pytest.raises(ValueError):
            make_builder("parallel").build([Segment(modality, ids, in_loss=True)])

    def test_build_raises_error_when_there_is_no_segment(self) -> None:
        with pytest.raises(ValueError, match="at least one segment"):
            make_builder("parallel").build([])

    def test_init_raises_error_when_pattern_has_other_streams(self) -> None:
        pattern: StreamPattern = parse_pattern("delay", 2)

        with pytest.raises(ValueError, match="2 streams"):
            SequenceBuilder(VOCABULARY, pattern)
