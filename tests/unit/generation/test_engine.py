"""The engine against the model's own modules, which read the whole sequence anew at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
import torch
from fairseq2.models.transformer_lm import TransformerLMDecoderLayer
from torch import Tensor

from codec_s2st.errors import UserInputError
from codec_s2st.generation.engine import DecodingEngine, EngineSteps
from codec_s2st.generation.generator import SegmentGenerator
from codec_s2st.generation.options import GeneratedSegment, GenerationOptions, GenerationRequest
from codec_s2st.generation.sampling import StreamSampling
from codec_s2st.generation.steps import ModelSteps, StepLogits, StepReader, WholeSequences
from codec_s2st.generation.target import SpeechTarget
from codec_s2st.models.codec_lm.backbones import RoPEScaling
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.decoding.known import why_unknown
from codec_s2st.models.codec_lm.lora import LoRA, add_lora, projections_of
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from tests.factories import random_segment, tiny_config, tiny_model

SPEECH, TEXT = Modality.SPEECH, Modality.TEXT

CPU: Final = torch.device("cpu")


def qwen2(config: CodecLMConfig) -> None:
    """Biases of queries, keys and values; groups of queries."""


def qwen1_5(config: CodecLMConfig) -> None:
    config.decoder.num_key_value_heads = 4


def qwen3(config: CodecLMConfig) -> None:
    config.decoder.qkv_proj_bias = False
    config.decoder.q_norm = config.decoder.k_norm = True
    config.decoder.head_dim = 16


def llama(config: CodecLMConfig) -> None:
    config.decoder.family = "llama"
    config.decoder.qkv_proj_bias = False
    config.decoder.norm_eps = 1e-5


def llama3_2(config: CodecLMConfig) -> None:
    llama(config)

    config.decoder.rope_scaling = RoPEScaling(factor=32.0, original_max_seq_len=64)


FAMILIES = [qwen2, qwen1_5, qwen3, llama, llama3_2]

PATTERNS = ["parallel", "delay", "flatten", "delay:0,2,1", "parallel+depth"]


def make_model(change: Callable[[CodecLMConfig], None] = qwen2, pattern: str = "parallel") -> CodecLM:
    config = tiny_config((16, 16, 16), pattern=pattern)

    change(config)

    model = tiny_model(config)

    with torch.no_grad():
        # As a trained model's, norms and biases are none that do nothing.
        for name, parameter in model.named_parameters():
            if name.endswith(("norm.weight", "bias")):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))

    return model


def make_requests(model: CodecLM, num: int = 7, length: int = 12) -> list[GenerationRequest]:
    builder = SequenceBuilder(model.vocabulary, model.pattern)

    requests = []

    for i in range(num):
        modality = SPEECH if i % 3 else TEXT

        prompt = builder.build([random_segment(builder, SPEECH, 2 + 5 * i % 9, i, in_loss=False)]).ids

        prompt = torch.cat([prompt, builder.opening(modality)])

        requests.append(GenerationRequest(prompt=prompt, modality=modality, max_length=length + i, seed=i))

    return requests


def generate(model: CodecLM, *, use_cache: bool = True, sampled: bool = False) -> list[GeneratedSegment]:
    sampling = StreamSampling(temperature=1.0 if sampled else 0.0)

    options = GenerationOptions(batch_size=4, use_cache=use_cache, streams=(sampling,), text=sampling)

    return SegmentGenerator(model, options).generate(make_requests(model))


def assert_equal(one: list[GeneratedSegment], two: list[GeneratedSegment]) -> None:
    assert len({len(segment.ids) for segment in one}) > 1

    for mine, theirs in zip(one, two, strict=True):
        assert torch.equal(mine.ids, theirs.ids) and mine.finished == theirs.finished


def all_logits(logits: StepLogits, ids: Tensor) -> list[Tensor]:
    return [logits.stream0(), *(logits.stream(stream, ids) for stream in range(1, ids.size(1)))]


@torch.inference_mode()
def compare_logits(model: CodecLM, one: StepReader, two: StepReader, *, tolerance: float = 1e-5) -> None:
    """Reads prompts of several lengths, then steps, and drops rows on the way."""
    prompts = [request.prompt for request in make_requests(model) if request.modality is SPEECH]

    if one.wants_equal_lengths or two.wants_equal_lengths:
        prompts = [prompt[:4] for prompt in prompts]

    spaces = SpeechTarget(model.vocabulary, model.pattern, [20], device=CPU).spaces

    logits = [reader.begin(prompts, 20, spaces) for reader in (one, two)]

    generator = torch.Generator().manual_seed(0)

    num_rows = len(prompts)

    for i in range(12):
        ids = torch.stack(
            [
                torch.randint(0, 16, (num_rows,), generator=generator) + begin
                for begin in model.vocabulary.codebook_offsets()
            ],
            dim=-1,
        )

        ours, theirs = (all_logits(it, ids) for it in logits)

        assert max(float(part.abs().max()) for part in theirs) > 1.0

        for mine, his in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.float(), his.float(), rtol=tolerance, atol=tolerance)

        if i in (3, 7):
            order = [0, 3, 2] if i == 3 else [2, 1]

            one.keep(order)
            two.keep(order)

            ids, num_rows = ids[order], len(order)

        logits = [reader.read(ids) for reader in (one, two)]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_the_models(family: Callable[[CodecLMConfig], None], pattern: str) -> None:
    model = make_model(family, pattern)

    compare_logits(model, EngineSteps(DecodingEngine(model)), WholeSequences(model))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_fairseq2s_cache_does_too(pattern: str) -> None:
    model = make_model(qwen2, pattern)

    compare_logits(model, ModelSteps(model), WholeSequences(model))


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_segments_are_the_models(family: Callable[[CodecLMConfig], None], sampled: bool) -> None:
    model = make_model(family, "delay")

    assert SegmentGenerator(model, GenerationOptions()).engine is not None

    assert_equal(generate(model, sampled=sampled), generate(model, use_cache=False, sampled=sampled))


@pytest.mark.parametrize("pattern", ["delay", "parallel+depth"])
def test_half_precision(pattern: str) -> None:
    model = make_model(qwen3, pattern).to(torch.bfloat16)

    compare_logits(model, EngineSteps(DecodingEngine(model)), WholeSequences(model), tolerance=0.2)

    assert len(generate(model)) == 7


class TestWeights:
    def test_updates_are_merged(self) -> None:
        model = make_model()

        before = make_model()

        projections = [it for name, it in projections_of(model.decoder).items() if "q_proj" in name or "ffn" in name]

        add_lora(projections, 2, alpha=4.0)

        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, LoRA):
                    module.weight_b.normal_(generator=torch.Generator().manual_seed(1))

        # The merged weight is rounded.
        compare_logits(model, EngineSteps(DecodingEngine(model)), WholeSequences(model), tolerance=1e-4)

        with pytest.raises(AssertionError):
            compare_logits(model, EngineSteps(DecodingEngine(model)), WholeSequences(before))

    def test_tables_that_are_cut_are_joined(self) -> None:
        model = make_model()

        model.decoder_frontend.embed.cut_text_rows(64)
        model.heads.cut_text_rows()

        compare_logits(model, EngineSteps(DecodingEngine(model)), WholeSequences(model))

    def test_fused_products_take_no_second_memory(self) -> None:
        model = make_model()

        before = {name: parameter.clone() for name, parameter in model.named_parameters()}

        DecodingEngine(model)

        assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())

        attention = model.get_submodule("decoder.layers.0.self_attn")

        storages = [attention.get_parameter(f"{name}_proj.weight").untyped_storage() for name in "qkv"]

        assert len({storage.data_ptr() for storage in storages}) == 1

        DecodingEngine(model)

        # The second engine found them as they should be.
        assert attention.get_parameter("q_proj.weight").untyped_storage().data_ptr() == storages[0].data_ptr()


class TestChoice:
    def test_known_models_have_nothing_against_them(self) -> None:
        assert [why_unknown(make_model(family, "parallel+depth")) for family in FAMILIES] == [None] * len(FAMILIES)

    def test_hooks_are_not_skipped(self) -> None:
        model = make_model()

        calls = []

        model.decoder.layers[1].register_forward_hook(lambda *_: calls.append(1))

        generator = SegmentGenerator(model, GenerationOptions())

        assert generator.engine is None and why_unknown(model) == "hooks on `decoder.layers.1`"

        # Prompts are of several lengths here, which this way reads one length at a time.
        assert_equal(generator.generate(make_requests(model)), generate(make_model(), use_cache=False))

        assert len(calls) > 20

    def test_a_layer_of_another_kind_is_unknown(self) -> None:
        class Other(TransformerLMDecoderLayer):
            forward = None

        model = make_model()

        model.decoder.layers[1] = Other()

        assert why_unknown(model) == "layers of type Other"

    def test_training_is_unknown(self) -> None:
        assert why_unknown(make_model().train()) == "a model in training"


class TestInt8:
    def test_it_is_near(self) -> None:
        model = make_model(qwen3)

        compare_logits(
            model,
            EngineSteps(DecodingEngine(model, quantize="int8")),
            EngineSteps(DecodingEngine(model)),
            tolerance=0.4,
        )

    def test_a_row_does_not_depend_on_others(self) -> None:
        model = make_model()

        requests = make_requests(model)

        options = [GenerationOptions(quantize="int8", batch_size=size) for size in (1, 4)]

        one, two = (SegmentGenerator(model, it).generate(requests) for it in options)

        assert_equal(one, two)

    def test_other_devices_are_refused(self) -> None:
        model = make_model().to("meta")

        with pytest.raises(UserInputError, match="`quantize: int8` is for CPUs, but the model is on meta"):
            SegmentGenerator(model, GenerationOptions(quantize="int8"))

    def test_unknown_models_are_refused(self) -> None:
        model = make_model()

        model.decoder.layers[0].register_forward_hook(lambda *_: None)

        with pytest.raises(UserInputError, match="is not for hooks on"):
            SegmentGenerator(model, GenerationOptions(quantize="int8"))

    def test_unknown_kinds_are_refused(self) -> None:
        with pytest.raises(UserInputError, match="`quantize` must be none or int8, but is 'int4'"):
            SegmentGenerator(make_model(), GenerationOptions(quantize="int4"))  # type: ignore[arg-type]


class TestStream:
    @pytest.mark.parametrize("chunk_frames", [1, 4, 100])
    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_chunks_are_the_segment(self, pattern: str, chunk_frames: int) -> None:
        model = make_model(qwen2, pattern)

        generator = SegmentGenerator(model, GenerationOptions(streams=(StreamSampling(temperature=1.0),)))

        lengths = set()

        for request in make_requests(model):
            if request.modality is TEXT:
                continue

            (segment,) = generator.generate([request])

            chunks = list(generator.stream(request, chunk_frames=chunk_frames))

            assert torch.equal(torch.cat(chunks), segment.ids)

            assert all(len(chunk) == chunk_frames for chunk in chunks[:-1]) and 0 < len(chunks[-1]) <= chunk_frames

            lengths.add(len(chunks))

        assert (max(lengths) > 1) == (chunk_frames < 100)

    def test_they_come_while_the_rest_is_generated(self) -> None:
        model = make_model()

        request = make_requests(model)[1]

        with torch.no_grad():
            model.heads.stream0_weight[model.vocabulary.special("</speech>")] = 0.0

        read = []

        model.decoder.layers[0].register_forward_hook(lambda *_: read.append(1))

        chunks = SegmentGenerator(model, GenerationOptions()).stream(request, chunk_frames=3)

        assert len(next(chunks)) == 3 and len(read) < 6
