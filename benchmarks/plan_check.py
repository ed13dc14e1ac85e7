"""The plan beside what it plans: real training steps on this machine, their time and their peak of memory.

Three models take training steps in float32 on the threads that torch is given. The time of a step is predicted from its
operations, by part, and the rate at which this machine computes products of that part's own shape; what is bound by
memory, from the bytes that the plan counts and the rate at which this machine adds. Neither looks at the step.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from fairseq2 import init_fairseq2
from rows import Row, make_parser, run_parts
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

TEXT_SHARE = 0.1

PASSES = 6
"""How often what autograd keeps passes through memory: written once and read once forward, read once backward, its
gradient written and read, and once for what is made on the way and not kept. A count, and not fitted to the steps."""

ADAMW_BYTES = 28
"""A parameter: weight and both moments are read and written, the gradient is read."""


GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""Without these, the C library keeps tens of megabytes of what was freed."""


@dataclass(frozen=True)
class Shape:
    model_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    ffn_dim: int
    text_rows: int
    num_books: int
    num_steps: int
    document: int


SHAPES = {
    "a": Shape(256, 4, 4, 4, 704, 4_096, 8, 2_048, 256),
    "b": Shape(512, 6, 8, 8, 1_408, 16_384, 4, 1_024, 256),
    "c": Shape(896, 4, 14, 2, 4_864, 32_768, 3, 1_024, 512),
}


def make_config(shape: Shape) -> Any:
    from codec_s2st.models.codec_lm.hub import get_codec_lm_hub

    config = get_codec_lm_hub().get_arch_config("demo")

    decoder = config.decoder

    decoder.model_dim, decoder.num_layers, decoder.ffn_inner_dim = shape.model_dim, shape.num_layers, shape.ffn_dim
    decoder.num_attn_heads, decoder.num_key_value_heads = shape.num_heads, shape.num_kv_heads
    decoder.vocab_size, decoder.max_seq_len = shape.text_rows, 2_048

    config.codebook_sizes = [1_024] * shape.num_books

    return config


