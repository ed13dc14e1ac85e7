"""Stream patterns against double loops, and against the mask of transformers' MusicGen."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from codec_s2st.tokens.delay import DelayPattern, FlattenPattern, StreamPattern, parse_pattern
from codec_s2st.tokens.units import Frames, Steps

FILLER = -7


def slow_steps(name: str, num_frames: int, num_streams: int, delays: list[int]) -> list[list[tuple[int, int] | None]]:
    """Says which (frame, stream) each place [S, Q] holds, by looking for one at each place."""
    if name == "flatten":
        num_steps = num_frames * num_streams
    else:
        num_steps = 0 if num_frames == 0 else num_frames + max(delays)

    table: list[list[tuple[int, int] | None]] = []

    for step in range(num_steps):
        row: list[tuple[int, int] | None] = []

        for stream in range(num_streams):
            place = None

            for frame in range(num_frames):
                if name == "flatten":
                    here = step == frame * num_streams + stream
                else:
                    here = step == frame + delays[stream]

                if here:
                    assert place is None

                    place = (frame, stream)

            row.append(place)

        table.append(row)

    return table


def make_cases() -> list[tuple[StreamPattern, str, list[int]]]:
    cases: list[tuple[StreamPattern, str, list[int]]] = []

    for num_streams in (1, 2, 3, 8):
        cases.append((DelayPattern.parallel(num_streams), "delay", [0] * num_streams))
        cases.append((DelayPattern.staircase(num_streams), "delay", list(range(num_streams))))
        cases.append((FlattenPattern(num_streams), "flatten", []))

    generator = random.Random(0)

    for _ in range(5):
        delays = [0] + [generator.randrange(5) for _ in range(generator.randrange(1, 5))]

        cases.append((DelayPattern(tuple(delays)), "delay", delays))

    return cases


CASES = make_cases()


def draw_codes(num_frames: int, num_streams: int) -> Tensor:
    return torch.randint(0, 1_000, (num_frames, num_streams), generator=torch.Generator().manual_seed(num_frames))


@pytest.mark.parametrize(("pattern", "kind", "delays"), CASES, ids=lambda value: str(value).replace(" ", ""))
class TestStreamPattern:
    @pytest.mark.parametrize("num_frames", [0, 1, 2, 3, 7, 20])
    def test_apply_validity_and_revert_equal_double_loops(
        self, pattern: StreamPattern, kind: str, delays: list[int], num_frames: int
    ) -> None:
        num_streams = pattern.num_streams

        codes = draw_codes(num_frames, num_streams)

        table = slow_steps(kind, num_frames, num_streams, delays)

        steps = pattern.apply(codes, FILLER)
        validity = pattern.validity(Frames(num_frames))

        assert pattern.num_steps(Frames(num_frames)) == len(table)

        assert steps.shape == validity.shape == (len(table), num_streams)

        reverted = torch.full_like(codes, FILLER)

        for step, row in enumerate(table):
            for stream, place in enumerate(row):
                assert bool(validity[step, stream]) == (place is not None)

                assert int(steps[step, stream]) == (FILLER if place is None else int(codes[place]))

                if place is not None:
                    reverted[place] = steps[step, stream]

        assert torch.equal(reverted, codes)

        assert torch.equal(pattern.revert(steps), codes)

        assert int(validity.sum()) == codes.numel()

    def test_num_frames_counts_the_frames_whose_every_code_is_there(
        self, pattern: StreamPattern, kind: str, delays: list[int]
    ) -> None:
        # A frame is whole after n steps if each of its codes is at one of the first n.
        table = slow_steps(kind, 20, pattern.num_streams, delays)

        for num_steps in range(min(len(table), 20 * pattern.num_streams) + 1):
            seen = [place for row in table[:num_steps] for place in row if place is not None]

            whole = [frame for frame in range(20) if sum(place[0] == frame for place in seen) == pattern.num_streams]

            assert whole == list(range(len(whole)))

            assert pattern.num_frames(Steps(num_steps)) == len(whole)

    def test_revert_drops_what_is_not_whole(self, pattern: StreamPattern, kind: str, delays: list[int]) -> None:
        codes = draw_codes(9, pattern.num_streams)

        steps = pattern.apply(codes, FILLER)

        for num_steps in range(steps.size(0) + 1):
            reverted = pattern.revert(steps[:num_steps])

            assert torch.equal(reverted, codes[: reverted.size(0)])

    def test_time_never_runs_backwards_in_a_stream(self, pattern: StreamPattern, kind: str, delays: list[int]) -> None:
        index = pattern.step_index(Frames(10))

        for stream in range(pattern.num_streams):
            assert all(a < b for a, b in pairwise(index[:, stream].tolist()))

            # Stream 0 leads.
            assert bool((index[:, stream] >= index[:, 0]).all())

    def test_name_is_read_back(self, pattern: StreamPattern, kind: str, delays: list[int]) -> None:
        assert parse_pattern(pattern.name, pattern.num_streams) == pattern

    @pytest.mark.parametrize("shape", [(4,), (4, 99), (1, 4, 2)])
    def test_raises_error_when_shape_is_wrong(
        self, pattern: StreamPattern, kind: str, delays: list[int], shape: tuple[int, ...]
    ) -> None:
        for method in (lambda codes: pattern.apply(codes, 0), pattern.revert):
            with pytest.raises(ValueError, match="must be of shape"):
                method(torch.zeros(shape, dtype=torch.int64))


class TestDelayPattern:
    def test_tail_is_where_stream_0_has_ended(self) -> None:
        for pattern, _, delays in CASES:
            if isinstance(pattern, DelayPattern):
                validity = pattern.validity(Frames(6))

                tail = [step for step in range(validity.size(0)) if step >= 6]

                assert pattern.tail_steps == len(tail) == max(delays)

                assert not bool(validity[6:, 0].any())

    def test_apply_keeps_dtype(self) -> None:
        assert DelayPattern.staircase(2).apply(torch.zeros(3, 2, dtype=torch.int16), -1).dtype == torch.int16

    @pytest.mark.parametrize("delays", [(), (1, 0), (0, -1), (1, 2)])
    def test_init_raises_error_when_delays_are_bad(self, delays: tuple[int, ...]) -> None:
        with pytest.raises(ValueError):
            DelayPattern(delays)


class TestParsePattern:
    def test_names_work(self) -> None:
        assert parse_pattern("parallel", 3) == DelayPattern((0, 0, 0))
        assert parse_pattern("delay", 3) == DelayPattern((0, 1, 2))
        assert parse_pattern("delay:0,0,1", 3) == DelayPattern((0, 0, 1))
        assert parse_pattern("flatten", 3) == FlattenPattern(3)

    @pytest.mark.parametrize(
        "name", ["", "musicgen", "delay:", "delay:0,1", "delay:0,a,1", "delay:1,0,0", "delay:0,-1,0"]
    )
    def test_raises_error_when_name_is_bad(self, name: str) -> None:
        with pytest.raises(ValueError):
            parse_pattern(name, 3)


class TestMusicGen:
    """MusicGen has [Q, L], where step 0 holds padding only, so L = 1 + S; with two channels, streams go in pairs."""

    @pytest.mark.parametrize("audio_channels", [1, 2])
    @pytest.mark.parametrize(("num_streams", "num_frames"), [(4, 5), (4, 40), (8, 9), (2, 3)])
    def test_delay_equals_its_mask(self, audio_channels: int, num_streams: int, num_frames: int) -> None:
        from transformers import MusicgenDecoderConfig, MusicgenForCausalLM

        config = MusicgenDecoderConfig(
            vocab_size=16,
            num_hidden_layers=1,
            hidden_size=8,
            ffn_dim=8,
            num_attention_heads=1,
            num_codebooks=num_streams,
            audio_channels=audio_channels,
        )

        model = MusicgenForCausalLM(config)

        if audio_channels == 1:
            pattern = DelayPattern.staircase(num_streams)
        else:
            pattern = DelayPattern(tuple(stream // 2 for stream in range(num_streams)))

        num_steps = pattern.num_steps(Frames(num_frames))

        pad = 2_000

        # Where to predict: -1 in the mask.
        start = torch.full((num_streams, 1), pad)

        _, mask = model.build_delay_pattern_mask(start, pad_token_id=pad, max_length=1 + num_steps)

        assert bool((mask[:, 0] == pad).all())

        assert torch.equal((mask[:, 1:] == -1).T, pattern.validity(Frames(num_frames)))

        # What is there: codes given as a prompt.
        codes = draw_codes(num_frames, num_streams)

        _, laid_out = model.build_delay_pattern_mask(
            torch.cat([start, codes.T], dim=1), pad_token_id=pad, max_length=1 + num_steps
        )

        assert torch.equal(laid_out[:, 1:].T, pattern.apply(codes, pad))

        # Applying the mask to what was generated, as MusicGen does at the end of `generate`, and dropping padding.
        generated = torch.cat([start, pattern.apply(codes, 1).T], dim=1)

        kept = torch.where(mask == -1, generated, mask)

        assert torch.equal(kept[kept != pad].reshape(num_streams, num_frames).T, pattern.revert(generated[:, 1:].T))
