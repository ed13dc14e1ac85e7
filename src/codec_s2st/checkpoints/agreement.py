"""What all ranks of a run decide together: whether something has worked on each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist
from fairseq2.gang import Gang, GangError

from codec_s2st.errors import CodecS2STError, DivergedError, UserInputError

T = TypeVar("T")


def gather(gang: Gang, value: T) -> list[T]:
    """Returns the values of all ranks, each of which must ask.

    :raises GangError: the ranks cannot be reached.
    """
    if gang.size == 1:
        return [value]

    output: list[Any] = [None] * gang.size

    try:
        dist.all_gather_object(output, value, group=gang.as_process_group())
    except RuntimeError as ex:
        raise GangError("`all_gather_object` has failed.") from ex

    return output


def raise_everywhere(gang: Gang, error: CodecS2STError | None) -> None:
    """Raises where any rank has an error: there its own, elsewhere one of the same kind that names the rank.

    So no rank waits for one that has gone. All ranks must ask; to ask with ``None`` is a barrier.
    """
    errors = gather(gang, None if error is None else (_kind_of(error), error.message, error.hint))

    if error is not None:
        raise error

    for rank, other in enumerate(errors):
        if other is not None:
            kind, message, hint = other

            raise kind(f"rank {rank}: {message}", hint=hint)


def on_one_rank(gang: Gang, folder: Path, work: Callable[[], object]) -> None:
    """Does something to a folder on rank 0; the others wait, and learn whether it has worked.

    :raises CodecS2STError: it has not, on any rank.
    """
    error: CodecS2STError | None = None

    if gang.rank == 0:
        try:
            work()
        except CodecS2STError as ex:
            error = ex
        except OSError as ex:
            error = CodecS2STError(
                f"{ex.filename or folder} cannot be written: {ex.strerror}", hint="mend it, and run it again"
            )

    raise_everywhere(gang, error)


def _kind_of(error: CodecS2STError) -> type[CodecS2STError]:
    return next((kls for kls in (DivergedError, UserInputError) if isinstance(error, kls)), CodecS2STError)
