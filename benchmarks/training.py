"""Training steps beside those of other libraries, and the loss of a wide head beside the plain one.

``python benchmarks/training.py --only P1 P4 --rounds 3`` prints a table; ``--json FILE`` writes the rows.

Ways take turns in one process, with one thread and in float32. A step is forward, backward, clipping and AdamW (fused,
on all sides) of models with random weights. Ratios are medians over rounds, in CPU seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp
from statistics import NormalDist, median
from typing import Any

import fairseq2.recipe  # noqa: F401  (first: fairseq2's modules import each other in a circle)
import torch
from fairseq2 import init_fairseq2
from fairseq2.nn import BatchLayout
from rows import Peer, Row, Times, interleave, make_parser, run_parts
from torch import Tensor
from torch.nn import functional
from training_models import (
    CODEBOOK_SIZE,
    NUM_STREAMS,
    TEXT_SHARE,
    Shape,
    StreamsOverQwen,
    make_batch,
    make_fairseq2_qwen,
    make_musicgen,
    make_ours,
    step_of,
    step_of_ours,
)
from training_peak import peak_of

SMALL = Shape(model_dim=256, num_layers=4, num_heads=4, ffn_dim=704, text_size=4_096)

MEDIUM = Shape(model_dim=512, num_layers=8, num_heads=8, ffn_dim=1_408, text_size=32_768)

QWEN_TEXT = 151_936
"""The text rows of Qwen's models, which trainings start from."""

PARTS = ("P1", "P2", "P3", "P4")

EQUAL = "backbone's sizes, float32, one thread, clipping, fused AdamW"

FLOPS_REASON = (
    "products of matrices are two thirds of our step and run at the machine's rate on both sides; what packing and"
    " heads save of them bounds the ratio"
)


def draw_lens(num: int) -> list[int]:
    """Returns lengths of documents, quantiles of a log-normal: padded to the longest, half of a batch is padding."""
    normal = NormalDist(4.7, 0.47)

    return [round(exp(normal.inv_cdf((i + 0.5) / num))) for i in range(num)]


def rate_row(
    id_: str, what: str, unit: str, amount: float, times: dict[str, Times], peer: str, peer_name: str, **fields: Any
) -> Row:
    """A row of our rate beside a peer's, both at the middle of their rounds."""
    ours, theirs = times["ours"], times[peer]

    return Row(
        id=id_,
        what=what,
        unit=unit,
        value=amount / ours.middle(),
        peer=Peer(name=peer_name, value=amount / theirs.middle()),
        ratio=ours.speedup_over(theirs),
        note=f"by the clock {ours.speedup_over(theirs, 'wall'):.2f}x",
        **fields,
    )


def measure_mixed(rounds: int) -> list[Row]:
    rows = []

    for letters, shape, name, num in (
        ("ab", SMALL, "shape S", 16),
        ("de", replace(SMALL, text_size=QWEN_TEXT), "shape S with Qwen's 151,936 text rows", 8),
        ("fg", MEDIUM, "shape M", 8),
    ):
        rows += measure_mixed_at(shape, name, num, letters, rounds)

    rows.insert(2, measure_host(rounds))

    return rows


def measure_mixed_at(shape: Shape, name: str, num: int, letters: str, rounds: int) -> list[Row]:
    lens = draw_lens(num)

    ours = make_ours(shape)

    vocabulary = ours.vocabulary

    padded, packed = (make_batch(vocabulary, lens, text_share=TEXT_SHARE, packed=packed) for packed in (False, True))

    theirs = StreamsOverQwen(shape, vocabulary).train()

    attention_mask = (torch.arange(max(lens)) < torch.tensor(lens)[:, None]).long()

    arguments = padded.ids, padded.loss_mask, attention_mask

    # The same weights serve both ways of the peer, which take the same steps.
    ways = {
        "ours": step_of_ours(ours, packed),
        "masked": step_of(theirs, lambda: theirs.loss(*arguments)),
        "needed": step_of(theirs, lambda: theirs.loss_where_needed(*arguments)),
    }

    times = interleave(ways, rounds=rounds)

    share = 100 * (1 - sum(lens) / (num * max(lens)))

    rest = f"mixed lengths, {share:.0f} % padding where padded, {TEXT_SHARE:.0%} text targets, {name}"

    equal = f"documents, targets, rows of embedding and heads, {EQUAL}; both sum embeddings by embedding_bag"

    return [
        rate_row(
            f"P1{letters[0]}",
            f"training, useful frames a second, {rest}",
            "frames/s",
            sum(lens),
            times,
            "masked",
            "HF Qwen2, padded, masked loss",
            goal=">= 5",
            equal=equal,
            not_equal="theirs is padded and computes all rows of the heads everywhere, under a mask; stream 0's softmax"
            " is over all its classes",
            reason=f"{FLOPS_REASON}: with so narrow a head of text, less than four times",
        ),
        rate_row(
            f"P1{letters[1]}",
            f"the same, the peer's heads where there is a target, {name}",
            "frames/s",
            sum(lens),
            times,
            "needed",
            "HF Qwen2, padded, equal heads",
            goal=">= 2.3",
            equal=f"{equal}; heads are computed where they have a target, over the same classes",
            not_equal="theirs is padded",
            reason=f"{FLOPS_REASON}: equal heads cost both the same, and half a batch of padding is twice a backbone",
        ),
    ]


