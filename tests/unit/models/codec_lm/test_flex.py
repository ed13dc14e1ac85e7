"""Flex attention in documents, as far as it runs without a GPU: uncompiled, or with a compiler that changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fairseq2.models.transformer import AttentionBiasCache, CausalAttentionBias
from fairseq2.models.transformer.sdpa.torch import TorchSDPA
from fairseq2.nn import BatchLayout
from torch import Tensor
from torch.fx import GraphModule
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from codec_s2st.models.codec_lm import attention, flex
from codec_s2st.models.codec_lm.attention import DocumentSDPA
from codec_s2st.models.codec_lm.flex import DocumentMask, attend_by_flex, make_document_mask, why_not_flex

CPU = torch.device("cpu")

ROWS = [([20], 20), ([1, 1, 1], 3), ([1, 19, 3, 20, 18, 7, 8], 90), ([130, 300, 5, 128, 100], 700), ([256, 128], 384)]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, None),
        ({"dtype": torch.float16}, None),
        ({"head_dim": 128}, None),
        ({"capability": None}, "no GPU"),
        ({"capability": (7, 5)}, "has 7.5"),
        ({"has_triton": False}, "triton"),
        ({"dtype": torch.float32}, "in float32"),
        ({"head_dim": 8}, "are 8"),
        ({"head_dim": 80}, "are 80"),
        ({"head_dim": 512}, "are 512"),
    ],
)
def test_choice_hangs_on_gpu_and_heads(change: dict[str, Any], word: str | None) -> None:
    facts: dict[str, Any] = {"capability": (9, 0), "has_triton": True, "dtype": torch.bfloat16, "head_dim": 64}

    reason = why_not_flex(**{**facts, **change})

    assert reason is None if word is None else word in str(reason)


@pytest.mark.parametrize(("lengths", "width"), ROWS)
def test_blocks_are_those_of_the_dense_mask(lengths: list[int], width: int) -> None:
    blocks = make_document_mask(lengths, width, CPU).blocks

    expected = create_block_mask(blocks.mask_mod, 1, 1, width, width, device="cpu")

    for name in ("kv", "full_kv", "q", "full_q"):
        counts, expected_counts = (getattr(part, f"{name}_num_blocks") for part in (blocks, expected))

        assert torch.equal(counts, expected_counts)

        columns, expected_columns = (getattr(part, f"{name}_indices") for part in (blocks, expected))

        # Those behind are not read.
        for row, count in enumerate(counts[0, 0].tolist()):
            assert torch.equal(columns[0, 0, row, :count], expected_columns[0, 0, row, :count])


def test_dense_mask_is_that_of_documents() -> None:
    mask = make_document_mask([2, 3], 6, CPU).blocks.mask_mod

    steps = torch.arange(6)

    zero = torch.tensor(0)

    sees = [[bool(mask(zero, zero, query, key)) for key in steps] for query in steps]

    assert [[key for key in range(6) if row[key]] for row in sees] == [[0], [0, 1], [2], [2, 3], [2, 3, 4], [5]]


@pytest.mark.parametrize("num_key_heads", [4, 2, 1])
@pytest.mark.parametrize(("lengths", "width"), ROWS)
def test_equals_attention_by_documents(lengths: list[int], width: int, num_key_heads: int) -> None:
    generator = torch.Generator().manual_seed(1)

    q = torch.randn((width, 4, 16), generator=generator)

    k, v = torch.randn((2, width, num_key_heads, 16), generator=generator)

    weights = torch.randn((width, 4, 16), generator=generator)

    def run(attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> list[Tensor]:
        parts = [part.clone().requires_grad_() for part in (q, k, v)]

        output = attend(*parts)

        return [output, *torch.autograd.grad((output * weights).sum(), parts)]

    def by_documents(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (part.repeat_interleave(4 // num_key_heads, dim=1) for part in (k, v))

        layout = BatchLayout((width,), lengths, packed=True)

        return DocumentSDPA(TorchSDPA(CausalAttentionBias()))(q, layout, k, layout, v, AttentionBiasCache())[0]

    def by_flex(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend_by_flex(q, k, v, make_document_mask(lengths, width, CPU), attention=flex_attention)

    for fast, slow in zip(run(by_flex), run(by_documents), strict=True):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)

    assert not run(by_flex)[0][sum(lengths) :].any()


def test_other_documents_do_not_compile_anew() -> None:
    torch._dynamo.reset()

    graphs: list[GraphModule] = []

    def backend(graph: GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        graphs.append(graph)

        return graph.forward

    compiled = torch.compile(flex_attention, dynamic=True, backend=backend)

    counts = []

    for lengths, width in [([130, 70], 256), ([20, 30, 40], 256), ([300, 5], 384), ([9] * 40, 512), ([700], 900)]:
        # Other numbers of heads than of blocks: the compiler takes equal sizes for the same one.
        q, k, v = torch.randn((3, width, 6, 16), generator=torch.Generator().manual_seed(0))

        mask = make_document_mask(lengths, width, CPU)

        # As the layers of a model call it.
        for _ in range(2):
            output = torch.compiler.disable(attend_by_flex)(q, k, v, mask, attention=compiled)

        torch.testing.assert_close(output, attend_by_flex(q, k, v, mask, attention=flex_attention), rtol=0, atol=1e-5)

        counts.append(len(graphs))

    assert counts == [1] * len(counts)


def test_layers_share_the_mask_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU would do, but for its kernel."""
    masks = []

    def make(*args: Any) -> DocumentMask:
        masks.append(make_document_mask(*args))

        return masks[-1]

    monkeypatch.setattr(attention, "_why_not_flex", lambda *facts: None)
    monkeypatch.setattr(attention, "make_document_mask", make)
    monkeypatch.setattr(flex, "compiled_flex_attention", lambda: flex_attention)

    for lengths in ([9, 4], [5, 7]):
        layout = BatchLayout((16,), lengths, packed=True)

        for seed in range(2):
            q, k, v = torch.randn((3, 16, 2, 16), generator=torch.Generator().manual_seed(seed))

            expected = attention._attend_within_documents(q, k, v, layout)

            torch.testing.assert_close(attention._attend_on_gpu(q, k, v, layout), expected, rtol=0, atol=1e-5)

    assert len(masks) == 2
