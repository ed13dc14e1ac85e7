"""The place between two steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, final

from fairseq2.datasets import DataReader
from typing_extensions import Self, override

BatchT = TypeVar("BatchT")


@final
class BoundaryReader(DataReader[BatchT]):
    """Reads what another reader reads, and calls back before.

    fairseq2 asks for the next batches when a step is over: the weights are changed, and what was due at this step is
    saved, published and validated. So the state of the run is of one piece there.
    """

    def __init__(self, reader: DataReader[BatchT]) -> None:
        self._reader = reader

        self.on_boundary: Callable[[], None] = lambda: None
        """Called before batches are read, on all ranks alike."""

        self.carried: dict[str, Any] = {}
        """What a checkpoint holds beside the reader's own state."""

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[BatchT]:
        self.on_boundary()

        return next(self._reader)

    @override
    def reset(self) -> None:
        self._reader.reset()

    @override
    def state_dict(self) -> dict[str, object]:
        return {"reader": self._reader.state_dict(), "carried": dict(self.carried)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._reader.load_state_dict(state_dict["reader"])

        self.carried = dict(state_dict["carried"])

    @property
    @override
    def num_accumulate(self) -> int:
        return self._reader.num_accumulate