def measure_host(rounds: int) -> Row:
    """Rows of text of equal lengths, which is all that fairseq2's own model can be given."""
    batch_size, length = 8, 256

    ours = make_ours(SMALL, num_streams=1)

    space = ours.vocabulary.text_space

    theirs = make_fairseq2_qwen(SMALL, ours.vocabulary.size)

    batch = make_batch(ours.vocabulary, [length] * batch_size, text_share=1.0, packed=False)

    ids, targets = batch.ids[:, :-1, 0].contiguous(), batch.ids[:, 1:, 0].contiguous()

    def loss_of_theirs() -> Tensor:
        loss: Tensor = theirs(ids, BatchLayout.of(ids), targets) / targets.numel()

        return loss

    ways = {"ours": step_of_ours(ours, batch), "theirs": step_of(theirs, loss_of_theirs)}

    return rate_row(
        "P1c",
        "training on rows of text of equal lengths, shape S",
        "positions/s",
        targets.numel(),
        interleave(ways, rounds=rounds),
        "theirs",
        "fairseq2's Qwen",
        goal=">= 1.0",
        equal=f"rows, targets, tables of {ours.vocabulary.size:,} rows, {EQUAL}",
        not_equal=f"our softmax is over the {len(space):,} classes of text, theirs over all; we compute the last"
        " position's hidden state too",
    )


def measure_musicgen(rounds: int) -> list[Row]:
    batch_size, length = 8, 256

    # Neither has text: the rows that are left are those of the reserved slots.
    shape = replace(SMALL, text_size=1)

    ours, theirs = make_ours(shape), make_musicgen(shape)

    batch = make_batch(ours.vocabulary, [length] * batch_size, text_share=0.0, packed=False)

    codes = batch.ids - torch.tensor(ours.vocabulary.codebook_offsets())

    inputs, labels = codes[:, :-1].transpose(1, 2).reshape(-1, length - 1), codes[:, 1:]

    def loss_of_theirs() -> Tensor:
        # [B * Q, S], [B, S, Q]; a sum over code books, as ours.
        loss: Tensor = NUM_STREAMS * theirs(input_ids=inputs, labels=labels, use_cache=False).loss

        return loss

    ways = {"ours": step_of_ours(ours, batch), "theirs": step_of(theirs, loss_of_theirs)}

    sizes = [sum(parameter.numel() for parameter in model.parameters()) / 1e6 for model in (ours, theirs)]

    return [
        rate_row(
            "P2",
            "multi-stream training, frames a second, equal lengths, shape S",
            "frames/s",
            batch_size * (length - 1),
            interleave(ways, rounds=rounds),
            "theirs",
            "HF MusicGen, bare loop",
            goal=">= 1.3",
            equal=f"frames, 8 code books, width, layers, {EQUAL}; {sizes[0]:.1f} and {sizes[1]:.1f} M parameters",
            not_equal="its feed-forward has two matrices of 1.5 times the width instead of three, layer norms and no"
            " rotation; its cross attention is removed; ours has 257 classes more in stream 0",
            reason="both spend most of a step in equal products of matrices, which run at the machine's rate",
        )
    ]


def measure_streams(rounds: int) -> list[Row]:
    """What eight streams cost over one of text, once the products of the heads are taken off."""
    rows = []

    for letter, shape, name, batch_size in (("a", SMALL, "S", 8), ("b", MEDIUM, "M", 2)):
        model = make_ours(shape)

        vocabulary = model.vocabulary

        lens = [256] * batch_size

        speech, text = (make_batch(vocabulary, lens, text_share=share, packed=False) for share in (0.0, 1.0))

        # Multiplications a position, forward.
        backbone = shape.num_layers * shape.model_dim * (4 * shape.model_dim + 3 * shape.ffn_dim + lens[0])

        heads = shape.model_dim * (len(vocabulary.speech_space) + (NUM_STREAMS - 1) * CODEBOOK_SIZE)

        flops = (backbone + heads) / (backbone + shape.model_dim * len(vocabulary.text_space))

        # One model and one optimizer, so that what does not depend on the batch is the same.
        ways = {"ours": step_of_ours(model, speech), "text": step_of_ours(model, text)}

        times = interleave(ways, rounds=rounds)

        cost = 1 / times["ours"].speedup_over(times["text"])

        rows.append(
            Row(
                id=f"P3{letter}",
                what=f"a step of 8 streams over a step of text, beyond what the heads multiply more, shape {name}",
                unit="ms",
                value=1_000 * times["ours"].middle(),
                peer=Peer(name="the same model on text", value=1_000 * times["text"].middle()),
                ratio=cost / flops,
                goal="<= 1.05",
                note=f"{cost:.3f}x the time for {flops:.3f}x the products",
                equal="model, AdamW, positions",
                not_equal=f"text: {len(vocabulary.text_space):,} classes and one id a position; speech: 8 streams",
                reason="eight softmaxes are a larger share of a step than their products are",
            )
        )

    return rows


