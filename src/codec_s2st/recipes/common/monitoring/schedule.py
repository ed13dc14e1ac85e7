"""Units of the validation that read no batches of the data."""

from __future__ import annotations

from typing import Any, final

from fairseq2.datasets import DataReader
from fairseq2.device import Device, SupportsDeviceTransfer
from fairseq2.recipe.config import RegimeSection
from typing_extensions import Self, override

from codec_s2st.errors import UserInputError


class NoBatch(SupportsDeviceTransfer):
    """Is never read."""

    @override
    def to(self, device: Device, *, non_blocking: bool = False) -> None:
        pass


@final
class NoBatches(DataReader[NoBatch]):
    """Is at its end: the unit does its work when it is finalized."""

    @override
    def __iter__(self) -> Self:
        return self

    @override
    def __next__(self) -> list[NoBatch]:
        raise StopIteration

    @override
    def reset(self) -> None:
        pass

    @override
    def state_dict(self) -> dict[str, object]:
        return {}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass

    @property
    @override
    def num_accumulate(self) -> int:
        return 1


def is_due(step: int, every: int | None, regime: RegimeSection) -> bool:
    """Returns whether a validation after ``step`` is one of every ``every`` steps; the last one always is."""
    return every is None or step % every == 0 or step == regime.num_steps


def check_schedule(key: str, every: int | None, regime: RegimeSection) -> None:
    """
    :raises UserInputError: ``every`` is no multiple of the steps between validations.
    """
    between = regime.validate_every_n_steps

    if every is not None and between is not None and every % between != 0:
        raise UserInputError(
            f"`{key}.every_n_steps` is {every}, but must be a multiple of `regime.validate_every_n_steps`, {between}"
        )
