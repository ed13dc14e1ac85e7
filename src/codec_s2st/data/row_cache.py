"""Keeps what was read last in memory, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar, cast, final


class Sized(Protocol):
    @property
    def num_bytes(self) -> int: ...


SizedT = TypeVar("SizedT", bound=Sized)


@final
class RowCache:
    """Whatever was asked for the longest time ago is forgotten first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

        self._num_bytes = 0

        self._items: OrderedDict[Hashable, Sized] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], SizedT]) -> SizedT:
        """Returns what is held under ``key``, or else what ``read`` returns; that is held then, however large it is."""
        item = self._items.get(key)

        if item is not None:
            self._items.move_to_end(key)

            return cast(SizedT, item)

        new = read()

        self._items[key] = new

        self._num_bytes += new.num_bytes

        self.resize(self._max_bytes)

        return new

    def resize(self, max_bytes: int) -> None:
        """Sets the largest number of bytes."""
        self._max_bytes = max_bytes

        while self._num_bytes > max_bytes and len(self._items) > 1:
            self._num_bytes -= self._items.popitem(last=False)[1].num_bytes
