from __future__ import annotations

import pytest
import torch

from codec_s2st.evaluation.measures import (
    Measure,
    duration_gauges,
    duration_measures,
    guarded,
    mean_counts,
    signal_gauges,
    signal_measures,
)
from codec_s2st.evaluation.report import CODEC_TOPLINE, MODEL, REFERENCE_AUDIO
from codec_s2st.evaluation.signal import mel_distance, si_sdr


def values(measures: list[Measure]) -> dict[str, float | None]:
    return {measure.metric: measure.value for measure in measures}


class TestDurations:
    def test_ratios(self) -> None:
        found = values(duration_measures(MODEL, 3.0, source=2.0, reference=4.0))

        assert found == {"duration-ratio-source": 1.5, "duration-ratio-reference": 0.75, "slc-0.2": 0.0}

    @pytest.mark.parametrize(("seconds", "complies"), [(0.79, 0.0), (0.8, 1.0), (1.0, 1.0), (1.2, 1.0), (1.21, 0.0)])
    def test_compliance(self, seconds: float, complies: float) -> None:
        assert values(duration_measures(MODEL, 3.0 * seconds, source=3.0, reference=None))["slc-0.2"] == complies

    def test_silence_has_a_ratio(self) -> None:
        assert values(duration_measures(MODEL, 0.0, source=3.0, reference=None))["duration-ratio-source"] == 0.0

    def test_what_is_not_there_is_not_divided_by(self) -> None:
        assert duration_measures(MODEL, 3.0, source=None, reference=0.0) == []

    def test_every_measure_has_its_gauge(self) -> None:
        known = {(gauge.metric, system) for gauge in duration_gauges() for system in gauge.systems}

        found = {
            (measure.metric, measure.system)
            for system in (MODEL, REFERENCE_AUDIO)
            for measure in duration_measures(system, 3.0, source=2.0, reference=4.0)
        }

        assert found == known


def test_signal_measures_are_those_of_the_codec_report() -> None:
    reference = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(0))

    # Codecs fill the last frame.
    decoded = torch.nn.functional.pad(0.5 * reference + 0.01, (0, 100))

    measures = signal_measures(reference, decoded, 16_000)

    found = values(measures)

    assert found["si_sdr"] == si_sdr(reference, decoded[:16_000], 16_000).value
    assert found["mel_distance"] == mel_distance(reference, decoded[:16_000], 16_000).value

    for measure in measures:
        assert measure.system == CODEC_TOPLINE and (measure.value is None) == (measure.not_measured is not None)

    assert [gauge.metric for gauge in signal_gauges()] == list(found)

    assert next(gauge.signature for gauge in signal_gauges() if gauge.metric == "stoi").startswith("pystoi:")


def test_what_fails_says_so_for_each_of_its_metrics() -> None:
    def fail() -> list[Measure]:
        raise RuntimeError("no such kernel\nand more")

    measures = guarded(fail, duration_gauges())

    assert len(measures) == 5 and {measure.not_measured for measure in measures} == {"RuntimeError: no such kernel"}


def test_mean() -> None:
    assert mean_counts([1.0, 2.0, 6.0]).score() == 3.0
