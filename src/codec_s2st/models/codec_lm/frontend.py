"""From ids to vectors. Legend: B batch, S step, Q stream, D width, V vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module, Parameter, functional
from typing_extensions import override


class StreamEmbedding(Module):
    """One table for text, specials and all code books; the vectors of a step's Q ids are summed."""

    def __init__(self, num_embeddings: int, embed_dim: int, pad_idx: int, *, std: float) -> None:
        """
        :param pad_idx: The id whose vector counts as zero.
        :param std: The standard deviation of the normal initialisation.
        """
        super().__init__()

        self.pad_idx = pad_idx

        self.std = std

        self.weight = Parameter(torch.empty((num_embeddings, embed_dim)))

        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.normal_(self.weight, std=self.std)

    @override
    def forward(self, ids: Tensor) -> Tensor:
        """
        :param ids: Ids of the vocabulary. *Shape:* [B, S, Q].

        :returns: The summed vectors. *Shape:* [B, S, D].
        """
        bags = ids.reshape(-1, ids.size(-1))

        sums = functional.embedding_bag(bags, self.weight, mode="sum", padding_idx=self.pad_idx)

        return sums.view(*ids.shape[:-1], -1)

    @override
    def extra_repr(self) -> str:
        """:meta private:"""
        return f"num_embeddings={self.weight.size(0)}, embed_dim={self.weight.size(1)}, pad_idx={self.pad_idx}"


class CodecLMFrontend(Module):
    """Holds the embedding under the name that fairseq2's checkpoint converters use."""

    def __init__(self, embed: StreamEmbedding) -> None:
        super().__init__()

        self.embed = embed

    @override
    def forward(self, ids: Tensor) -> Tensor:
        embeds: Tensor = self.embed(ids)

        return embeds
