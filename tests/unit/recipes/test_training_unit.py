from __future__ import annotations

import math

import pytest
import torch
from fairseq2.device import CPU
from fairseq2.metrics import Mean, MetricBag
from torch import Tensor
from torch.nn import Module

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.models.codec_lm.heads import CodecLMLoss
from codec_s2st.models.codec_lm.model import CodecLMOutput
from codec_s2st.recipes.common.unit import CodecLMTrainUnit, LossMetrics, MeanOrNothing
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from codec_s2st.tokens.streams import StreamSpec
from tests.factories import random_sequence, tiny_model

SPEECH, TEXT = Modality.SPEECH, Modality.TEXT


def make_batch(tasks: list[str]) -> SpeechTextBatch:
    ids = torch.zeros((len(tasks), 4, 2), dtype=torch.int64)

    return SpeechTextBatch(ids, ids.bool(), tasks, [f"row{i}" for i in range(len(tasks))], 4 * len(tasks) - 1, 3)


def make_loss(sums: list[float], counts: list[int], rows: list[float], row_counts: list[int]) -> CodecLMLoss:
    return CodecLMLoss(
        total=torch.tensor(sum(sums)),
        num_targets=torch.tensor(sum(row_counts)),
        stream_sums=torch.tensor(sums),
        stream_counts=torch.tensor(counts),
        row_sums=torch.tensor(rows),
        row_counts=torch.tensor(row_counts),
    )


def publish(metrics: LossMetrics, bag: MetricBag) -> dict[str, float]:
    values: dict[str, object] = {name: metric.compute() for name, metric in bag.metrics.items()}

    metrics.remove_empty(values)

    return {name: float(value) for name, value in values.items()}  # type: ignore[arg-type]


class TestLossMetrics:
    def test_batches_add_up(self) -> None:
        metrics, bag = LossMetrics(2, ["asr", "s2st"], {SPEECH, TEXT}), MetricBag(CPU)

        metrics.prepare(bag)

        first = make_loss([6.0, 4.0, 2.0], [3, 2, 1], [7.0, 5.0], [3, 2])

        metrics.update(make_batch(["asr", "s2st"]), first, bag)
        metrics.update(make_batch(["s2st"]), make_loss([0.0, 10.0, 3.0], [0, 2, 4], [13.0], [5]), bag)

        assert publish(metrics, bag) == pytest.approx(
            {
                "loss": 25 / 10,
                "loss/text": 6 / 3,
                "loss/stream_0": 14 / 4,
                "loss/stream_1": 5 / 5,
                "loss/task_asr": 7 / 3,
                "loss/task_s2st": 18 / 7,
                "num_examples": 3,
                "num_elements": 7 + 3,
                "padding": 2,
            }
        )

    def test_task_that_was_not_drawn_has_no_loss(self) -> None:
        metrics, bag = LossMetrics(2, ["asr", "s2st"], {SPEECH, TEXT}), MetricBag(CPU)

        metrics.prepare(bag)

        metrics.update(make_batch(["s2st"]), make_loss([0.0, 10.0, 3.0], [0, 2, 4], [13.0], [5]), bag)

        assert publish(metrics, bag).keys() >= {"loss", "loss/task_s2st"}

        assert not publish(metrics, bag).keys() & {"loss/text", "loss/task_asr"}

    @pytest.mark.parametrize(
        ("modalities", "names"),
        [
            ({TEXT}, {"loss/text"}),
            ({SPEECH}, {"loss/stream_0", "loss/stream_1"}),
            ({SPEECH, TEXT}, {"loss/text", "loss/stream_0", "loss/stream_1"}),
        ],
    )
    def test_only_what_is_scored_is_published(self, modalities: set[Modality], names: set[str]) -> None:
        metrics, bag = LossMetrics(2, [], modalities), MetricBag(CPU)

        metrics.prepare(bag)

        metrics.update(make_batch([]), make_loss([1.0, 1.0, 1.0], [1, 1, 1], [], []), bag)

        assert {name for name in publish(metrics, bag) if name.startswith("loss/")} == names

    def test_state_of_plain_means_can_be_read(self) -> None:
        plain, bag = MetricBag(CPU), MetricBag(CPU)

        plain.add("loss", Mean())
        plain.get("loss", Mean).update(torch.tensor(3.0), weight=2)

        bag.add("loss", MeanOrNothing())
        bag.load_state_dict(plain.state_dict())

        assert float(bag.get("loss", Mean).compute()) == 3.0

    def test_mean_of_nothing_is_not_a_number(self) -> None:
        assert math.isnan(float(MeanOrNothing().compute()))


