from __future__ import annotations

import math
import random
import statistics

import pytest

from codec_s2st.recipes.common.spikes import RunningLoss


def after(losses: list[float]) -> RunningLoss:
    running = RunningLoss()

    for loss in losses:
        running = running.after(loss)

    return running


def test_first_losses_have_their_mean_and_variance() -> None:
    losses = [random.Random(0).gauss(5.0, 1.0) for _ in range(50)]

    running = after(losses)

    assert running.mean == pytest.approx(statistics.fmean(losses))

    assert running.variance == pytest.approx(statistics.pvariance(losses))


def test_loss_that_falls_is_no_spike() -> None:
    rng = random.Random(0)

    running = RunningLoss()

    for step in range(2000):
        loss = 10 * math.exp(-step / 300) + rng.gauss(0.0, 0.1)

        assert running.deviations(loss) < 6

        running = running.after(loss)


def test_loss_that_jumps_is_one() -> None:
    rng = random.Random(0)

    running = after([rng.gauss(5.0, 0.1) for _ in range(100)])

    assert running.deviations(8.0) > 20 and running.deviations(2.0) < -20


def test_few_losses_say_nothing() -> None:
    assert after([5.0] * 49).deviations(100.0) == 0.0


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_losses_that_are_not_finite_are_passed_over(loss: float) -> None:
    running = after([5.0, 6.0] * 30)

    assert running.after(loss) == running and running.deviations(loss) == 0.0
