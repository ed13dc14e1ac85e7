"""Keys and values of all steps, in memory that is allocated once. Legend: L layer, B row, H head, S step, K width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class KeyValueCache:
    """Rows end at the same column, whatever the lengths of their prompts: a step then writes one column.

    A row that is shorter begins later. What is before it is zero, and not attended to.
    """

    def __init__(
        self,
        num_layers: int,
        lengths: Sequence[int],
        num_heads: int,
        num_new: int,
        head_dim: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """
        :param lengths: The number of steps of each row that are read at first. Length B.
        :param num_heads: Those of keys and values.
        :param num_new: The largest number of steps that are read after them.
        """
        self.lengths = list(lengths)

        self.position = max(lengths)
        """The column of the next step."""

        self.starts = [self.position - length for length in lengths]
        """The column of each row's first step."""

        shape = (2 * num_layers, len(lengths), num_heads, self.position + num_new, head_dim)

        # Weight 0 times what stands before a row must be 0.
        self._all = torch.zeros(shape, device=device, dtype=dtype)

        self._set_rows()

    def _set_rows(self) -> None:
        self._active = self._all[:, : len(self.starts)]

        self._mask: Tensor | None = None

        self.positions: Tensor | None = None
        """The number of steps of each row before the next one, where they differ. *Shape:* [B]."""

        if len(set(self.starts)) > 1 or self.starts[0]:
            device = self._all.device

            starts = torch.tensor(self.starts, device=device)

            columns = torch.arange(self._all.size(3), device=device)

            mask = torch.zeros((len(starts), 1, 1, len(columns)), device=device, dtype=self._all.dtype)

            self._mask = mask.masked_fill_((columns < starts[:, None])[:, None, None], -torch.inf)

            self.positions = self.position - starts

    def write_prompt(self, layer: int, row: int, keys: Tensor, values: Tensor) -> None:
        """
        :param keys: Those of a row's first steps; so are ``values``. *Shape:* [H, S, K].
        """
        begin = self.starts[row]

        self._all[2 * layer, row, :, begin : begin + keys.size(1)] = keys
        self._all[2 * layer + 1, row, :, begin : begin + keys.size(1)] = values

    def columns(self) -> tuple[Sequence[Tensor], Sequence[Tensor], Tensor | None]:
        """Returns the places of the next step's keys and values, all up to them, and a mask.

        :returns: Keys and values of each layer in turn. *Shape:* [B, H, K] each.
        :returns: *Shape:* [B, H, S, K] each.
        :returns: To be added to the products of queries and keys. *Shape:* [B, 1, 1, S].
        """
        end = self.position + 1

        mask = None if self._mask is None else self._mask[..., :end]

        return self._active.select(3, self.position).unbind(0), self._active.narrow(3, 0, end).unbind(0), mask

    def advance(self) -> None:
        """Goes on to the next step."""
        self.position += 1

        if self.positions is not None:
            self.positions += 1

    def rewind(self) -> None:
        """Goes back to the first step."""
        self.position = 0

    def keep(self, order: Sequence[int]) -> None:
        """Keeps some rows; row i is from then on what row ``order[i]`` was.

        :param order: At i, i itself or a later row.
        """
        for row, source in enumerate(order):
            if source != row:
                begin = self.starts[source]

                self._all[:, row, :, : self.position] = self._all[:, source, :, : self.position]

                self.starts[row] = begin

        self.starts = self.starts[: len(order)]

        self._set_rows()
