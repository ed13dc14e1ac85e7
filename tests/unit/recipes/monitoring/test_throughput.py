from __future__ import annotations

import pytest
import torch
from fairseq2.device import CPU
from fairseq2.metrics import MetricBag

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.plan.flops import step_flops
from codec_s2st.plan.shape import shape_of_batch
from codec_s2st.recipes.common.monitoring.throughput import WorkMeter
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from tests.factories import random_sequence, tiny_model


def test_packed_sequences_see_themselves_alone() -> None:
    model = tiny_model()

    meter, bag = WorkMeter(model), MetricBag(CPU)

    meter.prepare(bag)

    ids = torch.full((1, 12, 2), model.vocabulary.pad)

    ids[:, :9] = 0

    meter.update(SpeechTextBatch(ids, ids.new_zeros(ids.shape).bool(), ["a", "b"], ["x", "y"], 9, 0, [5, 4]), bag)

    assert bag.metrics["work"].compute().tolist()[2:5] == [9, 18, 25 + 16]


def test_rates_are_of_the_time_since_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model, bag = tiny_model(), MetricBag(CPU)

    meter = WorkMeter(model, num_parts=2, peak_tflops=1e-6)

    clock = iter([10.0, 12.0, 20.0])

    monkeypatch.setattr("codec_s2st.recipes.common.monitoring.throughput.perf_counter", lambda: next(clock))

    meter.prepare(bag)

    ids = torch.zeros((1, 10, 2), dtype=torch.int64)

    for _ in range(2):
        meter.begin_step()

        meter.update(SpeechTextBatch(ids, ids.bool(), ["a"], ["x"], 10, 8), bag)

    work = bag.metrics["work"].compute()

    values: dict[str, object] = {"work": work}

    meter.publish(values)

    assert values["throughput/frames_per_second"] == 8.0 and values["throughput/tokens_per_second"] == 20.0

    assert values["throughput/mfu"] == pytest.approx(values["throughput/useful_tflops"] / 2e-6)

    # The process has counted none of these.
    values = {"work": work}

    meter.publish(values)

    assert values == {}


def test_useful_operations_are_those_of_the_plan() -> None:
    model = tiny_model()

    meter, bag = WorkMeter(model), MetricBag(CPU)

    meter.prepare(bag)

    builder = SequenceBuilder(model.vocabulary, model.pattern)

    sequence = random_sequence(builder, (Modality.SPEECH, Modality.TEXT), 20, seed=0)

    meter.begin_step()

    meter.update(SpeechTextBatch(sequence.ids[None], sequence.loss_mask[None], ["a"], ["x"], len(sequence), 20), bag)

    values: dict[str, object] = {"work": bag.metrics["work"].compute()}

    meter.publish(values)

    shape = shape_of_batch(sequence.ids, sequence.loss_mask, [len(sequence)], builder)

    useful = sum(part.useful for part in step_flops(model, shape))

    assert useful / values["throughput/useful_tflops"] == pytest.approx(  # type: ignore[operator]
        len(sequence) * 1e12 / values["throughput/steps_per_second"]  # type: ignore[operator]
    )
