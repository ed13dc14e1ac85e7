"""Accuracy, entropy and code use, against loops over all targets."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import pytest
import torch
from fairseq2.device import CPU
from fairseq2.metrics import MetricBag

from codec_s2st.data.batch import SpeechTextBatch, collate, collate_packed
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.recipes.common.monitoring.predictions import PredictionMetrics, PredictionProbe, sample_predictions
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from tests.factories import random_sequence, tiny_config, tiny_model

SPEECH, TEXT = Modality.SPEECH, Modality.TEXT

TASKS = ["asr", "s2st", "asr"]


def make_batch(model: CodecLM, *, packed: bool) -> SpeechTextBatch:
    builder = SequenceBuilder(model.vocabulary, model.pattern)

    sequences = [random_sequence(builder, (SPEECH, TEXT), 4 + seed, seed) for seed in range(3)]

    pad = model.vocabulary.pad

    if packed:
        return collate_packed(sequences, TASKS, ["a", "b", "c"], pad=pad, num_frames=15, num_steps=60)

    return collate(sequences, TASKS, ["a", "b", "c"], pad=pad, num_frames=15)


def reference(model: CodecLM, batch: SpeechTextBatch) -> dict[str, float]:
    """Looks at one target after the other."""
    vocabulary = model.vocabulary

    hits, entropies = defaultdict(list), defaultdict(list)

    data: dict[int, Counter[int]] = defaultdict(Counter)
    likely: dict[int, Counter[int]] = defaultdict(Counter)
    shares: dict[int, torch.Tensor] = {}

    hidden = model(batch.ids, packed_lens=batch.packed_lens).hidden

    bounds = None if batch.packed_lens is None else torch.tensor(batch.packed_lens).cumsum(0).tolist()

    for row in range(batch.ids.size(0)):
        for step in range(1, batch.ids.size(1)):
            target, mask = batch.ids[row, step], batch.loss_mask[row, step]

            if not mask.any():
                continue

            logits = model.heads.logits(hidden[row, step - 1][None], target[None])

            sequence = row if bounds is None else next(i for i, end in enumerate(bounds) if step < end)

            for stream in range(vocabulary.num_streams):
                if not mask[stream]:
                    continue

                label, begin, values = f"stream_{stream}", vocabulary.codebook_begin(stream), logits[stream][0]

                if stream == 0:
                    in_text = bool(vocabulary.is_text_space(target[0]))

                    space = vocabulary.text_space if in_text else vocabulary.speech_space

                    values, begin = values[space.start : space.stop], space.start

                    label = "text" if in_text else label

                probs = values.double().softmax(-1)

                best = int(probs.argmax()) + begin

                for name in (label, f"task_{batch.tasks[sequence]}"):
                    hits[name].append(best == int(target[stream]))
                    entropies[name].append(float(-(probs * probs.log()).sum()))

                book = range(vocabulary.codebook_begin(stream), vocabulary.codebook_begin(stream + 1))

                if int(target[stream]) in book:
                    data[stream][int(target[stream])] += 1

                if label != "text":
                    if best in book:
                        likely[stream][best] += 1

                    codes = probs[book.start - begin : book.stop - begin]

                    shares[stream] = shares.get(stream, 0) + codes

    output = {f"accuracy/{name}": sum(values) / len(values) for name, values in hits.items()}

    output |= {f"entropy/{name}": sum(values) / len(values) for name, values in entropies.items()}

    for stream, counts in data.items():
        size, total = vocabulary.codebook_sizes[stream], sum(counts.values())

        output[f"codes/data_use_{stream}"] = len(counts) / size

        entropy = -sum(n / total * math.log(n / total) for n in counts.values())

        output[f"codes/data_perplexity_{stream}"] = math.exp(entropy)

        output[f"codes/predicted_use_{stream}"] = len(likely[stream]) / size

        share = shares[stream] / shares[stream].sum()

        output[f"codes/predicted_perplexity_{stream}"] = math.exp(float(-(share * share.log()).sum()))

    return output


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("pattern", ["parallel", "delay", "parallel+depth"])
def test_figures_are_those_of_a_loop_over_targets(pattern: str, packed: bool) -> None:
    model = tiny_model(tiny_config((16, 12), pattern=pattern))

    batch = make_batch(model, packed=packed)

    probe, metrics, bag = (
        PredictionProbe(model.heads),
        PredictionMetrics(model.vocabulary, ["asr", "s2st"]),
        MetricBag(CPU),
    )

    metrics.prepare(bag)

    probe.arm(True)

    with torch.no_grad():
        model(batch.ids, loss_mask=batch.loss_mask, packed_lens=batch.packed_lens)

        expected = reference(model, batch)

    metrics.update(probe.take(), batch.tasks, bag)

    values: dict[str, object] = {name: metric.compute() for name, metric in bag.metrics.items()}

    metrics.publish(values)

    assert values == pytest.approx(expected, rel=1e-4)


def test_probe_that_is_not_armed_leaves_the_model_as_it_is() -> None:
    model = tiny_model()

    batch = make_batch(model, packed=False)

    probe = PredictionProbe(model.heads)

    probe.arm(True)

    loss = model(batch.ids, loss_mask=batch.loss_mask).loss.total

    assert len(probe.take()) == 1

    probe.arm(False)

    assert not model.heads._forward_hooks

    assert torch.equal(model(batch.ids, loss_mask=batch.loss_mask).loss.total, loss)

    assert probe.take() == []


def test_of_many_targets_some_are_looked_at_and_all_codes_are_counted() -> None:
    model = tiny_model()

    batch = make_batch(model, packed=False)

    hidden = model(batch.ids).hidden

    few = sample_predictions(model.heads, hidden, batch.ids, batch.loss_mask, max_text=4, max_speech=6)

    assert few.text.entropy.numel() == 4 and few.streams[0].entropy.numel() <= 6

    assert set(few.text.rows.tolist()) == {0, 1, 2}

    assert [int(codes.sum()) for codes in few.codes] == [15, 15]


def test_nothing_that_was_not_seen_is_published() -> None:
    model = tiny_model()

    metrics, bag = PredictionMetrics(model.vocabulary, ["asr"]), MetricBag(CPU)

    metrics.prepare(bag)

    values: dict[str, object] = {name: metric.compute() for name, metric in bag.metrics.items()}

    metrics.publish(values)

    assert values == {}
