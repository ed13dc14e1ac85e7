"""How large weights are, and by how much a step changes them, group by group. Legend: G group."""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from typing import Any, Final, final

import torch
from fairseq2.gang import Gangs, ReduceOperation
from fairseq2.metrics import MetricBag
from fairseq2.nn import get_shard_dims
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

from codec_s2st.models.codec_lm.lora import LORA
from codec_s2st.recipes.common.monitoring.vector import VectorSum

GROUPS: Final = ("embedding", "backbone", "adapters", "depth", "heads")

SAMPLES: Final = 16_384
"""Of each parameter, so many numbers at most are kept over a step to see how they change."""

_WEIGHTS: Final = "weights"


def group_of(name: str) -> str:
    """Returns the group of a parameter of a codec_lm model, whatever it is wrapped in."""
    if f".{LORA}." in f".{name}.":
        return "adapters"

    if "decoder_frontend." in name:
        return "embedding"

    if "heads.depth." in name:
        return "depth"

    return "heads" if "heads." in name else "backbone"


@final
class WeightProbe:
    """Measures at the steps that are asked for, round the optimizer's step."""

    def __init__(self, model: Module, optimizer: Optimizer, gangs: Gangs) -> None:
        """
        :param model: The data parallel model.
        """
        split = get_shard_dims(model)

        self._parameters: list[tuple[int, bool, Parameter]] = [
            (GROUPS.index(group_of(name)), name in split, parameter) for name, parameter in model.named_parameters()
        ]

        self._gangs = gangs

        # The ranks' sums are added: those of a parameter that all have count as one.
        self._share = gangs.sdp.size / gangs.dp.size

        self._bag: MetricBag | None = None

        self._before: list[Tensor | None] = []

        optimizer.register_step_pre_hook(self._begin)
        optimizer.register_step_post_hook(self._end)

    def prepare(self, bag: MetricBag) -> None:
        # Of each group: squares of all weights; of the sampled weights, and of their changes.
        bag.add(_WEIGHTS, VectorSum(3 * len(GROUPS)))

    def arm(self, bag: MetricBag | None) -> None:
        """Says where the next step's measurements go; with ``None``, nothing is measured."""
        self._bag = bag

    def _begin(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._bag is not None:
            self._before = [
                _some_of(parameter).clone() if parameter.requires_grad else None for *_, parameter in self._parameters
            ]

    @torch.no_grad()
    def _end(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._bag is None:
            return

        device = self._gangs.device

        # By whether tensor parallelism has split them.
        sums = torch.zeros((2, len(GROUPS), 3), dtype=torch.float64, device=device)

        for (group, is_split, parameter), before in zip(self._parameters, self._before, strict=True):
            sums[int(is_split), group, 0] += _local(parameter).float().norm().double().square()

            if before is not None:
                after = _some_of(parameter).float()

                sums[int(is_split), group, 1] += after.square().sum()
                sums[int(is_split), group, 2] += (after - before.float()).square().sum()

        self._before = []

        if self._gangs.tp.size > 1:
            self._gangs.tp.all_reduce(sums[1], ReduceOperation.SUM)

        self._bag.get(_WEIGHTS, VectorSum).update(sums.sum(0).flatten() * self._share)

    @staticmethod
    def publish(values: MutableMapping[str, object]) -> None:
        """Puts the names that are documented in the place of the sums."""
        sums = values.pop(_WEIGHTS)

        assert isinstance(sums, Tensor)

        for group, (squares, some, changes) in zip(GROUPS, sums.view(-1, 3).tolist(), strict=True):
            if squares:
                values[f"weights/norm_{group}"] = math.sqrt(squares)

            if some:
                values[f"weights/update_ratio_{group}"] = math.sqrt(changes / some)


def _local(parameter: Tensor) -> Tensor:
    """Returns the part that this rank of FSDP has."""
    detached = parameter.detach()

    return detached.to_local() if isinstance(detached, DTensor) else detached


def _some_of(parameter: Tensor) -> Tensor:
    """Returns at most :data:`SAMPLES` numbers of a parameter, of all its rows and columns. *Shape:* [N]."""
    flat = _local(parameter).flatten()

    # Odd, or it would meet the same columns of a table again and again.
    stride = -(-flat.numel() // SAMPLES) | 1

    return flat[::stride]
