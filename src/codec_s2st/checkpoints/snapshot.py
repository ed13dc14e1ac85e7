"""States as they are at a step, kept while the training goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from codec_s2st.checkpoints.states import FlatState
from codec_s2st.errors import DivergedError


def copy_to_host(state: FlatState) -> FlatState:
    """Returns the state with copies of its tensors, which later steps do not change."""
    copies: dict[Tensor, Tensor] = {}

    for tensor in state.tensors.values():
        if tensor not in copies:
            copy = torch.empty(tensor.shape, dtype=tensor.dtype)

            copies[tensor] = copy.copy_(tensor.detach(), non_blocking=tensor.device.type == "cuda")

    if any(tensor.device.type == "cuda" for tensor in copies):
        torch.cuda.synchronize()

    return FlatState(state.tree, {name: copies[tensor] for name, tensor in state.tensors.items()})


def check_finite(tensors: Mapping[str, Tensor], step: int) -> None:
    """
    :raises DivergedError: a tensor holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue

        # In one pass, and without memory for a tensor of answers.
        if not all(math.isfinite(value) for value in torch.stack(tensor.detach().aminmax()).tolist()):
            raise DivergedError(
                f"`{name}` is not finite after step {step}, which is not saved",
                hint="lower `optimizer.config.lr`, or start again from an earlier checkpoint",
            )
