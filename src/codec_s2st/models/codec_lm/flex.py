"""Attention within the documents of a packed row by torch's flex attention, which is for GPUs.

Its kernel is told which blocks of queries and keys have anything in common, and passes over the others; in those that
documents share it asks a function. So it needs memory for S / 128 squared blocks, and none for a mask of S x S.

Legend: S step, H head, K width of a head, B block of 128 steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

BLOCK_SIZE = 128
"""Flex attention's own."""


def why_not_flex(
    *, capability: tuple[int, int] | None, has_triton: bool, dtype: torch.dtype, head_dim: int
) -> str | None:
    """Returns why flex attention is not used; ``None`` if it is.

    :param capability: Of the GPU; ``None`` for another device.
    :param has_triton: Whether the compiler of its kernels is installed.
    :param dtype: In which queries and keys are multiplied.
    """
    if capability is None:
        return "there is no GPU"

    if capability < (8, 0):
        return f"GPUs of compute capability 8.0 are needed, and this one has {capability[0]}.{capability[1]}"

    if not has_triton:
        return "triton is not installed"

    # In float32, a block of keys does not fit into the shared memory of all GPUs.
    if dtype not in (torch.bfloat16, torch.float16):
        return f"bfloat16 or float16 is needed, and attention is computed in {str(dtype).removeprefix('torch.')}"

    if not 16 <= head_dim <= 256 or head_dim.bit_count() > 1:
        return f"heads must be 16, 32, 64, 128 or 256 wide, and are {head_dim}"

    return None


class DocumentMask(NamedTuple):
    """Which steps of a packed row see which."""

    blocks: BlockMask

    is_padding: Tensor | None
    """*Shape:* [S, 1, 1]; ``None`` if the row is full."""


def make_document_mask(lengths: Sequence[int], width: int, device: torch.device) -> DocumentMask:
    """Returns the mask of documents that stand one after the other in a row; what is left of the row is padding.

    The blocks are found on the host, which knows the lengths, and copied; so the GPU is not asked for anything.

    :param width: S.
    """
    # Padding is a document of its own.
    numbers = torch.full((width,), len(lengths), dtype=torch.int32)

    documents = torch.arange(len(lengths), dtype=torch.int32).repeat_interleave(torch.tensor(lengths))

    numbers[: len(documents)] = documents

    partial, full = find_blocks(numbers)

    on_device = numbers.to(device, non_blocking=True)

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (on_device[query] == on_device[key]) & (query >= key)

    blocks = BlockMask.from_kv_blocks(
        *_list_blocks(partial), *_list_blocks(full), BLOCK_SIZE=BLOCK_SIZE, mask_mod=sees, seq_lengths=(width, width)
    )

    is_padding = None

    if len(documents) < width:
        is_padding = (numbers == len(lengths))[:, None, None].to(device, non_blocking=True)

    return DocumentMask(blocks.to(device), is_padding)


def find_blocks(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Returns in which blocks some queries see some keys, and in which all see all. *Shape:* [B, B] each.

    :param numbers: The document of each step, rising. *Shape:* [S].
    """
    width = len(numbers)

    begins = torch.arange(0, width, BLOCK_SIZE)

    first, last = numbers[begins], numbers[(begins + BLOCK_SIZE).clamp(max=width) - 1]

    is_whole = begins + BLOCK_SIZE <= width

    # A block of keys on the left of one of queries: their nearest steps, and their farthest, are of one document.
    is_left = begins[:, None] > begins

    some = is_left & (first[:, None] == last)

    full = is_left & (last[:, None] == first) & is_whole[:, None]

    return (some & ~full) | torch.eye(len(begins), dtype=torch.bool), full


def _list_blocks(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Returns how many blocks of each row are set, and their columns before all others; as flex attention has it.

    :returns: *Shape:* [1, 1, B] and [1, 1, B, B].
    """
    columns = blocks.to(torch.int32).argsort(dim=-1, descending=True, stable=True)

    return blocks.sum(dim=-1).to(torch.int32)[None, None], columns.to(torch.int32)[None, None]


@cache
def compiled_flex_attention() -> Callable[..., Any]:
    """Returns the kernel of all layers, which is compiled once, for rows of any width."""
    return torch.compile(flex_attention, dynamic=True)


def attend_by_flex(
    q: Tensor, k: Tensor, v: Tensor, mask: DocumentMask, *, attention: Callable[..., Any] | None = None
) -> Tensor:
    """
    :param q: *Shape:* [S, H, K]. So are ``k`` and ``v``; they may have fewer heads, each of which serves several.
    :param attention: Flex attention, if not the compiled one.

    :returns: Zero in the padding. *Shape:* [S, H, K].
    """
    kernel = compiled_flex_attention() if attention is None else attention

    # [1, H, S, K]
    queries, keys, values = (part.transpose(0, 1)[None] for part in (q, k, v))

    output: Tensor = kernel(queries, keys, values, block_mask=mask.blocks, enable_gqa=q.size(1) != k.size(1))

    output = output[0].transpose(0, 1)

    return output if mask.is_padding is None else output.masked_fill(mask.is_padding, 0.0)
