from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from codec_s2st.data.mixture import Mixture, MixtureEntry, TaskSource
from codec_s2st.data.shards import ShardRow, ShardSet, Side
from codec_s2st.errors import UserInputError
from tests.factories import open_toy_shards, toy_rows, write_toy_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    rows = toy_rows(20, num_valid=4)

    # Without target codes, without a target at all, without text.
    rows[0] = ShardRow(rows[0].id, "train", rows[0].source, Side(None, "uno", "eng"))
    rows[1] = ShardRow(rows[1].id, "train", rows[1].source, Side())
    rows[2] = ShardRow(rows[2].id, "train", Side(rows[2].source.codes, None, "spa"), rows[2].target)

    return open_toy_shards(tmp_path_factory.mktemp("shards"), rows)


def make_mixture(
    shards: ShardSet, tasks: list[str], weights: list[float], *, seed: int = 1, temperature: float = 1.0
) -> Mixture:
    sources = [TaskSource.select(MixtureEntry(task=task), shards, ["train"]) for task in tasks]

    return Mixture(sources, weights, seed, temperature)


def draw_all(mixture: Mixture, num_blocks: int, size: int) -> list[tuple[int, int]]:
    drawn = [0] * len(mixture.sources)

    examples = []

    for block in range(num_blocks):
        for source, position in mixture.draw(block, size, drawn):
            examples.append((source, position))

            drawn[source] += 1

    return examples


