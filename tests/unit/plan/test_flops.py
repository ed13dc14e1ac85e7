"""Formulae beside torch's own counter, which looks at the products that are called."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.factory import create_codec_lm
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.plan.flops import step_flops
from codec_s2st.plan.shape import BatchShape, shape_of_batch
from codec_s2st.recipes.common.finetuning import setup_finetuning
from codec_s2st.recipes.common.trainable import LoRASection, TrainableSection
from codec_s2st.tokens.sequence import SequenceBuilder

LENS = [48, 48, 48]


def make_config(heads: str) -> CodecLMConfig:
    config = get_codec_lm_hub().get_arch_config("tiny")

    config.codebook_sizes = [16, 12, 16]
    config.heads = heads  # type: ignore[assignment]
    config.depth.model_dim, config.depth.ffn_inner_dim, config.depth.num_attn_heads = 16, 24, 2

    return config


def make_batch(model: CodecLM) -> tuple[Tensor, Tensor]:
    vocabulary = model.vocabulary

    num_steps = sum(LENS)

    ids = torch.full((num_steps, vocabulary.num_streams), vocabulary.pad)

    for q, (begin, size) in enumerate(zip(vocabulary.codebook_offsets(), vocabulary.codebook_sizes, strict=True)):
        ids[:, q] = torch.randint(begin, begin + size, (num_steps,))

    is_text = torch.arange(num_steps) % 5 == 0

    ids[is_text] = vocabulary.pad
    ids[is_text, 0] = torch.randint(vocabulary.text_size, (int(is_text.sum()),))

    return ids, ids != vocabulary.pad


def shape_of(model: CodecLM, ids: Tensor, mask: Tensor) -> BatchShape:
    return shape_of_batch(ids, mask, LENS, SequenceBuilder(model.vocabulary, model.pattern))


def count_flops() -> FlopCounterMode:
    """Torch counts products that are added to a tensor only where they make a new one."""

    def addmm(self: tuple[int, ...], a: tuple[int, int], b: tuple[int, int], **kwargs: object) -> int:
        return 2 * a[0] * a[1] * b[1]

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: addmm})


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("heads", ["parallel", "depth"])
def test_formulae_agree_with_the_counter_of_torch(heads: str, lora: bool) -> None:
    model = create_codec_lm(make_config(heads)).train()

    if lora:
        setup_finetuning(model, LoRASection(rank=4), TrainableSection())

    ids, mask = make_batch(model)

    # Kernels that are fused are not counted by torch on a processor.
    with count_flops() as counter, sdpa_kernel(SDPBackend.MATH):
        loss = model(ids[None], loss_mask=mask[None], packed_lens=LENS).loss

        loss.total.backward()

    parts = step_flops(model, shape_of(model, ids, mask), fused_attention=False)

    # Torch counts no additions.
    computed = sum(part.executed for part in parts if part.name != "embeddings")

    assert counter.get_total_flops() == pytest.approx(computed, rel=0.01)


def test_parts_are_the_same_on_the_meta_device() -> None:
    model = create_codec_lm(make_config("parallel"))

    with torch.device("meta"):
        on_meta = create_codec_lm(make_config("parallel"))

    shape = shape_of(model, *make_batch(model))

    assert step_flops(on_meta, shape) == step_flops(model, shape)


def test_what_is_computed_again_is_executed_and_not_useful() -> None:
    model = create_codec_lm(make_config("parallel"))

    shape = shape_of(model, *make_batch(model))

    plain = {part.name: part for part in step_flops(model, shape)}

    again = {part.name: part for part in step_flops(model, shape, checkpointed=1.0, padding=0.5)}

    for name, part in again.items():
        assert part.useful == plain[name].useful

    # Forward, twice that backward, and forward once more; and half as many steps of padding.
    assert again["backbone"].executed == pytest.approx(plain["backbone"].useful * 4 / 3 * 1.5)
    assert again["text head"] == plain["text head"]


def test_half_of_the_square_is_useful() -> None:
    model = create_codec_lm(make_config("parallel"))

    shape = BatchShape(
        num_steps=1_000, sum_of_squares=1e6, num_text_targets=0, num_speech_targets=0, num_code_targets=0
    )

    attention = next(part for part in step_flops(model, shape, fused_attention=False) if part.name == "attention")

    assert attention.useful / attention.executed == pytest.approx(0.5, rel=0.01)
