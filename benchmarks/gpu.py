"""G1 and G2: training and decoding of the shape of Qwen2.5-0.5B on one GPU, beside transformers in the same run.

``make bench-gpu`` runs it. It was written without a GPU at hand, and has not been run. Peak rates are those of data
sheets, for bfloat16 without sparsity.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from fairseq2 import init_fairseq2
from rows import Limit, Peer, Row, make_parser, run_parts

from codec_s2st.plan.devices import GPUS

TEXT_ROWS, SEQ_LEN, TEXT_SHARE = 151_936, 4_096, 0.1

DOCUMENT = 512
"""Steps of a document: eight stand in a row."""

PROMPT = 128
"""Steps before the first that is decoded."""


def peak_tflops() -> float:
    """
    :raises RuntimeError: the device is none of which we know the data sheet.
    """
    name = torch.cuda.get_device_name()

    for part, device in GPUS.items():
        if part.upper() in name:
            return device.peak_tflops

    raise RuntimeError(f"the peak of {name} is not known; known are {', '.join(GPUS)}")


def seconds_of(run: Callable[[], Any]) -> tuple[float, Any]:
    torch.cuda.synchronize()

    start = time.perf_counter()

    output = run()

    torch.cuda.synchronize()

    return time.perf_counter() - start, output


def make_ours() -> Any:
    from codec_s2st.models.codec_lm.hub import get_codec_lm_hub

    config = get_codec_lm_hub().get_arch_config("qwen2_5_0_5b")

    config.decoder = replace(config.decoder, max_seq_len=SEQ_LEN)

    return get_codec_lm_hub().create_new_model(config, device=torch.device("cuda"), dtype=torch.bfloat16)


def make_theirs(vocab_size: int) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=896,
        intermediate_size=4_864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=SEQ_LEN,
        tie_word_embeddings=False,
    )

    with torch.device("cuda"):
        return Qwen2ForCausalLM(config).to(torch.bfloat16)


def make_step(model: Any, loss_of: Callable[[], torch.Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        loss_of().backward()

        optimizer.step()

        optimizer.zero_grad(set_to_none=True)

    return step


def measure_training(rounds: int) -> list[Row]:
    from codec_s2st.plan.flops import step_flops
    from codec_s2st.plan.shape import shape_of_batch
    from codec_s2st.tokens.sequence import SequenceBuilder

    ours = make_ours().train()

    vocabulary = ours.vocabulary

    ids = torch.full((1, SEQ_LEN, vocabulary.num_streams), vocabulary.pad, device="cuda")

    is_text = torch.rand(SEQ_LEN, device="cuda") < TEXT_SHARE

    for stream, (offset, size) in enumerate(zip(vocabulary.codebook_offsets(), vocabulary.codebook_sizes, strict=True)):
        ids[0, :, stream] = torch.randint(offset, offset + size, (SEQ_LEN,), device="cuda")

    ids[0, is_text, 0] = torch.randint(0, TEXT_ROWS, (int(is_text.sum()),), device="cuda")
    ids[0, is_text, 1:] = vocabulary.pad

    mask = ids != vocabulary.pad

    lens = [DOCUMENT] * (SEQ_LEN // DOCUMENT)

    mask[0, ::DOCUMENT] = False

    def loss_of_ours() -> torch.Tensor:
        loss = ours(ids, loss_mask=mask, packed_lens=lens).loss

        return loss.total / SEQ_LEN

    theirs = make_theirs(vocabulary.stream0_size).train()

    compiled = torch.compile(theirs)

    flat = ids[..., 0].view(-1, DOCUMENT)

    def loss_of_theirs() -> torch.Tensor:
        return compiled(input_ids=flat, labels=flat).loss

    steps = {"ours": make_step(ours, loss_of_ours), "theirs": make_step(theirs, loss_of_theirs)}

    for step in (*steps.values(), *steps.values(), *steps.values()):
        step()

    times: dict[str, list[float]] = {name: [] for name in steps}

    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(seconds_of(step)[0])

    shape = shape_of_batch(ids[0], mask[0], lens, SequenceBuilder(vocabulary, ours.pattern))

    useful = sum(part.useful for part in step_flops(ours, shape))

    rate, their_rate = (SEQ_LEN / median(times[name]) for name in ("ours", "theirs"))

    mfu = 100 * useful * rate / SEQ_LEN / (peak_tflops() * 1e12)

    device = torch.cuda.get_device_name()

    return [
        Row(
            id="G1a",
            what=f"training steps of 0.5B in bfloat16, positions a second, rows of {SEQ_LEN:,}, {device}",
            unit="1/s",
            value=rate,
            peer=Peer(name="HF Qwen2, compiled", value=their_rate),
            ratio=rate / their_rate,
            goal=">= 1.5",
            equal="shape of the backbone, documents, batch, AdamW (fused), type of the numbers",
            not_equal="ours has two more code books, and text logits at a tenth of the positions; theirs at all",
        ),
        Row(
            id="G1b",
            what="useful MFU: what recomputation, padding and the upper half of attention cost is not counted",
            unit="%",
            value=mfu,
            goal=">= 45",
            limit=Limit(value=100.0, how=f"{peak_tflops():g} TFLOP/s of the data sheet"),
        ),
    ]


def measure_decoding(rounds: int, num_steps: int) -> list[Row]:
    from codec_s2st.generation.generator import GenerationOptions, GenerationRequest, SegmentGenerator
    from codec_s2st.tokens.sequence import Modality

    ours = make_ours().eval().requires_grad_(False)

    vocabulary = ours.vocabulary

    theirs = make_theirs(vocabulary.stream0_size).eval()

    prompt = torch.full((PROMPT, vocabulary.num_streams), vocabulary.pad, device="cuda")

    prompt[:, 0] = torch.randint(0, TEXT_ROWS, (PROMPT,), device="cuda")

    rows = []

    for id_, batch_size, goal in (("G2a", 1, ">= 4"), ("G2b", 64, ">= 4")):
        generator = SegmentGenerator(ours, GenerationOptions(batch_size=batch_size))

        requests = [
            GenerationRequest(prompt=prompt, modality=Modality.SPEECH, max_length=num_steps, seed=i)
            for i in range(batch_size)
        ]

        def run_ours(generator: Any = generator, requests: Any = requests) -> int:
            return sum(len(segment.ids) for segment in generator.generate(requests))

        def run_theirs(batch_size: int = batch_size) -> int:
            ids = prompt[:, 0].expand(batch_size, PROMPT)

            output = theirs.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, pad_token_id=0,
                min_new_tokens=num_steps, max_new_tokens=num_steps,
            )  # fmt: skip

            return output.size(0) * (output.size(1) - PROMPT)

        rates: dict[str, list[float]] = {"ours": [], "theirs": []}

        for round_ in range(-1, rounds):
            for name, run in (("ours", run_ours), ("theirs", run_theirs)):
                seconds, num_frames = seconds_of(run)

                if round_ >= 0:
                    rates[name].append(num_frames / seconds)

        rate, their_rate = median(rates["ours"]), median(rates["theirs"])

        rows.append(
            Row(
                id=id_,
                what=f"decoding frames a second, 0.5B in bfloat16, batch {batch_size}, {torch.cuda.get_device_name()}",
                unit="1/s",
                value=rate,
                peer=Peer(name="HF generate, eager", value=their_rate),
                ratio=rate / their_rate,
                goal=goal,
                equal="shape of the backbone, prompt, type of the numbers, sampling",
                not_equal="ours samples three streams and ends where a row says so; theirs one, to the last step",
            )
        )

    absolute = [(rows[0].value, "G2c", 1, ">= 1400"), (rows[1].value, "G2d", 64, ">= 40000")]

    return rows + [
        Row(id=id_, what=f"the same, by itself, batch {size}", unit="1/s", value=rate, goal=goal)
        for rate, id_, size, goal in absolute
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__, ["G1", "G2"])

    parser.add_argument("--steps", type=int, default=256, help="the number of frames that G2 decodes")

    args = parser.parse_args(argv)

    if not torch.cuda.is_available():
        print("bench: G1 and G2 need an NVIDIA GPU; torch finds none on this machine", file=sys.stderr)

        return 1

    init_fairseq2()

    return run_parts(
        {"G1": lambda: measure_training(args.rounds), "G2": lambda: measure_decoding(args.rounds, args.steps)}, args
    )


if __name__ == "__main__":
    sys.exit(main())
