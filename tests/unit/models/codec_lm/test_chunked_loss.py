"""Against one product, and torch's own cross entropy."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from codec_s2st.models.codec_lm import chunked_loss
from codec_s2st.models.codec_lm.chunked_loss import NO_TARGET, HeadJob, chunked_cross_entropy

WIDTH = 16

TEXT, SPEECH = range(0, 50), range(40, 70)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_loss, "_CHUNK_BYTES", {"cpu": 1})
    monkeypatch.setattr(chunked_loss, "_MIN_ROWS", {"cpu": 4})


def slow_cross_entropy(tables: Sequence[Tensor], jobs: Sequence[HeadJob]) -> tuple[Tensor, list[Tensor]]:
    table, total, output = torch.cat(list(tables)), torch.zeros(()), []

    for hidden, rows, targets, weights in jobs:
        logits = functional.linear(hidden, table[rows.start : rows.stop]).float().view(targets.numel(), -1)

        losses = functional.cross_entropy(logits, targets.flatten(), ignore_index=NO_TARGET, reduction="none")

        losses = losses.view(targets.shape)

        total = total + (losses * torch.tensor(weights)).sum()

        output.append(losses.detach())

    return total, output


def make_case(
    *sizes: int, num_rows: int = 13, dtype: torch.dtype = torch.float32
) -> tuple[list[Tensor], list[HeadJob]]:
    """Returns tables of ``sizes``, and jobs whose rows overlap, one with three predictions a row."""
    generator = torch.Generator().manual_seed(0)

    tables = [torch.randn((size, WIDTH), generator=generator).to(dtype).requires_grad_() for size in sizes]

    jobs = []

    for rows, weights in ((TEXT, (2.5,)), (SPEECH, (1.0,)), (SPEECH, (1.0, 0.5, 0.0))):
        num_classes = len(rows) // len(weights)

        targets = torch.randint(0, num_classes, (num_rows, len(weights)), generator=generator)

        if len(weights) > 1:
            targets[torch.rand(targets.shape, generator=generator) < 0.4] = NO_TARGET

        hidden = torch.randn((num_rows, WIDTH), generator=generator).to(dtype).requires_grad_()

        jobs.append(HeadJob(hidden, rows, targets, weights))

    return tables, jobs


def grads_of(total: Tensor, tables: Sequence[Tensor], jobs: Sequence[HeadJob]) -> list[Tensor]:
    # What it is multiplied with reaches every gradient.
    return list(torch.autograd.grad(0.3 * total, [*tables, *(job.hidden for job in jobs)]))


def assert_same_grads(fast: Sequence[Tensor], slow: Sequence[Tensor], tolerance: float) -> None:
    """Relative to the largest entry."""
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * float(other.abs().max()))


@pytest.mark.parametrize("sizes", [(75,), (43, 32), (40, 10, 25)])
@pytest.mark.parametrize("num_rows", [1, 4, 13])
def test_equals_the_plain_one(sizes: tuple[int, ...], num_rows: int) -> None:
    tables, jobs = make_case(*sizes, num_rows=num_rows)

    fast, slow = chunked_cross_entropy(tables, jobs), slow_cross_entropy(tables, jobs)

    torch.testing.assert_close(fast[0], slow[0], rtol=1e-6, atol=0)

    for one, other in zip(fast[1], slow[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)

        assert not one.requires_grad

    assert_same_grads(grads_of(fast[0], tables, jobs), grads_of(slow[0], tables, jobs), 1e-6)


def test_large_logits_are_no_overflow() -> None:
    tables, jobs = make_case(75)

    jobs = [job._replace(hidden=(1e3 * job.hidden).detach().requires_grad_()) for job in jobs]

    fast, slow = chunked_cross_entropy(tables, jobs)[0], slow_cross_entropy(tables, jobs)[0]

    torch.testing.assert_close(fast, slow, rtol=1e-6, atol=0)

    assert_same_grads(grads_of(fast, tables, jobs), grads_of(slow, tables, jobs), 1e-5)


def test_wide_head_at_its_own_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    generator = torch.Generator().manual_seed(0)

    table = torch.randn((20_000, WIDTH), generator=generator).requires_grad_()

    hidden = torch.randn((300, WIDTH), generator=generator).requires_grad_()

    targets = torch.randint(0, 20_000, (300, 1), generator=generator)

    jobs = [HeadJob(hidden, range(20_000), targets, (1.0,))]

    fast, slow = chunked_cross_entropy([table], jobs)[0], slow_cross_entropy([table], jobs)[0]

    # Sums of 20,000 exponentials, in another order.
    torch.testing.assert_close(fast, slow, rtol=5e-6, atol=0)

    assert_same_grads(grads_of(fast, [table], jobs), grads_of(slow, [table], jobs), 1e-5)


def test_no_rows_give_zeros_and_gradients() -> None:
    tables, jobs = make_case(43, 32, num_rows=0)

    total, losses = chunked_cross_entropy(tables, jobs)

    assert total.item() == 0.0 and [part.shape for part in losses] == [(0, 1), (0, 1), (0, 3)]

    assert not any(grad.any() for grad in grads_of(total, tables, jobs))


def test_frozen_tables_get_no_gradient() -> None:
    tables, jobs = make_case(43, 32)

    expected = grads_of(slow_cross_entropy(tables, jobs)[0], tables, jobs)

    tables[0].requires_grad_(False)

    total, _ = chunked_cross_entropy(tables, jobs)

    total.backward()

    assert tables[0].grad is None and tables[1].grad is not None

    torch.testing.assert_close(0.3 * tables[1].grad, expected[1])
    torch.testing.assert_close(0.3 * jobs[0].hidden.grad, expected[2])  # type: ignore[operator]


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_is_as_near_as_the_plain_one(autocast: bool) -> None:
    """Sums of chunks are in float32, so that the only rounding is that of the products."""
    dtype = torch.float32 if autocast else torch.bfloat16

    tables, jobs = make_case(43, 32, num_rows=40, dtype=dtype)

    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        fast = chunked_cross_entropy(tables, jobs)[0]

    grads = grads_of(fast, tables, jobs)

    exact_tables = [table.detach().float().requires_grad_() for table in tables]

    exact_jobs = [job._replace(hidden=job.hidden.detach().float().requires_grad_()) for job in jobs]

    exact = slow_cross_entropy(exact_tables, exact_jobs)[0]

    assert fast.dtype == torch.float32 and all(grad.dtype == dtype for grad in grads)

    torch.testing.assert_close(fast, exact, rtol=5e-3, atol=0)

    # bfloat16 has 8 bits.
    assert_same_grads([grad.float() for grad in grads], grads_of(exact, exact_tables, exact_jobs), 2e-2)


def test_without_gradients_there_are_none() -> None:
    tables, jobs = make_case(75)

    with torch.no_grad():
        total, losses = chunked_cross_entropy(tables, jobs)

    assert not total.requires_grad

    assert torch.equal(losses[0], chunked_cross_entropy(tables, jobs)[1][0])


def test_second_backward_pass_is_refused() -> None:
    tables, jobs = make_case(75)

    total, _ = chunked_cross_entropy(tables, jobs)

    total.backward(retain_graph=True)

    with pytest.raises(RuntimeError, match="once"):
        total.backward()
