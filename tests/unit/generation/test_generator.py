from __future__ import annotations

from functools import cache

import pytest
import torch
from fairseq2.nn import IncrementalStateBag
from torch import Tensor

from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.generation.generator import SegmentGenerator
from codec_s2st.generation.options import GeneratedSegment, GenerationOptions, GenerationRequest
from codec_s2st.generation.sampling import StreamSampling
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder
from tests.factories import random_segment, tiny_config, tiny_model

SPEECH, TEXT = Modality.SPEECH, Modality.TEXT

LAYOUTS = [
    ((16, 16), "parallel"),
    ((16, 16), "delay"),
    ((16, 16), "flatten"),
    ((16, 16), "delay:0,2"),
    ((16, 5, 9), "parallel"),
    ((9, 5, 16), "delay:0,2,1"),
    ((16,), "parallel"),
    ((16, 5, 9), "parallel+depth"),
    ((9, 5, 16), "delay:0,2,1+depth"),
]

GREEDY: dict[str, object] = {}

SAMPLED: dict[str, object] = {
    "streams": (StreamSampling(temperature=1.0), StreamSampling(temperature=0.9, top_k=5, top_p=0.9)),
    "text": StreamSampling(temperature=1.0),
}


@cache
def make_model(sizes: tuple[int, ...], pattern: str) -> CodecLM:
    """Returns a model that ends its segments after a few steps, since the logits of the ends vary the most."""
    model = tiny_model(tiny_config(sizes, pattern=pattern))

    with torch.no_grad():
        for name in ("</speech>", "</text>", "<flush>"):
            model.heads.stream0_weight[model.vocabulary.special(name)] *= 1.7

    return model


def make_builder(model: CodecLM) -> SequenceBuilder:
    return SequenceBuilder(model.vocabulary, model.pattern)


def prompt_segments(model: CodecLM, i: int) -> list[Segment]:
    tags = Segment(Modality.TAGS, torch.tensor([model.vocabulary.special("<task:s2st>")]), in_loss=False)

    return [tags, random_segment(make_builder(model), SPEECH, 2 + i * 3 % 7, i, in_loss=False)]


def make_request(model: CodecLM, i: int, modality: Modality, max_length: int | None = None) -> GenerationRequest:
    builder = make_builder(model)

    prompt = torch.cat([builder.build(prompt_segments(model, i)).ids, builder.opening(modality)])

    return GenerationRequest(prompt=prompt, modality=modality, max_length=max_length or 10 + i, seed=i)


def make_requests(model: CodecLM, num: int = 9) -> list[GenerationRequest]:
    return [make_request(model, i, SPEECH if i % 3 else TEXT) for i in range(num)]


def generate(
    model: CodecLM, requests: list[GenerationRequest], options: dict[str, object], *, batch_size: int, use_cache: bool
) -> list[GeneratedSegment]:
    settings = GenerationOptions(batch_size=batch_size, use_cache=use_cache, **options)  # type: ignore[arg-type]

    return SegmentGenerator(model, settings).generate(requests)


def assert_equal(one: list[GeneratedSegment], two: list[GeneratedSegment]) -> None:
    for mine, theirs in zip(one, two, strict=True):
        assert torch.equal(mine.ids, theirs.ids) and mine.finished == theirs.finished


@pytest.mark.parametrize("options", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(("sizes", "pattern"), LAYOUTS)
def test_neither_cache_nor_batch_size_matters(sizes: tuple[int, ...], pattern: str, options: dict[str, object]) -> None:
    model = make_model(sizes, pattern)

    requests = make_requests(model)

    reference = generate(model, requests, options, batch_size=1, use_cache=False)

    # Prompts of several lengths, and rows that end at different times, or are cut.
    assert len({len(request.prompt) for request in requests}) > 3
    assert len({len(segment.ids) for segment in reference}) >= 3

    for batch_size, use_cache in ((8, True), (1, True), (8, False), (3, True)):
        assert_equal(generate(model, requests, options, batch_size=batch_size, use_cache=use_cache), reference)


def test_some_rows_end_and_some_are_cut() -> None:
    finished = [
        segment.finished
        for sizes, pattern in LAYOUTS
        for segment in generate(
            make_model(sizes, pattern), make_requests(make_model(sizes, pattern)), SAMPLED, batch_size=8, use_cache=True
        )
    ]

    assert min(finished.count(True), finished.count(False)) > 10


@pytest.mark.parametrize(("sizes", "pattern"), LAYOUTS)
@torch.inference_mode()
def test_cached_hidden_states_equal_uncached_ones(sizes: tuple[int, ...], pattern: str) -> None:
    model = make_model(sizes, pattern)

    ids = torch.stack([make_request(model, 4, SPEECH).prompt, make_request(model, 11, SPEECH).prompt])

    bag = IncrementalStateBag(ids.size(1) + 1, capacity_increment=None)

    parts = []

    for begin, end in ((0, 3), *((i, i + 1) for i in range(3, ids.size(1)))):
        parts.append(model(ids[:, begin:end], state_bag=bag).hidden)

        bag.increment_step_nr(end - begin)

    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids).hidden, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("modality", [SPEECH, TEXT])