class TestTaskSource:
    @pytest.mark.parametrize(
        ("task", "reverse", "absent"),
        [
            ("s2st", False, {0, 1}),
            ("s2st", True, {0, 1}),
            ("s2tt", False, {1}),
            ("asr", False, {2}),
            ("asr", True, {0, 1}),
            ("mt", False, {1, 2}),
            ("speech_lm", False, set()),
            ("text_lm", True, {1}),
        ],
    )
    def test_selects_the_rows_that_serve(self, shards: ShardSet, task: str, reverse: bool, absent: set[int]) -> None:
        entry = MixtureEntry(task=task, reverse=reverse)

        source = TaskSource.select(entry, shards, ["train"])

        assert set(source.indices.tolist()) == set(range(16)) - absent

        assert source.name == entry.name == (f"{task}-reverse" if reverse else task)

        # Every slot of the template can be filled from every row.
        assert all(slot.fits(source.example(i)) for i in range(len(source)) for slot in source.template.slots)

    def test_reads_splits_apart(self, shards: ShardSet) -> None:
        assert TaskSource.select(MixtureEntry(), shards, ["valid"]).indices.tolist() == [16, 17, 18, 19]

        assert len(TaskSource.select(MixtureEntry(), shards, ["train", "valid"])) == 18

    def test_reverse_exchanges_the_sides(self, shards: ShardSet) -> None:
        row = TaskSource.select(MixtureEntry(reverse=True), shards, ["train"]).example(0).row

        assert (row.source.lang, row.target.lang) == ("eng", "spa")

    def test_nothing_to_read_is_refused(self, shards: ShardSet) -> None:
        with pytest.raises(
            UserInputError,
            match=r"none of the 20 rows .* serves task 's2st' in split test \(their splits are train, valid;",
        ):
            TaskSource.select(MixtureEntry(), shards, ["test"])

    @pytest.mark.parametrize("reverse", [False, True])
    def test_what_the_rows_lack_is_named(self, shards: ShardSet, reverse: bool) -> None:
        side = "target" if reverse else "source"

        with pytest.raises(
            UserInputError, match=rf"'interleaved_lm'.* \(\d+ rows come near, but none of them has {side} alignment;"
        ):
            TaskSource.select(MixtureEntry(task="interleaved_lm", reverse=reverse), shards, ["train"])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Returns two folders of shards: ``one`` with 20 rows, ``two`` with 12."""
    folder = tmp_path_factory.mktemp("corpora")

    paths = [write_toy_shards(folder / name, toy_rows(num)) for name, num in (("one", 20), ("two", 12))]

    return ShardSet.open(paths, codec=None)


class TestCorpora:
    def test_each_row_belongs_to_the_folder_of_its_shard(self, both: ShardSet) -> None:
        assert both.is_of_corpus("two").tolist() == [False] * 20 + [True] * 12

        assert both.first(1).corpora == both.corpora == ["one", "two"]

    def test_an_entry_reads_one_corpus_or_all(self, both: ShardSet) -> None:
        def read(corpus: str | None) -> list[int]:
            return TaskSource.select(MixtureEntry(corpus=corpus), both, ["train"]).indices.tolist()

        assert read("one") == list(range(20))
        assert read("two") == list(range(20, 32))
        assert read(None) == list(range(32))

    def test_an_unknown_corpus_is_refused(self, both: ShardSet) -> None:
        with pytest.raises(UserInputError, match=r"unknown corpus 'twoo': did you mean 'two'\?"):
            TaskSource.select(MixtureEntry(corpus="twoo"), both, ["train"])

    def test_a_cap_chooses_rows_once_and_for_all(self, both: ShardSet) -> None:
        one, two = (TaskSource.select(MixtureEntry(max_examples=5), both, ["train"]).indices for _ in range(2))

        assert one.tolist() == two.tolist() == sorted(set(one.tolist()))

        # Not the first ones: a corpus may be sorted.
        assert len(one) == 5 and one.max() > 5

        assert len(TaskSource.select(MixtureEntry(corpus="two", max_examples=50), both, ["train"])) == 12


class TestMixture:
    def test_shares_follow_the_weights(self, shards: ShardSet) -> None:
        mixture = make_mixture(shards, ["s2st", "asr", "mt"], [6.0, 3.0, 1.0])

        np.testing.assert_allclose(mixture.shares, [0.6, 0.3, 0.1])

        counts = Counter(source for source, _ in draw_all(mixture, 20, 500))

        # Five standard deviations of a binomial of 10,000 draws.
        for source, share in enumerate((0.6, 0.3, 0.1)):
            assert abs(counts[source] - 10_000 * share) < 5 * (10_000 * share * (1 - share)) ** 0.5

    def test_temperature_evens_the_shares_out(self, shards: ShardSet) -> None:
        mixture = make_mixture(shards, ["s2st", "asr"], [16.0, 1.0], temperature=2.0)

        np.testing.assert_allclose(mixture.shares, [0.8, 0.2])

    def test_corpora_weights_temperature_and_caps_together(self, both: ShardSet) -> None:
        entries = [
            MixtureEntry(task="s2st", corpus="one", weight=8.0, max_examples=5),
            MixtureEntry(task="s2st", corpus="two", weight=4.0),
            MixtureEntry(task="asr", weight=1.0, max_examples=7),
        ]

        sources = [TaskSource.select(entry, both, ["train"]) for entry in entries]

        mixture = Mixture(sources, [entry.weight for entry in entries], 3, temperature=2.0)

        expected = np.sqrt([8.0, 4.0, 1.0]) / np.sqrt([8.0, 4.0, 1.0]).sum()

        np.testing.assert_allclose(mixture.shares, expected)

        examples = draw_all(mixture, 24, 500)

        counts = np.bincount([source for source, _ in examples], minlength=3)

        # 13.8 is exceeded once in a thousand seeds by chance.
        assert ((counts - 12_000 * expected) ** 2 / (12_000 * expected)).sum() < 13.8

        # Within a source, each of the rows that its cap has left, as often as each other.
        for source, size in enumerate((5, 12, 7)):
            seen = Counter(sources[source].example(i).id for other, i in examples if other == source)

            assert len(sources[source]) == size == len(seen)

            assert max(seen.values()) - min(seen.values()) <= 1

    def test_every_epoch_covers_every_row_once(self, shards: ShardSet) -> None:
        mixture = make_mixture(shards, ["s2st", "asr"], [1.0, 2.0])

        examples = draw_all(mixture, 13, 11)

        for source, size in ((0, 14), (1, 15)):
            positions = [position for other, position in examples if other == source]

            epochs = [positions[i : i + size] for i in range(0, len(positions) - size + 1, size)]

            assert len(epochs) >= 2

            assert all(sorted(epoch) == list(range(size)) for epoch in epochs)

            # Each in another order.
            assert len({tuple(epoch) for epoch in epochs}) == len(epochs)

    def test_order_is_a_function_of_the_seed(self, shards: ShardSet) -> None:
        def draw(seed: int) -> list[tuple[int, int]]:
            return draw_all(make_mixture(shards, ["s2st", "asr"], [1.0, 1.0], seed=seed), 5, 16)

        assert draw(1) == draw(1) != draw(2)

    def test_block_can_be_drawn_without_those_before_it(self, shards: ShardSet) -> None:
        examples = draw_all(make_mixture(shards, ["s2st", "asr"], [1.0, 1.0]), 8, 16)

        before = Counter(source for source, _ in examples[: 7 * 16])

        fresh = make_mixture(shards, ["s2st", "asr"], [1.0, 1.0])

        assert fresh.draw(7, 16, [before[0], before[1]]) == examples[7 * 16 :]

    @pytest.mark.parametrize(("weights", "temperature"), [([0.0, 1.0], 1.0), ([-1.0, 1.0], 1.0), ([1.0, 1.0], 0.0)])
    def test_shares_that_make_no_sense_are_refused(
        self, shards: ShardSet, weights: list[float], temperature: float
    ) -> None:
        with pytest.raises(UserInputError, match="must be positive"):
            make_mixture(shards, ["s2st", "asr"], weights, temperature=temperature)

    def test_weights_and_sources_must_be_as_many(self, shards: ShardSet) -> None:
        with pytest.raises(ValueError, match="as many items"):
            make_mixture(shards, ["s2st", "asr"], [1.0])
