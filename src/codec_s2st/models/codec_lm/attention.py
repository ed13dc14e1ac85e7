"""Causal attention within the documents of a packed row. Legend: S step, H head, K width of a head, N document."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from weakref import WeakKeyDictionary

import torch
from fairseq2.logging import log
from fairseq2.models.transformer import SDPA, AttentionBiasCache
from fairseq2.nn import BatchLayout
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from typing_extensions import override

from codec_s2st.models.codec_lm.flex import DocumentMask, attend_by_flex, make_document_mask, why_not_flex


class DocumentSDPA(SDPA):
    """Attends within each document of a packed row; leaves all other batches to the attention it is built round.

    fairseq2's own would build a dense mask of S x S. Here, documents of similar lengths are laid side by side,
    and padded on the right, which causal attention cannot see: a few calls of the fused kernel, and no mask. On a GPU
    it is one call of flex attention, where that can be had.
    """

    def __init__(self, inner: SDPA) -> None:
        """
        :param inner: Computes causal attention.
        """
        super().__init__()

        self.inner = inner

    @override
    def forward(
        self,
        q: Tensor,
        q_layout: BatchLayout,
        k: Tensor,
        k_layout: BatchLayout,
        v: Tensor,
        bias_cache: AttentionBiasCache,
        *,
        needs_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """
        :param q: *Shape:* [S, H, K] if packed. So are ``k`` and ``v``.
        """
        if not q_layout.packed or needs_weights:
            return self.inner(q, q_layout, k, k_layout, v, bias_cache, needs_weights=needs_weights)

        if q.device.type == "cuda":
            return _attend_on_gpu(q, k, v, q_layout), None

        return _attend_within_documents(q, k, v, q_layout), None


@torch.compiler.disable
def _attend_on_gpu(q: Tensor, k: Tensor, v: Tensor, layout: BatchLayout) -> Tensor:
    # Other than the fused kernel's, autocast knows nothing of it.
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")

        q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)

    if _why_not_flex(q.device, q.dtype, q.size(-1)) is not None:
        output: Tensor = _attend_within_documents(q, k, v, layout)

        return output

    mask = _masks.get(layout)

    if mask is None:
        mask = _masks[layout] = make_document_mask(layout.seq_lens, layout.width, q.device)

    return attend_by_flex(q, k, v, mask)


@cache
def _why_not_flex(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """Asks once for all layers and batches, and tells the log."""
    reason = why_not_flex(
        capability=torch.cuda.get_device_capability(device),
        has_triton=find_spec("triton") is not None,
        dtype=dtype,
        head_dim=head_dim,
    )

    if reason is None:
        log.info("Packed rows are attended to by flex attention, which is compiled for the first of them.")
    else:
        log.info("Packed rows are not attended to by flex attention, but by documents of similar lengths: {}.", reason)

    return reason


# One for all layers.
_masks: WeakKeyDictionary[BatchLayout, DocumentMask] = WeakKeyDictionary()


# The shapes differ from batch to batch: a compiler would not be done with them.
@torch.compiler.disable
def _attend_within_documents(q: Tensor, k: Tensor, v: Tensor, layout: BatchLayout) -> Tensor:
    plan = _plans.get(layout)

    if plan is None:
        plan = _plans[layout] = _make_plan(layout, q.device)

    outputs = []

    for steps in plan.groups:
        # [N, L, H, K] -> [N, H, L, K]
        queries, keys, values = (part[steps].transpose(1, 2) for part in (q, k, v))

        attended = scaled_dot_product_attention(queries, keys, values, is_causal=True)

        outputs.append(attended.transpose(1, 2).flatten(0, 1))

    # Padding gets zeros, from one row more.
    outputs.append(q.new_zeros((1, *q.shape[1:])))

    return torch.cat(outputs)[plan.places]


class _Plan:
    """Which steps are laid side by side, and where each step's output is found."""

    def __init__(self, groups: list[Tensor], places: Tensor) -> None:
        self.groups = groups
        """*Shape:* [N, L] each."""

        self.places = places
        """*Shape:* [S]."""


# One for all layers.
_plans: WeakKeyDictionary[BatchLayout, _Plan] = WeakKeyDictionary()


def _make_plan(layout: BatchLayout, device: torch.device) -> _Plan:
    by_length: dict[int, list[tuple[int, int]]] = {}

    for begin, length in zip(layout.seq_begin_indices, layout.seq_lens, strict=False):
        # Lengths of a group differ by less than a quarter.
        by_length.setdefault(_round_up(length), []).append((begin, length))

    groups, num_rows = [], 0

    places = torch.full((layout.width,), -1)

    for documents in by_length.values():
        longest = max(length for _, length in documents)

        begins, lengths = (torch.tensor(values)[:, None] for values in zip(*documents, strict=True))

        offsets = torch.arange(longest)

        # Beyond its end, a document repeats its last step, whose output is not used.
        steps = begins + torch.minimum(offsets, lengths - 1)

        is_step = offsets < lengths

        places[steps[is_step]] = num_rows + torch.arange(steps.numel()).view(steps.shape)[is_step]

        num_rows += steps.numel()

        groups.append(steps.to(device))

    places[places < 0] = num_rows

    return _Plan(groups, places.to(device))


def _round_up(length: int) -> int:
    """Rounds to the next of four values an octave."""
    unit = max(1, 1 << max(0, length.bit_length() - 3))

    return -(-length // unit) * unit
