"""Cross entropies of rows over wide heads, in chunks, so that the logits of all rows never are in memory at once.

What is kept of a chunk of logits is its part of the gradients, which is taken at once: a cross entropy's gradient is
its softmax less the target, and what later multiplies it is one number. So nothing is computed twice, a chunk stays in
the processor's cache where a head is narrow, and a backward pass has nothing left to do but multiply.

Legend: N row, D width, V row of a table, K predictions that one row of hidden states makes, C classes of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from typing_extensions import override

_CHUNK_BYTES: Final = {"cpu": 1 << 22, "cuda": 1 << 28}
"""Of the logits of a chunk: those of a processor's cache, or enough to fill an accelerator."""

_MIN_ROWS: Final = {"cpu": 128, "cuda": 256}
"""Of a chunk. With fewer, a matrix product waits for the head's weights, and so it would for their gradient."""

NO_TARGET: Final = -1


class HeadJob(NamedTuple):
    """Predictions that are read from the same rows of the head's tables."""

    hidden: Tensor
    """*Shape:* [N, D]."""

    rows: range
    """The K * C rows of the classes, counted through all tables."""

    targets: Tensor
    """The class of each prediction, from 0 on; :data:`NO_TARGET` where there is none. *Shape:* [N, K], int64."""

    weights: tuple[float, ...]
    """Of the K predictions, in the total."""


def chunked_cross_entropy(tables: Sequence[Tensor], jobs: Sequence[HeadJob]) -> tuple[Tensor, list[Tensor]]:
    """Returns the weighted sum of all cross entropies in nats, and those of each job without weights and detached.

    The sum can be differentiated once. Every table gets a gradient, even where there are no rows.

    :param tables: The heads' rows, in consecutive tables. *Shape:* [V, D] each.

    :returns: *Shape:* [], and [N, K] for each job; zero where there is no target. Both are float32.
    """
    hidden = [job.hidden for job in jobs]

    device = hidden[0].device.type

    if torch.is_autocast_enabled(device):
        # As `linear` would do it.
        dtype = torch.get_autocast_dtype(device)

        tables, hidden = [table.to(dtype) for table in tables], [part.to(dtype) for part in hidden]

    with torch.autocast(device, enabled=False):
        total, *losses = _HeadLoss.apply(jobs, len(tables), torch.is_grad_enabled(), *tables, *hidden)

    return total, losses


class _HeadLoss(Function):
    @staticmethod
    @override
    def forward(
        ctx: Any, jobs: Sequence[HeadJob], num_tables: int, with_grads: bool, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        tables, all_hidden = tensors[:num_tables], tensors[num_tables:]

        needs_grad = [with_grads and needed for needed in ctx.needs_input_grad[3:]]

        # Chunks add up in float32.
        table_grads = [
            torch.zeros_like(table, dtype=torch.float32) if needed else None
            for table, needed in zip(tables, needs_grad, strict=False)
        ]

        hidden_grads = [
            torch.empty_like(hidden) if needed else None
            for hidden, needed in zip(all_hidden, needs_grad[num_tables:], strict=True)
        ]

        total = tables[0].new_zeros((), dtype=torch.float32)

        all_losses = []

        for job, hidden, hidden_grad in zip(jobs, all_hidden, hidden_grads, strict=True):
            parts = list(_parts_of(tables, table_grads, job.rows))

            losses = torch.empty_like(job.targets, dtype=torch.float32)

            # Not as a GPU's copies usually are, which wait for the whole backbone.
            weights = torch.tensor(job.weights, dtype=losses.dtype).to(losses.device, non_blocking=True)

            num_rows = rows_of_chunk(hidden.device.type, len(job.rows))

            for begin in range(0, hidden.size(0), num_rows):
                chunk = slice(begin, begin + num_rows)

                losses[chunk] = _run_chunk(
                    hidden[chunk],
                    job.targets[chunk],
                    weights,
                    parts,
                    None if hidden_grad is None else hidden_grad[chunk],
                )

            total += losses.sum(dim=0).dot(weights)

            all_losses.append(losses)

        # They are no saved tensors, so that a backward pass can let go of them, or use their memory.
        ctx.grads = [
            None if grad is None else grad.to(tensor.dtype)
            for grad, tensor in zip([*table_grads, *hidden_grads], tensors, strict=True)
        ]

        ctx.mark_non_differentiable(*all_losses)

        return total, *all_losses

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        grads, ctx.grads = ctx.grads, None

        if grads is None:
            raise RuntimeError("The loss of the heads can be differentiated once; compute it anew.")

        return None, None, None, *(None if grad is None else grad.mul_(grad_output) for grad in grads)


class _Part(NamedTuple):
    """What a table has of the rows of a job."""

    columns: slice
    """Where its logits stand."""

    table: Tensor

    grad: Tensor | None


def _parts_of(tables: Sequence[Tensor], grads: Sequence[Tensor | None], rows: range) -> Iterator[_Part]:
    table_begin = 0

    for table, grad in zip(tables, grads, strict=True):
        begin, end = max(rows.start, table_begin), min(rows.stop, table_begin + table.size(0))

        if begin < end:
            local = slice(begin - table_begin, end - table_begin)

            columns = slice(begin - rows.start, end - rows.start)

            yield _Part(columns, table[local], None if grad is None else grad[local])

        table_begin += table.size(0)


def rows_of_chunk(kind: str, num_columns: int) -> int:
    """Returns the number of rows whose logits are in memory at once.

    :param kind: The type of the device.
    """
    kind = "cpu" if kind == "cpu" else "cuda"

    return max(_CHUNK_BYTES[kind] // (4 * num_columns), _MIN_ROWS[kind])


def _run_chunk(
    hidden: Tensor, targets: Tensor, weights: Tensor, parts: Sequence[_Part], hidden_grad: Tensor | None
) -> Tensor:
    """Adds a chunk's part to the gradients of the tables, and writes that of its hidden states.

    :returns: *Shape:* [N, K].
    """
    if len(parts) == 1:
        logits = hidden @ parts[0].table.T
    else:
        logits = hidden.new_empty((hidden.size(0), sum(part.table.size(0) for part in parts)))

        for part in parts:
            torch.mm(hidden, part.table.T, out=logits[:, part.columns])

    # [N, K, C]; in place from here on, as nothing is as slow as memory.
    scores = logits.float().view(*targets.shape, -1)

    classes = targets.clamp(min=0).unsqueeze(-1)

    scores.sub_(scores.amax(dim=-1, keepdim=True))

    chosen = scores.gather(-1, classes)

    sums = scores.exp_().sum(dim=-1, keepdim=True)

    has_target = (targets != NO_TARGET).unsqueeze(-1)

    losses = torch.where(has_target, sums.log() - chosen, 0.0).squeeze(-1)

    if hidden_grad is None and all(part.grad is None for part in parts):
        return losses

    scales = torch.where(has_target, weights[:, None], 0.0)

    scores.mul_(scales / sums).scatter_add_(-1, classes, -scales)

    grads = scores.view(logits.shape).to(hidden.dtype)

    for i, part in enumerate(parts):
        grad = grads[:, part.columns]

        if hidden_grad is not None:
            _add_product(hidden_grad, grad, part.table, anew=i == 0)

        if part.grad is not None:
            _add_product(part.grad, grad.T, hidden)

    return losses


def _add_product(output: Tensor, one: Tensor, other: Tensor, *, anew: bool = False) -> None:
    if anew:
        torch.mm(one, other, out=output)
    elif output.dtype == one.dtype:
        output.addmm_(one, other)
    else:
        output.add_(one @ other)
