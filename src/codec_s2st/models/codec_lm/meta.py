"""Modules on the meta device, which have no numbers to initialise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import Module, Parameter, init
from torch.overrides import TorchFunctionMode
from typing_extensions import override

_FILLS: Final = frozenset(
    {
        Tensor.add_,
        Tensor.clamp_,
        Tensor.erfinv_,
        Tensor.fill_,
        Tensor.mul_,
        Tensor.normal_,
        Tensor.uniform_,
        Tensor.zero_,
        init.constant_,
        init.normal_,
        init.uniform_,
    }
)
"""Initialisers, and what others are made of; each returns the tensor that it changes."""


def is_on_meta() -> bool:
    """Whether what is built now has no numbers."""
    return torch.get_default_device().type == "meta"


def without_fills() -> AbstractContextManager[object]:
    """Returns a context in which nothing is initialised, if the current device is meta.

    torch computes the shapes and types of what it would write there, which for a truncated normal is most of the time
    of building a model.
    """
    return _WithoutFills() if is_on_meta() else nullcontext()


def repeat_module(module: Module, shared: AbstractSet[Module]) -> Module:
    """Returns a module that is built like ``module``, in a tenth of the time.

    :param module: Without numbers: all that it holds is on the meta device.
    :param shared: Those below ``module`` that both have, instead of one each.
    """
    if module in shared:
        return module

    output = object.__new__(type(module))

    # torch keeps parameters, buffers, modules and hooks in dictionaries, which its own methods go through one by one.
    state = vars(output)

    for name, value in vars(module).items():
        state[name] = value.copy() if isinstance(value, dict | list | set) else value

    for name, parameter in state["_parameters"].items():
        if parameter is not None:
            state["_parameters"][name] = Parameter(parameter.detach(), parameter.requires_grad)

    for name, buffer in state["_buffers"].items():
        if buffer is not None:
            state["_buffers"][name] = buffer.detach()

    for name, child in state["_modules"].items():
        if child is not None:
            state["_modules"][name] = repeat_module(child, shared)

    return output


@final
class _WithoutFills(TorchFunctionMode):
    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _FILLS:
            output = args[0] if args else (kwargs or {})["tensor"]

            if output.is_meta:
                return output

        return func(*args, **(kwargs or {}))