class Stub(Module):
    """A model that says the same of every batch."""

    def __init__(self, output: CodecLMOutput) -> None:
        super().__init__()

        self.output = output

    def forward(self, *args: object, **kwargs: object) -> CodecLMOutput:
        return self.output


class TestTrainUnit:
    def run(self, *, in_loss: bool, weight: float = 1.0) -> tuple[Tensor, int | None, dict[str, object]]:
        model = tiny_model()

        with torch.no_grad():
            model.heads.stream0_weight *= weight

        builder = SequenceBuilder(model.vocabulary, model.pattern)

        sequence = random_sequence(builder, (SPEECH, TEXT), 5, seed=0, in_loss=in_loss)

        batch = SpeechTextBatch(sequence.ids[None], sequence.loss_mask[None], ["s2tt"], ["row7"], len(sequence), 5)

        unit = CodecLMTrainUnit(model, LossMetrics(2, ["s2tt"], {SPEECH, TEXT}), StreamSpec((16, 16), 640, 16_000))

        bag = MetricBag(CPU)

        unit.prepare_metric_bag(bag)

        loss, num_targets = unit.process_batch(batch, bag)

        values: dict[str, object] = {name: metric.compute() for name, metric in bag.metrics.items()}

        unit.process_metric_values(values)

        return loss, num_targets, values

    def test_counts_steps_and_seconds(self) -> None:
        loss, num_targets, values = self.run(in_loss=True)

        # Five frames and five tokens, with a boundary at each of the four ends.
        assert num_targets == 14

        assert float(values["loss"]) == pytest.approx(float(loss.detach()) / 14)  # type: ignore[arg-type]

        assert values["audio_seconds_per_second"] > 0  # type: ignore[operator]

        assert "audio_seconds" not in values

    def test_batch_without_targets_counts_as_one(self) -> None:
        loss, num_targets, _ = self.run(in_loss=False)

        assert (float(loss.detach()), num_targets) == (0.0, 1)

    def test_host_reads_no_number_of_the_device(self) -> None:
        """Numbers on the meta device cannot be read."""
        meta = torch.device("meta")

        loss = CodecLMLoss(*(part.to(meta) for part in make_loss([6.0, 4.0, 2.0], [3, 2, 1], [7.0, 5.0], [3, 2])))

        model = Stub(CodecLMOutput(torch.empty(2, 4, 8, device=meta), loss))

        metrics = LossMetrics(2, ["asr", "s2st"], {SPEECH, TEXT})

        unit, bag = CodecLMTrainUnit(model, metrics, StreamSpec((16, 16), 640, 16_000)), MetricBag(meta)

        unit.prepare_metric_bag(bag)

        batch = make_batch(["asr", "s2st"])

        total, num_targets = unit.process_batch(batch, bag)

        assert total is loss.total and num_targets == 1

    @pytest.mark.parametrize("weight", [math.inf, math.nan])
    def test_loss_that_is_not_finite_is_no_part_of_a_mean(self, weight: float) -> None:
        loss, num_targets, values = self.run(in_loss=True, weight=weight)

        assert not torch.isfinite(loss) and num_targets == 14

        assert not any(name.startswith("loss") for name in values)

        assert values["num_examples"] == values["audio_seconds_per_second"] == 0
