from __future__ import annotations

from typing import Any

import pytest
import torch
from fairseq2.recipe.config import AdamWConfig
from torch import Tensor
from torch.optim import AdamW

from codec_s2st.checkpoints.states import flatten_state, restore_state
from codec_s2st.recipes.common.fused import why_not_fused

NUM_STEPS = 6


@pytest.mark.parametrize(
    ("dtype", "device", "config", "word"),
    [
        (torch.float32, "cpu", {}, None),
        (torch.bfloat16, "cuda", {}, None),
        (torch.float16, "cuda", {}, "float16"),
        (torch.float32, "mps", {}, "not for mps"),
        (torch.float32, "cpu", {"differentiable": True}, "differentiable"),
    ],
)
def test_choice(dtype: torch.dtype, device: str, config: dict[str, Any], word: str | None) -> None:
    reason = why_not_fused(AdamWConfig(**config), dtype, device)

    assert reason is None if word is None else word in str(reason)


class Training:
    """Steps with given gradients, in two groups."""

    def __init__(self, **kwargs: bool) -> None:
        generator = torch.Generator().manual_seed(0)

        self.parameters = [torch.randn(size, generator=generator) for size in (7, 33, 1000)]

        groups = [{"params": self.parameters[:1], "lr": 0.1}, {"params": self.parameters[1:], "lr": 0.01}]

        self.optimizer = AdamW(groups, betas=(0.9, 0.95), weight_decay=0.1, **kwargs)

    def run(self, steps: range) -> list[Tensor]:
        for step in steps:
            generator = torch.Generator().manual_seed(step)

            for parameter in self.parameters:
                parameter.grad = torch.randn(parameter.shape, generator=generator)

            # As the guard leaves out a step, and LoRA a parameter.
            if step % 3 == 1:
                self.parameters[1].grad = None

            self.optimizer.step()

        return self.parameters


@pytest.mark.parametrize("before", [True, None])
@pytest.mark.parametrize("now", [True, None])
def test_goes_on_to_the_same_bits_with_what_it_was_begun_with(before: bool | None, now: bool | None) -> None:
    """Whatever the program that goes on would have begun with itself."""
    whole = Training(fused=before).run(range(NUM_STEPS))  # type: ignore[arg-type]

    first, second = Training(fused=before), Training(fused=now)  # type: ignore[arg-type]

    for parameter, value in zip(second.parameters, first.run(range(4)), strict=True):
        parameter.copy_(value)

    state = flatten_state(first.optimizer.state_dict())

    second.optimizer.load_state_dict(restore_state(state.tree, lambda name: state.tensors[name].clone()))

    for one, other in zip(second.run(range(4, NUM_STEPS)), whole, strict=True):
        assert torch.equal(one, other)


def test_differs_in_rounding_alone() -> None:
    one, other = (Training(fused=fused).run(range(NUM_STEPS)) for fused in (True, False))

    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)
