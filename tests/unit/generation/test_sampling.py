"""Choosing a token against a reference that sorts, cuts and adds up one row at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from codec_s2st.generation.sampling import StreamSampling, sample

OPTIONS = [
    StreamSampling(temperature=1.0),
    StreamSampling(temperature=0.5),
    StreamSampling(temperature=1.0, top_k=3),
    StreamSampling(temperature=1.3, top_p=0.6),
    StreamSampling(temperature=0.8, top_k=5, top_p=0.8),
    StreamSampling(temperature=1.0, top_k=1),
    StreamSampling(temperature=1.0, top_p=1e-6),
    StreamSampling(temperature=1.0, top_k=100),
]


def slow_distribution(logits: list[float], options: StreamSampling) -> dict[int, float]:
    """Returns the probability of each choice that may be taken, the most likely first."""
    order = sorted(range(len(logits)), key=lambda i: -logits[i])

    order = [i for i in order if logits[i] > -math.inf]

    if options.top_k:
        order = order[: options.top_k]

    weights = [math.exp((logits[i] - logits[order[0]]) / options.temperature) for i in order]

    probs = [weight / sum(weights) for weight in weights]

    kept: dict[int, float] = {}

    for i, prob in zip(order, probs, strict=True):
        if options.top_p < 1 and sum(kept.values()) >= options.top_p:
            break

        kept[i] = prob

    return {i: prob / sum(kept.values()) for i, prob in kept.items()}


def slow_sample(logits: list[float], options: StreamSampling, uniform: float) -> tuple[int, float]:
    """Returns the choice, and how far ``uniform`` is from where another one begins."""
    total, distance = 0.0, math.inf

    choice = None

    for i, prob in slow_distribution(logits, options).items():
        total += prob

        if total < 1 - 1e-9:
            distance = min(distance, abs(total - uniform))

        if choice is None and uniform < total:
            choice = i

    assert choice is not None

    return choice, distance


def make_logits(num_rows: int) -> Tensor:
    logits = 2.0 * torch.randn(num_rows, 12, generator=torch.Generator().manual_seed(0))

    # Some choices are illegal.
    return logits.masked_fill(torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)) < 0.2, -torch.inf)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_the_reference(options: StreamSampling) -> None:
    logits, uniforms = make_logits(300), torch.rand(300, generator=torch.Generator().manual_seed(2))

    choices = sample(logits, options, uniforms)

    num_compared = 0

    for row, choice in enumerate(choices.tolist()):
        expected, distance = slow_sample(logits[row].tolist(), options, float(uniforms[row]))

        if distance > 1e-5:
            assert choice == expected

            num_compared += 1

    assert num_compared > 290


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_frequencies_follow_the_distribution(options: StreamSampling) -> None:
    num = 20_000

    logits = make_logits(1)

    uniforms = torch.rand(num, generator=torch.Generator().manual_seed(3))

    choices = sample(logits.expand(num, -1), options, uniforms)

    counts = torch.bincount(choices, minlength=12).tolist()

    distribution = slow_distribution(logits[0].tolist(), options)

    for i, count in enumerate(counts):
        prob = distribution.get(i, 0.0)

        # Five standard deviations.
        assert abs(count - num * prob) <= 5 * math.sqrt(num * prob * (1 - prob)) + 1e-6


def test_zero_temperature_takes_the_most_likely() -> None:
    logits = make_logits(50)

    assert torch.equal(sample(logits, StreamSampling(), torch.rand(50)), logits.argmax(dim=-1))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_extreme_numbers_hit_what_is_legal(options: StreamSampling) -> None:
    logits = make_logits(50)

    for uniform in (0.0, 1.0 - 2**-24):
        choices = sample(logits, options, torch.full((50,), uniform))

        for row, choice in enumerate(choices.tolist()):
            assert choice in slow_distribution(logits[row].tolist(), options)


def test_row_does_not_depend_on_the_others() -> None:
    logits, uniforms = make_logits(20), torch.rand(20)

    options = StreamSampling(temperature=0.9, top_k=5, top_p=0.9)

    together = sample(logits, options, uniforms)

    for i in range(20):
        assert torch.equal(sample(logits[i : i + 1], options, uniforms[i : i + 1]), together[i : i + 1])


def test_logits_are_left_as_they_are() -> None:
    logits = make_logits(5)

    before = logits.clone()

    sample(logits, StreamSampling(temperature=1.0, top_k=2), torch.rand(5))

    assert torch.equal(logits, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (StreamSampling(temperature=-1.0), "`temperature`"),
        (StreamSampling(top_k=-1), "`top_k`"),
        (StreamSampling(top_p=0.0), "`top_p`"),
        (StreamSampling(top_p=1.1), "`top_p`"),
    ],
)
def test_options_that_make_no_sense_are_found(options: StreamSampling, message: str) -> None:
    assert message in str(options.validate())
