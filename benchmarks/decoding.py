"""Generating codes: beside MusicGen (P5), CSM (P6) and the memory's bandwidth (P7); in int8 (P8), in batches (P9).

``python benchmarks/decoding.py`` prints their rows. All weights but those of P8c are random, all is float32 on one
thread, and ours is the path of `codec-s2st translate` from the prompt on: ``SegmentGenerator``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from decoding_peers import bare_musicgen, make_csm, make_musicgen, run_csm, run_musicgen
from rows import Limit, Peer, Row, interleave, make_parser, run_parts
from torch import Tensor

from codec_s2st.generation.engine import DecodingEngine
from codec_s2st.generation.generator import SegmentGenerator
from codec_s2st.generation.options import GenerationOptions, GenerationRequest
from codec_s2st.generation.sampling import StreamSampling
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder
from codec_s2st.tokens.vocabulary import FLUSH, SPEECH_END

NUM_STREAMS, NUM_CODES = 8, 1_032

PROMPT_FRAMES = 32


@dataclass(frozen=True)
class Shape:
    model_dim: int
    num_layers: int
    num_heads: int
    ffn_inner_dim: int
    text_size: int


S = Shape(256, 4, 4, 704, 4_096)
M = Shape(512, 8, 8, 1_408, 32_768)


def make_model(shape: Shape, *, pattern: str = "parallel", heads: str = "parallel") -> CodecLM:
    """Returns a model with random weights that never ends a segment by itself: lengths are given."""
    torch.manual_seed(0)

    config: CodecLMConfig = get_codec_lm_hub().get_arch_config("tiny")

    decoder = config.decoder

    decoder.model_dim, decoder.num_layers = shape.model_dim, shape.num_layers
    decoder.num_attn_heads = decoder.num_key_value_heads = shape.num_heads
    decoder.ffn_inner_dim, decoder.vocab_size = shape.ffn_inner_dim, shape.text_size
    decoder.max_seq_len = 2_048

    config.codebook_sizes = [NUM_CODES] * NUM_STREAMS
    config.pattern, config.heads = pattern, heads  # type: ignore[assignment]

    model: CodecLM = get_codec_lm_hub().create_new_model(config).eval()

    with torch.no_grad():
        # The largest of 1,032 random logits is above 0.
        for name in (SPEECH_END, FLUSH):
            model.heads.stream0_weight[model.vocabulary.special(name)] = 0.0

    return model


def make_requests(
    model: CodecLM, lengths: Sequence[int], *, prompt_frames: int = PROMPT_FRAMES
) -> list[GenerationRequest]:
    generator = torch.Generator().manual_seed(0)

    builder = SequenceBuilder(model.vocabulary, model.pattern)

    requests = []

    for i, length in enumerate(lengths):
        sizes = model.vocabulary.codebook_sizes

        codes = torch.stack([torch.randint(0, size, (prompt_frames,), generator=generator) for size in sizes], dim=-1)

        prompt = builder.build([Segment(Modality.SPEECH, codes, in_loss=False)]).ids

        prompt = torch.cat([prompt, builder.opening(Modality.SPEECH)])

        requests.append(GenerationRequest(prompt=prompt, modality=Modality.SPEECH, max_length=length, seed=i))

    return requests


def make_way(model: CodecLM, lengths: Sequence[int], **options: Any) -> Callable[[], None]:
    """Returns a function that generates segments of these lengths in one batch."""
    generator = SegmentGenerator(model, GenerationOptions(batch_size=len(lengths), **options))

    assert generator.engine is not None

    requests = make_requests(model, lengths)

    def run() -> None:
        segments = generator.generate(requests)

        assert [len(segment.ids) for segment in segments] == list(lengths)

    return run


EQUAL_MUSICGEN = (
    "width 256, 4 layers, 4 heads, 8 streams of 1,032 codes in the delay pattern, parameters of a layer (gated with 704"
    " against plain with 1,056), number of steps, greedy choice, cache, fp32, one thread"
)


def measure_musicgen(rounds: int) -> Iterator[Row]:
    num_frames = 96

    model = make_model(S, pattern="delay")

    musicgen = make_musicgen(NUM_STREAMS, NUM_CODES)

    num_steps = num_frames + NUM_STREAMS - 1

    for batch_size, names in ((1, "ab"), (8, "cd")):
        ways = {
            "ours": make_way(model, [num_frames] * batch_size),
            "generate": lambda n=batch_size: run_musicgen(musicgen, n, num_frames),
            "loop": lambda n=batch_size: bare_musicgen(musicgen, n, num_steps),
        }

        times = interleave(ways, rounds=rounds)

        for name, way, goal, what, not_equal in (
            (names[0], "generate", ">= 3", "MusicgenForConditionalGeneration.generate", "theirs reads 4 text tokens"
             " through a one-layer T5 and attends to them in each layer, ours reads a prompt of 34 steps; theirs ends"
             " with a codec of two filters; its head has no end of a segment"),
            (names[1], "loop", ">= 1.5", "MusicgenForCausalLM, a bare loop of forward passes with cache", "theirs"
             " has no prompt, no cross attention, neither masks nor limits, and all rows go on to the end; ours reads a"
             " prompt of 34 steps, then attends to it"),
        ):  # fmt: skip
            yield Row(
                id=f"P5{name}",
                what=f"decoding frames/s, shape S, batch {batch_size}, times {what}",
                unit="frames/s",
                value=batch_size * num_frames / times["ours"].least(),
                goal=goal,
                peer=Peer(name=f"transformers {way}", value=batch_size * num_frames / times[way].least()),
                ratio=times["ours"].speedup_over(times[way]),
                equal=EQUAL_MUSICGEN,
                not_equal=not_equal,
                reason="the products of weights are the same on both sides and are most of our time (the table of a"
                " step in benchmarks/README.md); where others use the machine's caches, they alone grow",
            )


def measure_csm(rounds: int) -> Iterator[Row]:
    num_frames = 24

    csm = make_csm(NUM_STREAMS, NUM_CODES, S.text_size)

    ways = {
        "ours": make_way(make_model(S), [num_frames]),
        "ours, depth": make_way(make_model(S, heads="depth"), [num_frames]),
        "csm": lambda: run_csm(csm, PROMPT_FRAMES, num_frames),
    }

    times = interleave(ways, rounds=rounds)

    with_depth = times["ours, depth"].speedup_over(times["csm"])

    yield Row(
        id="P6",
        what="decoding frames/s, shape S, batch 1, times CsmForConditionalGeneration.generate",
        unit="frames/s",
        value=num_frames / times["ours"].least(),
        goal=">= 8",
        peer=Peer(name="transformers CSM", value=num_frames / times["csm"].least()),
        ratio=times["ours"].speedup_over(times["csm"]),
        equal="backbone of width 256, 4 layers, 4 heads, 704; 8 streams; frames; greedy, cache, fp32, one thread",
        not_equal="theirs draws streams 1 to 7 with a depth transformer of 2 layers, ours with parallel heads",
        reason="the products of weights are most of our time (the table of a step in benchmarks/README.md)",
        note=f"ours with a depth transformer of 2 layers too: {with_depth:.3g} times",
    )


def measure_roofline(rounds: int) -> Iterator[Row]:
    num_frames = 96

    model = make_model(M)

    num_bytes = count_bytes_of_step(model)

    # As many bytes in matrices as wide as the model's.
    parts = torch.randn(num_bytes // 4 // M.model_dim, M.model_dim).split(2_816)

    # By columns, as ours: by rows, this takes longer, and would be no limit.
    weights = [part.t().contiguous() for part in parts]

    x = torch.randn(1, M.model_dim)

    def read_weights() -> None:
        for _ in range(num_frames):
            for weight in weights:
                torch.mm(x, weight)

    times = interleave({"ours": make_way(model, [num_frames]), "products": read_weights}, rounds=rounds)

    ours, products = times["ours"].least(), times["products"].least()

    yield Row(
        id="P7",
        what="decoding, shape M, batch 1: weight bytes x steps/s over the bandwidth of a matrix times a vector",
        unit="GB/s",
        value=num_bytes * num_frames / ours / 1e9,
        goal=">= 0.85",
        peer=Peer(name="torch.mm", value=num_bytes * num_frames / products / 1e9),
        ratio=1.0 / times["products"].speedup_over(times["ours"]),
        limit=Limit(value=num_bytes * num_frames / products / 1e9, how="torch.mm over as many bytes, side by side"),
        equal="bytes of weights, fp32, one thread",
        not_equal="ours reads a prompt of 33 steps too, attends, normalizes, and chooses codes",
        reason="beside the products: attention, 17 norms, the choice of 8 codes and their checks; see the table of a"
        " step's time in benchmarks/README.md",
    )


def count_bytes_of_step(model: CodecLM) -> int:
    """Returns the bytes of the weights that a step of speech reads: the layers, and the heads of the codes."""
    numbers = sum(parameter.numel() for parameter in model.decoder.parameters())

    codebooks = model.heads.codebook_weight

    assert codebooks is not None

    return 4 * (numbers + codebooks.numel() + (1 + NUM_CODES) * codebooks.size(1))


def measure_int8(rounds: int) -> Iterator[Row]:
    num_frames = 64

    model = make_model(M)

    for batch_size, name, goal in ((1, "a", ">= 2"), (8, "b", ">= 2.5")):
        lengths = [num_frames] * batch_size

        ways = {"fp32": make_way(model, lengths), "int8": make_way(model, lengths, quantize="int8")}

        times = interleave(ways, rounds=rounds)

        yield Row(
            id=f"P8{name}",
            what=f"int8 decoding frames/s, shape M, batch {batch_size}, times our float32",
            unit="frames/s",
            value=batch_size * num_frames / times["int8"].least(),
            goal=goal,
            peer=Peer(name="our fp32", value=batch_size * num_frames / times["fp32"].least()),
            ratio=times["int8"].speedup_over(times["fp32"]),
            equal="all but the products of weights",
            reason="attention, norms and the choice of codes are float32 in both, and are most of what is left",
        )

    before, after, num_targets = cross_entropies()

    yield Row(
        id="P8c",
        what="int8: change of the teacher-forced cross entropy of speech, the shipped model demo_cpt",
        unit="%",
        value=100 * abs(after - before) / before,
        goal="<= 0.5",
        equal="the same sequences, 150 frames each, which the float32 model drew at temperature 1",
        note=f"{before:.4f} nats a code in float32, {after:.4f} in int8, {num_targets} codes",
    )


def cross_entropies() -> tuple[float, float, int]:
    """Returns the cross entropies of float32 and of int8 on what the model says, and the number of codes."""
    from codec_s2st.translator import SpeechTranslator

    model = SpeechTranslator.from_card("demo_cpt").model

    requests = make_requests(model, [150] * 8, prompt_frames=1)

    options = GenerationOptions(streams=(StreamSampling(temperature=1.0),))

    segments = SegmentGenerator(model, options).generate(requests)

    sums, count = [0.0, 0.0], 0

    for which, engine in enumerate((DecodingEngine(model), DecodingEngine(model, quantize="int8"))):
        for request, segment in zip(requests, segments, strict=True):
            losses = losses_of(engine, model, request.prompt, segment.ids)

            sums[which] += float(losses.sum())

            count += which * losses.numel()

    return sums[0] / count, sums[1] / count, count


@torch.inference_mode()
def losses_of(engine: DecodingEngine, model: CodecLM, prompt: Tensor, codes: Tensor) -> Tensor:
    """Returns the cross entropy of each code. *Shape:* [T, Q]. The pattern must be parallel."""
    assert model.pattern.name == "parallel"

    vocabulary = model.vocabulary

    ids = torch.cat([prompt, codes + torch.tensor(vocabulary.codebook_offsets())])

    hidden = engine.decoder.read(engine.embed(ids), engine.decoder.make_cache([len(ids)], 0))

    end = vocabulary.special(SPEECH_END)

    heads = engine.heads_over((range(end, end + 1), range(vocabulary.codes_begin, vocabulary.stream0_size)))

    [matrix] = heads.matrices

    logits = matrix(hidden[len(prompt) - 1 : -1])

    # The end is a choice of stream 0, before its codes.
    sizes = [1 + vocabulary.codebook_sizes[0], *vocabulary.codebook_sizes[1:]]

    losses = [
        torch.nn.functional.cross_entropy(part, codes[:, stream] + (stream == 0), reduction="none")
        for stream, part in enumerate(logits.split(sizes, dim=-1))
    ]

    return torch.stack(losses, dim=-1)


def measure_batches(rounds: int) -> Iterator[Row]:
    lengths = torch.distributions.LogNormal(4.2, 0.5).icdf((torch.arange(16) + 0.5) / 16).round().int().tolist()

    model = make_model(S)

    run = make_way(model, lengths)

    with counted_rows() as counts:
        run()

    # The first step of a segment is chosen where the prompt ends, and its last one is not read.
    useful, computed = sum(lengths), sum(counts)

    without = 16 * max(lengths)

    yield Row(
        id="P9a",
        what="a batch of 16 with log-normal lengths: row-steps that are computed for rows that are done",
        unit="%",
        value=100 * max(computed - useful, 0) / computed,
        goal="<= 12",
        peer=Peer(name="no compaction", value=100 * (without - useful) / without),
        equal="16 lengths at equal quantiles, median 67 frames, sigma 0.5",
        note=f"{computed} row-steps for {useful} frames; on a GPU the host looks every 16 steps only",
    )

    num_frames = 96

    ways = {"batch 1": make_way(model, [num_frames]), "batch 8": make_way(model, [num_frames] * 8)}

    times = interleave(ways, rounds=rounds)

    yield Row(
        id="P9b",
        what="frames/s of batch 8 over those of batch 1, shape S",
        unit="frames/s",
        value=8 * num_frames / times["batch 8"].least(),
        goal=">= 4",
        peer=Peer(name="batch 1", value=num_frames / times["batch 1"].least()),
        ratio=8.0 / times["batch 1"].speedup_over(times["batch 8"]),
        equal="model, prompt and number of steps",
        reason="the products of 8 rows are bound by arithmetic (about 58 GFLOP/s of one core), those of 1 row by the"
        " cache that the weights of shape S nearly fit into; so 8 rows cost more than twice one",
    )


@contextmanager
def counted_rows() -> Iterator[list[int]]:
    """Yields a list of the number of rows of each step that the engine reads."""
    from codec_s2st.models.codec_lm.decoding.fused import FusedDecoder

    counts: list[int] = []

    step = FusedDecoder.step

    def counted(self: FusedDecoder, x: Tensor, *args: Any) -> Tensor:
        counts.append(x.size(0))

        return step(self, x, *args)

    FusedDecoder.step = counted  # type: ignore[method-assign]

    try:
        yield counts
    finally:
        FusedDecoder.step = step  # type: ignore[method-assign]


def main(argv: Sequence[str] | None = None) -> int:
    parts = {
        "P5": measure_musicgen,
        "P6": measure_csm,
        "P7": measure_roofline,
        "P8": measure_int8,
        "P9": measure_batches,
    }

    args = make_parser(__doc__, parts, rounds=3).parse_args(argv)

    torch.set_num_threads(1)

    def bound(measure: Callable[[int], Iterator[Row]]) -> Callable[[], list[Row]]:
        return lambda: list(measure(args.rounds))

    return run_parts({name: bound(measure) for name, measure in parts.items()}, args)


if __name__ == "__main__":
    sys.exit(main())
