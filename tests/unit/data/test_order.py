from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from codec_s2st.data.order import EpochOrder, Layout


def make_layout(sizes: list[int], num_bytes: list[int] | None = None) -> Layout:
    return Layout(np.append(0, np.cumsum(sizes)), np.array(num_bytes or [10] * len(sizes)))


def read(order: EpochOrder) -> list[int]:
    return [order[place] for place in range(len(order))]


def windows_of(layout: Layout, key: tuple[int, ...], max_bytes: int) -> list[list[int]]:
    """Returns the rows of each window, from the definition: groups in a random order, cut where the bytes are full."""
    used = [g for g in range(len(layout.num_bytes)) if layout.bounds[g] < layout.bounds[g + 1]]

    windows: dict[int, list[int]] = {}

    total = 0

    for group in np.random.default_rng(key).permutation(used):
        windows.setdefault(total // max_bytes, []).extend(range(layout.bounds[group], layout.bounds[group + 1]))

        total += int(layout.num_bytes[group])

    return list(windows.values())


SIZES = [5, 0, 3, 7, 1, 0, 4, 6, 2, 8, 3, 0]


class TestEpochOrder:
    @pytest.mark.parametrize("max_bytes", [1, 10, 25, 40, 1_000])
    def test_every_row_comes_once(self, max_bytes: int) -> None:
        order = EpochOrder(make_layout(SIZES), (1, 2), max_bytes)

        assert len(order) == sum(SIZES)

        assert sorted(read(order)) == list(range(sum(SIZES)))

    @pytest.mark.parametrize("max_bytes", [1, 10, 25, 40])
    def test_windows_are_those_of_the_definition(self, max_bytes: int) -> None:
        layout = make_layout(SIZES, [3, 9, 30, 7, 7, 1, 12, 50, 2, 8, 8, 4])

        order = EpochOrder(layout, (1, 2), max_bytes)

        rows, windows = read(order), windows_of(layout, (1, 2), max_bytes)

        assert order.num_windows == len(windows) > 1

        for window in windows:
            assert sorted(rows[: len(window)]) == sorted(window)

            rows = rows[len(window) :]

        assert not rows

    def test_rows_of_a_window_are_mixed(self) -> None:
        order = EpochOrder(make_layout([100] * 40), (1,), 100)

        rows = read(order)

        # Ten groups a window: neighbours come from another group nine times in ten, and do not lie side by side.
        others = sum(one // 100 != two // 100 for one, two in pairwise(rows))

        assert order.num_windows == 4

        assert 0.85 < others / len(rows) < 0.95

    def test_what_fits_is_shuffled_as_a_whole(self) -> None:
        order = EpochOrder(make_layout(SIZES), (3, 1), 10 * len(SIZES))

        assert order.num_windows == 1

        assert read(order) == np.random.default_rng((3, 1)).permutation(sum(SIZES)).tolist()

    def test_any_place_is_reached_without_those_before_it(self) -> None:
        layout = make_layout(SIZES)

        rows = read(EpochOrder(layout, (1, 2), 25))

        for place in np.random.default_rng(0).permutation(len(rows)):
            assert EpochOrder(layout, (1, 2), 25)[int(place)] == rows[place]

    def test_order_is_a_function_of_the_key(self) -> None:
        layout = make_layout(SIZES)

        one, again, other = (read(EpochOrder(layout, key, 25)) for key in ((1, 2), (1, 2), (1, 3)))

        assert one == again != other

    @pytest.mark.parametrize("place", [-1, sum(SIZES)])
    def test_other_places_are_refused(self, place: int) -> None:
        with pytest.raises(IndexError, match="between 0 and 38"):
            EpochOrder(make_layout(SIZES), (1,), 25)[place]
