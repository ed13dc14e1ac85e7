"""Tables whose rows are split over the ranks of tensor parallelism.

fairseq2 splits the projections of attention and of feed-forward networks. Here the rows of the tables of embedding and
heads are split, so that no rank keeps the whole vocabulary, its gradient and its optimizer state. What is left is
replicated: every rank computes the same with it, so that its gradients are the same.

Legend: V row, D width.
"""

from __future__ import annotations

import torch
from fairseq2.gang import Gang
from fairseq2.ops.tensor_parallel import gather
from torch import Tensor

from codec_s2st.errors import UserInputError


def rows_of_rank(num_rows: int, gang: Gang) -> int:
    """Returns the number of rows that each rank of a tensor parallel gang keeps of a table.

    :raises UserInputError: the table cannot be split evenly.
    """
    if num_rows % gang.size:
        raise UserInputError(
            f"`gang.tensor_parallel_size` is {gang.size}, but must divide the {num_rows} rows of a table of the model",
            hint=f"pad the tables of a new model with model.config_overrides.rows_multiple_of={gang.size}",
        )

    return num_rows // gang.size


def init_rows(weight: Tensor, gang: Gang, *, std: float) -> None:
    """Draws a rank's rows from a normal; all ranks' together are what a single process draws.

    :param weight: *Shape:* [V / ranks, D].
    """
    if gang.size == 1:
        torch.nn.init.normal_(weight, std=std)

        return

    table = torch.empty((gang.size * weight.size(0), weight.size(1)), dtype=weight.dtype, device=weight.device)

    torch.nn.init.normal_(table, std=std)

    with torch.no_grad():
        weight.copy_(table.chunk(gang.size)[gang.rank])


def gather_rows(weight: Tensor, gang: Gang) -> Tensor:
    """Returns the whole table. All ranks must compute the same with it; each one's gradient is that of its own rows.

    :param weight: *Shape:* [V / ranks, D].

    :returns: *Shape:* [V, D].
    """
    return weight if gang.size == 1 else gather(weight, gang, dim=0)
