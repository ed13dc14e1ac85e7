from __future__ import annotations

import pytest

from codec_s2st.evaluation.chance import derangement


@pytest.mark.parametrize("size", [2, 3, 4, 7, 50])
def test_derangement_is_a_permutation_without_a_fixed_point(size: int) -> None:
    for seed in range(50):
        order = derangement(size, seed)

        assert sorted(order) == list(range(size))

        assert all(idx != item for idx, item in enumerate(order))


def test_derangement_depends_on_the_seed_alone() -> None:
    assert derangement(20, 1) == derangement(20, 1)

    assert len({tuple(derangement(20, seed)) for seed in range(10)}) == 10


def test_every_partner_is_as_likely() -> None:
    partners = [derangement(4, seed)[0] for seed in range(600)]

    for partner in (1, 2, 3):
        assert 150 < partners.count(partner) < 250


def test_one_item_has_no_derangement() -> None:
    assert derangement(0, 0) == []

    with pytest.raises(ValueError):
        derangement(1, 0)