@pytest.mark.parametrize(("sizes", "pattern"), LAYOUTS)
def test_steps_that_were_read_are_those_of_training(
    sizes: tuple[int, ...], pattern: str, modality: Modality, options: dict[str, object]
) -> None:
    model = make_model(sizes, pattern)

    for i in range(4):
        read: list[Tensor] = []

        handle = model.register_forward_pre_hook(lambda module, args, read=read: read.append(args[0][0].clone()))

        try:
            (segment,) = generate(model, [make_request(model, i, modality)], options, batch_size=1, use_cache=False)
        finally:
            handle.remove()

        built = (
            make_builder(model).build([*prompt_segments(model, i), Segment(modality, segment.ids, in_loss=True)]).ids
        )

        # The last chosen step is not read any more, nor is an end that the generator need not choose.
        num_left = len(built) - len(read[-1])

        if modality is SPEECH:
            assert num_left == (2 if model.pattern.tail_steps else 1)
        else:
            assert num_left == (1 if segment.finished else 2)

        assert torch.equal(built[: len(read[-1])], read[-1])


@pytest.mark.parametrize(("sizes", "pattern"), LAYOUTS)
@torch.inference_mode()
def test_greedy_choices_are_the_most_likely_legal_ones(sizes: tuple[int, ...], pattern: str) -> None:
    model = make_model(sizes, pattern)

    vocabulary, builder = model.vocabulary, make_builder(model)

    for i, modality in enumerate((SPEECH, TEXT, SPEECH, TEXT)):
        request = make_request(model, i, modality)

        (segment,) = generate(model, [request], GREEDY, batch_size=8, use_cache=True)

        ids = builder.build([*prompt_segments(model, i), Segment(modality, segment.ids, in_loss=True)]).ids

        # The head that chooses a step is read one step before it.
        logits = model.heads.logits(model(ids[None]).hidden[0, :-1], ids[1:])

        first = len(request.prompt)

        if modality is TEXT:
            legal = [*range(64), vocabulary.special("</text>")]
        else:
            end = vocabulary.special("<flush>" if model.pattern.tail_steps else "</speech>")

            legal = [end, *range(vocabulary.codes_begin, vocabulary.codes_begin + sizes[0])]

        num_ends = 0

        for step in range(first, len(ids)):
            token = int(ids[step, 0])

            # The end that closes a cut or flushed segment is not a choice; neither is what follows the first one.
            if token == vocabulary.pad or num_ends:
                continue

            is_end = token not in range(64) and token < vocabulary.codes_begin

            num_ends += is_end

            # The first frame must be one: a segment is never empty.
            allowed = legal[1:] if modality is SPEECH and step == first else legal

            if not (is_end and not segment.finished):
                assert token == max(allowed, key=lambda id_, step=step: float(logits[0][step - 1, id_]))

        for step in range(first, len(ids)):
            for stream, begin in enumerate(vocabulary.codebook_offsets()):
                if stream and ids[step, stream] != vocabulary.pad:
                    assert int(ids[step, stream]) - begin == int(logits[stream][step - 1].argmax())


