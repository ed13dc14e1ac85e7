"""Modules on the meta device, which have no numbers to initialise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, final

import torch
from torch import Tensor
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
    }
)
"""What initialisers are made of; each returns the tensor that it changes."""


def without_fills() -> AbstractContextManager[object]:
    """Returns a context in which nothing is initialised, if the current device is meta.

    torch computes the shapes and types of what it would write there, which for a truncated normal is most of the time
    of building a model.
    """
    return _WithoutFills() if torch.get_default_device().type == "meta" else nullcontext()


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
        if func in _FILLS and args[0].is_meta:
            return args[0]

        return func(*args, **(kwargs or {}))
