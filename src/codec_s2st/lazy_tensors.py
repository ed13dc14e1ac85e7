"""Tensors that are read when they are asked for, so that a checkpoint need not be in memory as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import final

import torch
from torch import Tensor
from typing_extensions import override


class LazyTensor(ABC):
    """A tensor that is not in memory yet."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @abstractmethod
    def read(self) -> Tensor:
        """Returns the tensor, which must not be written to."""

    def read_into(self, output: Tensor) -> None:
        """Writes the tensor into a contiguous one of the same shape, in whose type the numbers are then."""
        output.copy_(self.read())

    def map(self, num_rows: int | None = None, *, alignment: int = 1) -> Tensor | None:
        """Returns the tensor as pages of its file, which are read when they are used, or ``None`` if it has none.

        It belongs to the caller, who may write to it; the file stays as it is, and must (see
        :mod:`codec_s2st.mapped_memory`).

        :param num_rows: At least as many as the tensor has; what is in the rows that it does not have is left open.
        :param alignment: Bytes, a power of two; ``None`` is returned if the tensor stands at no multiple of it.
        """
        return None

    @property
    def where(self) -> str:
        """What an error calls the place that the tensor is in."""
        return "the checkpoint"

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


@final
class HeldTensor(LazyTensor):
    """A tensor that is in memory after all."""

    def __init__(self, tensor: Tensor) -> None:
        self.shape = tuple(tensor.shape)
        self.dtype = tensor.dtype

        self._tensor = tensor

    @override
    def read(self) -> Tensor:
        return self._tensor


@final
class RowsOf(LazyTensor):
    """The first rows of a table."""

    def __init__(self, table: LazyTensor, num_rows: int) -> None:
        self.shape = (min(num_rows, table.shape[0]), *table.shape[1:])
        self.dtype = table.dtype

        self._table = table

    @override
    def read(self) -> Tensor:
        return self._table.read()[: self.shape[0]]

    @property
    @override
    def where(self) -> str:
        return self._table.where


@final
class CastTensor(LazyTensor):
    """A tensor in another type of numbers."""

    def __init__(self, source: LazyTensor, dtype: torch.dtype) -> None:
        self.shape = source.shape
        self.dtype = dtype

        self._source = source

    @override
    def read(self) -> Tensor:
        return self._source.read().to(self.dtype)

    @property
    @override
    def where(self) -> str:
        return self._source.where