def measure_loss(rounds: int) -> list[Row]:
    num_rows, width = 2_048, SMALL.model_dim

    heads = make_ours(replace(SMALL, text_size=QWEN_TEXT - 256)).heads

    table = heads.stream0_weight

    vocabulary = heads.vocabulary

    generator = torch.Generator().manual_seed(0)

    hidden = torch.randn((1, num_rows + 1, width), generator=generator).requires_grad_()

    ids = torch.full((1, num_rows + 1, NUM_STREAMS), vocabulary.pad)

    ids[0, :, 0] = torch.randint(0, vocabulary.text_size, (num_rows + 1,), generator=generator)

    mask = ids != vocabulary.pad

    num_classes = len(vocabulary.text_space)

    def ours() -> Tensor:
        total: Tensor = heads(hidden, ids, mask).total

        return total

    # As a head of its own, since a slice of a larger table would cost a copy.
    plain_table = table.detach()[:num_classes].clone().requires_grad_()

    def plain() -> Tensor:
        logits = functional.linear(hidden[0, :-1], plain_table)

        return functional.cross_entropy(logits, ids[0, 1:, 0], reduction="sum")

    results: dict[str, list[Tensor]] = {}

    peaks: dict[str, list[int]] = {"ours": [], "plain": []}

    def run(name: str, loss_of: Callable[[], Tensor], weight: Tensor) -> Callable[[], None]:
        def once() -> None:
            for tensor in (hidden, weight, heads.codebook_weight):
                tensor.grad = None

            # What an earlier run has left is not given back before.
            results.pop(name, None)

            def both() -> None:
                loss_of().backward()

            peaks[name].append(peak_of(both))

            results[name] = [hidden.grad, weight.grad]

        return once

    times = interleave({"ours": run("ours", ours, table), "plain": run("plain", plain, plain_table)}, rounds=rounds)

    grads, plain_grads = results["ours"], results["plain"]

    grads[1] = grads[1][:num_classes]

    error = max(
        float((one - other).abs().max() / other.abs().max()) for one, other in zip(grads, plain_grads, strict=True)
    )

    # What both must return is no extra.
    kept = sum(grad.numel() * grad.element_size() for grad in plain_grads)

    extra = {name: median(values) - kept for name, values in peaks.items()}

    where = f"{num_rows:,} positions of {num_classes:,} classes, width {width}"

    equal = "positions, classes, hidden states, weights; forward and backward; one thread, float32"

    other = "ours is the model's head, whose table has the rows of code book 0 as well, with its seven other heads idle"

    return [
        Row(
            id="P4a",
            what=f"loss: memory at the peak beyond the gradients themselves, {where}",
            unit="MB",
            value=extra["ours"] / 1e6,
            peer=Peer(name="linear + cross_entropy", value=extra["plain"] / 1e6),
            ratio=extra["ours"] / extra["plain"],
            goal="<= 0.08",
            equal=equal,
            not_equal=other,
            reason="a chunk of logits, and gradients of rows that the plain one does not have",
        ),
        Row(
            id="P4b",
            what=f"loss: time, {where}",
            unit="s",
            value=times["ours"].middle(),
            peer=Peer(name="linear + cross_entropy", value=times["plain"].middle()),
            ratio=1 / times["ours"].speedup_over(times["plain"]),
            goal="<= 1.0",
            note=f"by the clock {1 / times['ours'].speedup_over(times['plain'], 'wall'):.2f}",
            equal=equal,
            not_equal=other,
            reason="the same products, in chunks",
        ),
        Row(
            id="P4c",
            what="loss: largest difference of the gradients, over their largest entry",
            unit="",
            value=error,
            goal="<= 0.00001",
            equal=equal,
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    args = make_parser(__doc__, PARTS, rounds=3).parse_args(argv)

    torch.set_num_threads(1)

    init_fairseq2()

    measures = (measure_mixed, measure_musicgen, measure_streams, measure_loss)

    return run_parts({name: lambda run=run: run(args.rounds) for name, run in zip(PARTS, measures, strict=True)}, args)


if __name__ == "__main__":
    sys.exit(main())