class TestLimits:
    @pytest.mark.parametrize(("sizes", "pattern"), LAYOUTS)
    def test_segments_are_cut_at_the_largest_length(self, sizes: tuple[int, ...], pattern: str) -> None:
        model = tiny_model(tiny_config(sizes, pattern=pattern))

        with torch.no_grad():
            for name in ("</speech>", "</text>", "<flush>"):
                model.heads.stream0_weight[model.vocabulary.special(name)] = 0.0

        requests = [make_request(model, i, SPEECH if i % 2 else TEXT, max_length=1 + i) for i in range(6)]

        segments = generate(model, requests, GREEDY, batch_size=8, use_cache=True)

        assert [len(segment.ids) for segment in segments] == [1, 2, 3, 4, 5, 6]

        assert not any(segment.finished for segment in segments)

        assert all(segment.ids.dim() == (2 if i % 2 else 1) for i, segment in enumerate(segments))

    @pytest.mark.parametrize(("sizes", "pattern"), LAYOUTS)
    def test_codes_are_below_the_sizes_of_their_books(self, sizes: tuple[int, ...], pattern: str) -> None:
        model = make_model(sizes, pattern)

        for segment in generate(model, make_requests(model), SAMPLED, batch_size=8, use_cache=True):
            if segment.ids.dim() == 2:
                assert len(segment.ids) >= 1

                assert bool((segment.ids >= 0).all()) and bool((segment.ids < torch.tensor(sizes)).all())
            else:
                assert bool(((segment.ids >= 0) & (segment.ids < 64)).all())

    def test_too_long_a_prompt_is_refused(self) -> None:
        model = make_model((16, 16), "delay")

        request = make_request(model, 0, SPEECH, max_length=520)

        with pytest.raises(UserInputError, match=r"take \d+ steps, but the model has positions for 512"):
            generate(model, [request], GREEDY, batch_size=8, use_cache=True)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (GenerationOptions(batch_size=0), "`batch_size` must be greater than or equal to 1, but is 0"),
            (GenerationOptions(streams=()), "`streams` must have an entry"),
            (GenerationOptions(text=StreamSampling(temperature=-1.0)), "`temperature` must not be negative"),
        ],
    )
    def test_options_out_of_range_are_refused(self, options: GenerationOptions, message: str) -> None:
        with pytest.raises(UserInputError, match=message):
            SegmentGenerator(make_model((16, 16), "delay"), options)

    def test_last_position_can_be_used(self) -> None:
        model = tiny_model(tiny_config((16, 16)))

        with torch.no_grad():
            model.heads.stream0_weight[model.vocabulary.special("</text>")] = 0.0

        prompt = make_request(model, 0, TEXT).prompt

        # The closing boundary takes a position too.
        request = GenerationRequest(prompt=prompt, modality=TEXT, max_length=512 - len(prompt) - 1)

        (segment,) = generate(model, [request], GREEDY, batch_size=1, use_cache=True)

        assert len(segment.ids) == request.max_length

    @pytest.mark.parametrize("parameter", ["decoder.layers.1.ffn.inner_proj.weight", "heads.codebook_weight"])
    def test_weights_that_are_not_finite_are_refused(self, parameter: str) -> None:
        model = tiny_model()

        with torch.no_grad():
            model.get_parameter(parameter).fill_(torch.nan)

        with pytest.raises(CodecS2STError, match="logits are not finite"):
            generate(model, [make_request(model, 1, SPEECH)], GREEDY, batch_size=1, use_cache=True)


class TestSeeds:
    def test_same_seed_gives_the_same_segment(self) -> None:
        model = make_model((16, 16), "parallel")

        request = make_request(model, 4, SPEECH)

        again = [generate(model, [request] * num, SAMPLED, batch_size=8, use_cache=True)[0] for num in (1, 5)]

        assert torch.equal(again[0].ids, again[1].ids)

    def test_other_seeds_give_other_segments(self) -> None:
        model = make_model((16, 16), "parallel")

        prompt = make_request(model, 4, SPEECH).prompt

        requests = [GenerationRequest(prompt=prompt, modality=SPEECH, max_length=20, seed=seed) for seed in range(6)]

        segments = generate(model, requests, SAMPLED, batch_size=8, use_cache=True)

        assert len({tuple(segment.ids.flatten().tolist()) for segment in segments}) > 3

    def test_order_of_requests_does_not_matter(self) -> None:
        model = make_model((16, 16), "delay")

        requests = make_requests(model)

        segments = generate(model, requests, SAMPLED, batch_size=4, use_cache=True)

        assert_equal(generate(model, requests[::-1], SAMPLED, batch_size=4, use_cache=True)[::-1], segments)

    def test_nothing_asked_for_is_nothing_generated(self) -> None:
        assert generate(make_model((16, 16), "parallel"), [], GREEDY, batch_size=4, use_cache=True) == []

    def test_last_sampling_serves_all_further_streams(self) -> None:
        first, rest = StreamSampling(temperature=1.0), StreamSampling(top_k=3)

        options = GenerationOptions(streams=(first, rest))

        assert [options.of_stream(stream) for stream in range(4)] == [first, rest, rest, rest]