def make_batch(model: Any, shape: Shape) -> tuple[Tensor, Tensor, list[int]]:
    vocabulary = model.vocabulary

    generator = torch.Generator().manual_seed(0)

    ids = torch.full((shape.num_steps, vocabulary.num_streams), vocabulary.pad)

    for q, (begin, size) in enumerate(zip(vocabulary.codebook_offsets(), vocabulary.codebook_sizes, strict=True)):
        ids[:, q] = torch.randint(begin, begin + size, (shape.num_steps,), generator=generator)

    is_text = torch.rand(shape.num_steps, generator=generator) < TEXT_SHARE

    ids[is_text] = vocabulary.pad
    ids[is_text, 0] = torch.randint(vocabulary.text_size, (int(is_text.sum()),), generator=generator)

    return ids, ids != vocabulary.pad, [shape.document] * (shape.num_steps // shape.document)


def make_step(shape: Shape) -> tuple[Any, Any, Callable[[], None]]:
    """Returns a model, the shape of its batch, and a function that does one step of training."""
    from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
    from codec_s2st.plan.shape import shape_of_batch
    from codec_s2st.tokens.sequence import SequenceBuilder

    torch.manual_seed(0)

    model: Any = get_codec_lm_hub().create_new_model(make_config(shape)).train()

    ids, mask, lens = make_batch(model, shape)

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        loss = model(ids[None], loss_mask=mask[None], packed_lens=lens).loss

        (loss.total / loss.num_targets).backward()

        optimizer.step()

        optimizer.zero_grad(set_to_none=True)

    return model, shape_of_batch(ids, mask, lens, SequenceBuilder(model.vocabulary, model.pattern)), step


def cpu_seconds(run: Callable[[], object], rounds: int) -> float:
    run()

    times = []

    for _ in range(rounds):
        start = time.process_time()

        run()

        times.append(time.process_time() - start)

    return median(times)


def linear_rate(rows: float, inner: int, columns: int, rounds: int) -> float:
    """FLOP a second of a linear layer, forward and both gradients."""
    x, w = torch.randn(max(int(rows), 1), inner, requires_grad=True), torch.randn(columns, inner, requires_grad=True)

    grad = torch.randn(x.size(0), columns)

    return 6 * x.numel() * columns / cpu_seconds(lambda: linear(x, w).backward(grad), rounds)


def attention_rate(shape: Shape, rounds: int) -> float:
    """FLOP a second of causal attention in documents, forward and backward, 3.5 times what is seen forward."""
    head_dim = shape.model_dim // shape.num_heads

    q, k, v = (
        torch.randn(shape.num_steps // shape.document, shape.num_heads, shape.document, head_dim, requires_grad=True)
        for _ in range(3)
    )

    def run() -> None:
        scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()

    pairs = shape.num_steps * (shape.document + 1) / 2

    return 4 * shape.model_dim * pairs * 3.5 / cpu_seconds(run, rounds)


def memory_rate(rounds: int) -> float:
    """Bytes a second of adding one tensor to another, larger than any cache: two are read, one is written."""
    x, y = torch.ones(16_000_000), torch.ones(16_000_000)

    return 12 * x.numel() / cpu_seconds(lambda: x.add_(y), rounds)


def predict(model: Any, batch: Any, shape: Shape, rounds: int) -> dict[str, float]:
    """Returns the seconds of a step by part."""
    from codec_s2st.plan.flops import step_flops
    from codec_s2st.plan.memory import Settings, memory_of

    parts = {part.name: part.executed for part in step_flops(model, batch)}

    vocabulary, width = model.vocabulary, shape.model_dim

    memory = memory_of(
        model, make_config(shape).decoder, batch, Settings(precision="float32", num_devices=1), on_cpu=True
    )

    num_parameters = sum(p.numel() for p in model.parameters())

    bandwidth = memory_rate(rounds)

    return {
        "backbone": parts["backbone"] / linear_rate(shape.num_steps, width, shape.ffn_dim, rounds),
        "attention": parts["attention"] / attention_rate(shape, rounds),
        "text head": parts["text head"]
        / linear_rate(batch.num_text_targets, width, len(vocabulary.text_space), rounds),
        "code book heads": parts["code book heads"]
        / linear_rate(batch.num_code_targets, width, sum(vocabulary.codebook_sizes[1:]), rounds),
        "activations": PASSES * memory.activations / bandwidth,
        "logits": PASSES * memory.logits / bandwidth,
        "optimizer": ADAMW_BYTES * num_parameters / bandwidth,
    }


def measure_times(rounds: int) -> list[Row]:
    rows = []

    for name, shape in SHAPES.items():
        model, batch, step = make_step(shape)

        step()

        predictions, times = [], []

        # In turn, so that whatever else the machine does meets both.
        for _ in range(rounds):
            predictions.append(predict(model, batch, shape, 3))

            times.append(cpu_seconds(step, 3))

        predicted = median(sum(parts.values()) for parts in predictions)

        measured = median(times)

        error = 100 * abs(predicted / measured - 1)

        shares = ", ".join(f"{part} {median(p[part] for p in predictions):.2f}" for part in predictions[0])

        rows.append(
            Row(
                id=f"plan-time-{name}",
                what=f"a training step of width {shape.model_dim}, {shape.num_layers} layers, {shape.text_rows:,} text"
                f" rows, {shape.num_steps:,} positions: error of the predicted time",
                unit="%",
                value=error,
                goal="<= 20",
                not_equal="predicted from products and sums of the same shapes alone",
                note=f"predicted {predicted:.2f} s, measured {measured:.2f} s of the CPU; {shares}",
            )
        )

    return rows


def peak_of_steps(name: str) -> dict[str, float]:
    """Takes two steps, and returns the bytes by which this process has grown at most."""
    # Libraries, threads and kernels first.
    make_step(Shape(32, 1, 2, 2, 64, 64, 2, 64, 32))[2]()

    def resident(key: str) -> float:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()

        return next(1_024 * float(line.split()[1]) for line in lines if line.startswith(key))

    before = resident("VmRSS")

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    model, batch, step = make_step(SHAPES[name])

    step()
    step()

    from codec_s2st.plan.memory import Settings, memory_of

    decoder = make_config(SHAPES[name]).decoder

    measured = resident("VmHWM") - before

    return {
        "measured": measured,
        "predicted": memory_of(model, decoder, batch, Settings(precision="float32", num_devices=1), on_cpu=True).peak,
    }


def measure_memory() -> list[Row]:
    rows = []

    for name, shape in SHAPES.items():
        command = [sys.executable, __file__, "--peak", name]

        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **GIVE_BACK})

        found = json.loads(run.stdout)

        rows.append(
            Row(
                id=f"plan-memory-{name}",
                what=f"training steps of width {shape.model_dim}: error of the predicted peak of memory",
                unit="%",
                value=100 * abs(found["predicted"] / found["measured"] - 1),
                goal="<= 20",
                not_equal="measured is what the process grows by, where glibc gives back what is freed",
                note=f"predicted {found['predicted'] / 1e6:.0f} MB, measured {found['measured'] / 1e6:.0f} MB",
            )
        )

    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__, ["plan"], rounds=3)

    parser.add_argument("--peak", choices=list(SHAPES), help=argparse.SUPPRESS)

    args = parser.parse_args(argv)

    init_fairseq2()

    if args.peak:
        print(json.dumps(peak_of_steps(args.peak)))

        return 0

    # Memory first: a process counts that of the one that started it as its own.
    return run_parts({"plan": lambda: [*measure_memory(), *measure_times(args.rounds)]}, args)


if __name__ == "__main__":
    sys.exit(main())
