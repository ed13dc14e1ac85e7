"""How often the layers of a backbone are compiled while packed rows change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fairseq2.models import ModelFamily
from fairseq2.runtime.dependency import get_dependency_resolver
from torch.fx import GraphModule

from codec_s2st.data.batch import collate_packed
from codec_s2st.tokens.sequence import Modality, SequenceBuilder
from tests.factories import random_sequence, tiny_model

LENGTHS = ([9, 3, 30, 4], [5, 17], [2, 2, 2, 8, 21, 40], [60], [7, 7, 31], [3, 50, 4, 4, 4])

NUM_FIRST = 2
"""So many batches, of several lengths, and the compiler has seen what changes."""


class Counter:
    """A compiler that changes nothing."""

    def __init__(self) -> None:
        self.num_graphs = 0

    def __call__(self, graph: GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        self.num_graphs += 1

        return graph.forward


@pytest.mark.parametrize("width", [128, None])
def test_other_lengths_do_not_compile_anew(width: int | None) -> None:
    """
    :param width: That of all rows, as packing makes them; ``None`` if rows are as long as what they hold.
    """
    torch._dynamo.reset()

    model = tiny_model().train()

    reference = tiny_model().train()

    counter = Counter()

    family = get_dependency_resolver().resolve(ModelFamily, key="codec_s2st_lm")

    family.compile(model, backend=counter, dynamic=True)

    builder = SequenceBuilder(model.vocabulary, model.pattern)

    counts = []

    for lengths in LENGTHS:
        sequences = [random_sequence(builder, (Modality.SPEECH,), n, seed=n) for n in lengths]

        names = [""] * len(sequences)

        num_steps = width or sum(map(len, sequences))

        batch = collate_packed(sequences, names, names, pad=model.vocabulary.pad, num_frames=0, num_steps=num_steps)

        losses = []

        for one in (model, reference):
            losses.append(one(batch.ids, loss_mask=batch.loss_mask, packed_lens=batch.packed_lens).loss.total)

            losses[-1].backward()

        torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=0)

        counts.append(counter.num_graphs)

    assert 0 < counts[NUM_FIRST - 1] == counts[-1], counts
