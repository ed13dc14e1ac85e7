"""What training on several ranks needs beside fairseq2's own wrappers: a check, and the norm of a split gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from fairseq2.gang import Gang, Gangs, ReduceOperation
from fairseq2.nn import get_shard_dims
from fairseq2.nn.data_parallel import DataParallelFacade, get_data_parallel_facade, set_data_parallel_facade
from fairseq2.recipe.config import TrainerSection
from fairseq2.typing import ContextManager
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import Module
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from typing_extensions import override

from codec_s2st.errors import UserInputError


def check_parallelism(section: TrainerSection, gangs: Gangs) -> None:
    """
    :raises UserInputError: the first version of FSDP is asked for on CPUs, where it cannot send weights to the ranks.
    """
    if section.data_parallelism != "fsdp" or section.fsdp.version != "v1" or gangs.dp.size == 1:
        return

    if gangs.device.type == "cpu":
        raise UserInputError("`trainer.fsdp.version` v1 needs GPUs", hint="set trainer.fsdp.version=v2")


def clip_across_tensor_parallel(model: Module, gangs: Gangs) -> None:
    """Makes fairseq2's trainer clip by the norm of the whole gradient, where tensor parallelism splits parameters.

    Its own norm is that of the rank's parts: each rank would clip by another factor, and what the ranks have in common
    would drift apart.

    :param model: The data parallel model.
    """
    if gangs.tp.size > 1:
        set_data_parallel_facade(model, _TensorParallelFacade(model, gangs.tp))


@final
class _TensorParallelFacade(DataParallelFacade):
    """Leaves everything but the norm to fairseq2's."""

    def __init__(self, model: Module, tp_gang: Gang) -> None:
        self._base = get_data_parallel_facade(model)

        names = get_shard_dims(model)

        self._split = tuple(parameter for name, parameter in model.named_parameters() if name in names)
        self._whole = tuple(parameter for name, parameter in model.named_parameters() if name not in names)

        self._tp_gang = tp_gang

    @override
    def clip_grad_norm(self, max_norm: float | None) -> Tensor:
        sum_of_squares = _norm_of(self._split).square()

        self._tp_gang.all_reduce(sum_of_squares, ReduceOperation.SUM)

        norm = (sum_of_squares + _norm_of(self._whole).square()).sqrt()

        if max_norm is not None:
            for parameters in (self._split, self._whole):
                clip_grads_with_norm_(parameters, max_norm, norm)

        return norm

    @override
    def state_dict(self) -> dict[str, object]:
        return self._base.state_dict()

    @override
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        self._base.load_state_dict(state_dict)

    @override
    def no_sync(self) -> ContextManager[None]:
        return self._base.no_sync()

    @override
    def summon_full_parameters(self) -> ContextManager[None]:
        return self._base.summon_full_parameters()


def _norm_of(parameters: Sequence[Tensor]) -> Tensor:
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])

    # Of parts on the ranks of FSDP.
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
