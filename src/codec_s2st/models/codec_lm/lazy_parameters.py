"""Stand-ins of tensors that are not read yet, for fairseq2, which copies tensors into the parameters of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._pytree import tree_map
from typing_extensions import override

from codec_s2st.lazy_tensors import LazyTensor

_KNOWN_UNREAD: Final = frozenset(
    {Tensor.size, Tensor.dim, Tensor.numel, *(getattr(Tensor, name).__get__ for name in ("shape", "dtype"))}
)


@final
class UnreadTensor(Tensor):
    """A tensor that is read when something is done with it.

    Copied into a parameter, it is read into the memory of the parameter, and is nowhere else on its way; or the
    parameter's memory becomes the mapped file. To everything else it gives the tensor.
    """

    _source: LazyTensor
    _maps: bool

    @staticmethod
    def of(source: LazyTensor, *, maps: bool) -> UnreadTensor:
        """
        :param maps: Let parameters be the mapped file, where their type is that of the file.
        """
        output = torch.empty(source.shape, dtype=source.dtype, device="meta").as_subclass(UnreadTensor)

        output._source = source
        output._maps = maps

        return output

    @classmethod
    @override
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _KNOWN_UNREAD:
            return super().__torch_function__(func, types, args, kwargs)

        if func is Tensor.copy_ and isinstance(args[1], UnreadTensor) and not isinstance(args[0], UnreadTensor):
            args[1]._copy_to(args[0])

            return args[0]

        args, kwargs = tree_map(_read, (tuple(args), dict(kwargs or {})))

        return func(*args, **kwargs)

    def _copy_to(self, output: Tensor) -> None:
        source = self._source

        if output.device.type != "cpu" or tuple(output.shape) != source.shape or not output.is_contiguous():
            output.copy_(source.read())

            return

        mapped = None

        # Only of a parameter is it known that it is not part of something else, which would have to see the numbers.
        if self._maps and isinstance(output, Parameter) and output.dtype == source.dtype:
            mapped = source.map()

        if mapped is None:
            source.read_into(output.detach())
        else:
            output.data = mapped


def _read(value: object) -> object:
    return value._source.read() if isinstance(value, UnreadTensor) else value
