"""The loss against a double loop over steps and streams."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from codec_s2st.data.batch import SpeechTextBatch, collate
from codec_s2st.models.codec_lm.heads import CodecLMLoss
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.sequence import Modality, SequenceBuilder, TokenSequence
from tests.factories import random_sequence, tiny_config, tiny_model

SPEECH, TEXT = Modality.SPEECH, Modality.TEXT

SHAPES = [
    ((16, 16), "parallel"),
    ((16, 16, 16), "delay"),
    ((16, 5, 9), "parallel"),
    ((5, 9), "flatten"),
    ((16,), "parallel"),
    ((16, 16, 16), "parallel+depth"),
    ((16, 5, 9), "delay+depth"),
]


class SlowLoss(NamedTuple):
    stream_sums: list[float]
    stream_counts: list[int]
    row_sums: list[float]
    row_counts: list[int]


def slow_loss(model: CodecLM, batch: SpeechTextBatch) -> SlowLoss:
    """Writes out, for :func:`tiny_config`, which ids compete at each place, and looks at one place at a time."""
    sizes = model.vocabulary.codebook_sizes

    num_text, num_specials = 64, 256

    hidden = model(batch.ids).hidden

    text_end = num_text + 4

    output = SlowLoss([0.0] * (1 + len(sizes)), [0] * (1 + len(sizes)), [0.0] * len(batch.ids), [0] * len(batch.ids))

    for row in range(batch.ids.size(0)):
        for step in range(1, batch.ids.size(1)):
            has_target = False

            for stream, size in enumerate(sizes):
                if not batch.loss_mask[row, step, stream]:
                    continue

                target = int(batch.ids[row, step, stream])

                begin = num_text + num_specials + sum(sizes[:stream])

                if stream > 0:
                    index, competing = 1 + stream, range(begin, begin + size)
                elif target < num_text or target == text_end:
                    index, competing = 0, range(num_text + num_specials)
                else:
                    index, competing = 1, range(num_text, num_text + num_specials + size)

                read = hidden[row, step - 1]

                if stream > 0 and model.heads.depth is not None:
                    # Its own pass over the streams before, and nothing behind them.
                    read = model.heads.depth(read[None], batch.ids[row, step, :stream][None])[0, -1]

                scores = [float(score(model, stream, id_, read)) for id_ in competing]

                largest = max(scores)

                log_sum = largest + math.log(sum(math.exp(value - largest) for value in scores))

                loss = log_sum - scores[target - competing.start]

                output.stream_sums[index] += loss
                output.stream_counts[index] += 1
                output.row_sums[row] += loss

                has_target = True

            output.row_counts[row] += has_target

    return output


def score(model: CodecLM, stream: int, id_: int, hidden: Tensor) -> Tensor:
    if stream == 0:
        return model.heads.stream0_weight[id_] @ hidden

    assert model.heads.codebook_weight is not None

    return model.heads.codebook_weight[id_ - model.vocabulary.stream0_size] @ hidden


def make_batch(model: CodecLM, *tasks: tuple[Modality, ...]) -> SpeechTextBatch:
    builder = SequenceBuilder(model.vocabulary, model.pattern)

    return collate_toys(builder, [random_sequence(builder, task, 2 + i, seed=i) for i, task in enumerate(tasks)])


def collate_toys(builder: SequenceBuilder, sequences: list[TokenSequence]) -> SpeechTextBatch:
    names = [str(i) for i in range(len(sequences))]

    return collate(sequences, names, names, pad=builder.vocabulary.pad, num_frames=0)


def compute(model: CodecLM, batch: SpeechTextBatch) -> CodecLMLoss:
    loss: CodecLMLoss = model(batch.ids, loss_mask=batch.loss_mask).loss

    return loss


@pytest.mark.parametrize(("sizes", "pattern"), SHAPES)
@torch.inference_mode()
def test_loss_equals_the_double_loop(sizes: tuple[int, ...], pattern: str) -> None:
    model = tiny_model(tiny_config(sizes, pattern=pattern))

    batch = make_batch(model, (SPEECH, TEXT), (TEXT,), (SPEECH, SPEECH), (TEXT, SPEECH))

    loss, slow = compute(model, batch), slow_loss(model, batch)

    torch.testing.assert_close(loss.stream_sums, torch.tensor(slow.stream_sums), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(loss.row_sums, torch.tensor(slow.row_sums), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(float(loss.total), sum(slow.row_sums), rtol=1e-5, atol=1e-4)

    assert loss.stream_counts.tolist() == slow.stream_counts
    assert loss.row_counts.tolist() == slow.row_counts
    assert int(loss.num_targets) == sum(slow.row_counts)

    assert min(slow.stream_counts) > 0


@torch.inference_mode()
def test_loss_follows_the_mask() -> None:
    model = tiny_model(tiny_config((16, 5, 9)))

    batch = make_batch(model, (SPEECH, TEXT), (TEXT, SPEECH))

    batch.loss_mask &= torch.rand(batch.loss_mask.shape, generator=torch.Generator().manual_seed(1)) < 0.5

    loss, slow = compute(model, batch), slow_loss(model, batch)

    torch.testing.assert_close(loss.stream_sums, torch.tensor(slow.stream_sums), rtol=1e-5, atol=1e-4)

    assert loss.stream_counts.tolist() == slow.stream_counts
    assert loss.row_counts.tolist() == slow.row_counts


@pytest.mark.parametrize(("sizes", "pattern"), SHAPES)
@torch.inference_mode()
def test_padding_on_the_right_changes_nothing(sizes: tuple[int, ...], pattern: str) -> None:
    model = tiny_model(tiny_config(sizes, pattern=pattern))

    builder = SequenceBuilder(model.vocabulary, model.pattern)

    sequences = [random_sequence(builder, (SPEECH, TEXT), length, seed=length) for length in (2, 9)]

    together = compute(model, collate_toys(builder, sequences))

    alone = [compute(model, collate_toys(builder, [sequence])) for sequence in sequences]

    torch.testing.assert_close(together.row_sums, torch.cat([loss.row_sums for loss in alone]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.total, sum(loss.total for loss in alone), rtol=1e-5, atol=1e-5)

    assert together.stream_counts.tolist() == sum(loss.stream_counts for loss in alone).tolist()


@pytest.mark.parametrize(("sizes", "pattern"), SHAPES)
@pytest.mark.parametrize("modality", [TEXT, SPEECH])
def test_every_parameter_has_a_gradient(sizes: tuple[int, ...], pattern: str, modality: Modality) -> None:
    model = tiny_model(tiny_config(sizes, pattern=pattern))

    loss = compute(model, make_batch(model, (modality,)))

    loss.total.backward()

    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []

    absent = loss.stream_counts == 0

    assert bool(absent.any()) == (modality is SPEECH or len(sizes) > 1)

    assert loss.stream_sums[absent].tolist() == [0.0] * int(absent.sum())


def test_batch_without_targets_has_a_loss_of_zero_and_gradients() -> None:
    model = tiny_model()

    batch = make_batch(model, (SPEECH, TEXT))

    loss = compute(model, SpeechTextBatch(batch.ids, torch.zeros_like(batch.loss_mask), [""], [""], 1, 0))

    loss.total.backward()

    assert loss.total.item() == 0.0 and int(loss.num_targets) == 0

    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in model.parameters())


@torch.inference_mode()
def test_logits_are_those_of_the_loss() -> None:
    model = tiny_model(tiny_config((16, 5, 9)))

    hidden = torch.randn(3, 32)

    logits = model.heads.logits(hidden)

    assert [part.shape for part in logits] == [(3, 64 + 256 + 16), (3, 5), (3, 9)]

    for stream, begin in ((0, 0), (1, 64 + 256 + 16), (2, 64 + 256 + 16 + 5)):
        for i in range(logits[stream].size(1)):
            torch.testing.assert_close(
                logits[stream][:, i], torch.stack([score(model, stream, begin + i, h) for h in hidden])
            )


@pytest.mark.parametrize("pattern", ["parallel", "parallel+depth"])
@torch.inference_mode()
def test_a_step_chosen_stream_by_stream_has_the_logits_of_a_known_one(pattern: str) -> None:
    model = tiny_model(tiny_config((16, 5, 9, 16), pattern=pattern))

    hidden = torch.randn(3, 32)

    generator = torch.Generator().manual_seed(1)

    ids = torch.stack(
        [
            begin + torch.randint(size, (3,), generator=generator)
            for begin, size in zip(model.vocabulary.codebook_offsets(), (16, 5, 9, 16), strict=True)
        ],
        dim=-1,
    )

    # What is no code reads as nothing.
    ids[1, 0], ids[2, 1] = model.vocabulary.special("</speech>"), model.vocabulary.pad

    known = model.heads.logits(hidden, ids)

    step = model.heads.step(hidden)

    for stream in range(4):
        torch.testing.assert_close(step.logits(stream, ids), known[stream])


@torch.inference_mode()
def test_depth_transformer_sees_the_streams_before_and_no_other() -> None:
    model = tiny_model(tiny_config((16, 16, 16, 16), pattern="parallel+depth"))

    hidden = torch.randn(1, 32)

    ids = torch.tensor([model.vocabulary.codebook_offsets()])

    plain = model.heads.logits(hidden, ids)

    for changed in range(4):
        other_ids = ids.clone()

        other_ids[0, changed] += 7

        other = model.heads.logits(hidden, other_ids)

        for stream in range(4):
            assert torch.equal(plain[stream], other[stream]) == (stream <= changed)


@torch.inference_mode()
def test_weights_count_in_the_total_alone() -> None:
    config = tiny_config()

    plain = tiny_model(config)

    config.text_loss_weight = 3.0
    config.stream_loss_weights = [8.0, 0.5]

    weighted = tiny_model(config)

    batch = make_batch(plain, (SPEECH, TEXT), (TEXT, SPEECH))

    one, other = compute(plain, batch), compute(weighted, batch)

    text, *streams = one.stream_sums

    torch.testing.assert_close(one.total, text + streams[0] + streams[1])
    torch.testing.assert_close(other.total, 3.0 * text + 8.0 * streams[0] + 0.5 * streams[1])

    assert torch.equal(other.stream_sums, one.stream_sums) and torch.equal(other.row_sums, one.row_sums)
