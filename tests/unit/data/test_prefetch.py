from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq2.datasets import DataReader
from fairseq2.device import CPU
from fairseq2.gang import FakeGang, create_parallel_gangs

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.data.dataset import DataSection, SpeechTextDataset
from codec_s2st.data.mixture import MixtureEntry
from codec_s2st.data.parquet import DamagedFileError
from codec_s2st.data.prefetch import PrefetchReader
from codec_s2st.data.reader import BatchMaker, MixtureReader
from codec_s2st.data.shards import ShardSet
from codec_s2st.errors import CodecS2STError, UserInputError
from codec_s2st.tokens.delay import parse_pattern
from codec_s2st.tokens.sequence import SequenceBuilder
from codec_s2st.tokens.vocabulary import Vocabulary
from tests.factories import encode_letters, open_toy_shards, toy_rows, write_toy_shards

NUM_STEPS = 24


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return open_toy_shards(tmp_path_factory.mktemp("shards"), toy_rows(40))


@pytest.fixture
def make(shards: ShardSet) -> Iterator[Any]:
    """Yields a function that opens a reader as a recipe does; the workers are ended afterwards."""
    readers: list[DataReader[SpeechTextBatch]] = []

    def make(
        num_workers: int = 0,
        num_prefetch: int = 1,
        *,
        rank: int = 0,
        world_size: int = 1,
        num_accumulate: int = 1,
        packing: bool = True,
        max_seq_len: int = 60,
        opened: ShardSet | None = None,
    ) -> DataReader[SpeechTextBatch]:
        section = DataSection(
            mixture=[MixtureEntry(task="s2st", weight=2.0), MixtureEntry(task="asr")],
            block_size=16,
            num_workers=num_workers,
            num_prefetch=num_prefetch,
        )

        builder = SequenceBuilder(Vocabulary(32, (16, 16)), parse_pattern("parallel", 2))

        maker = BatchMaker(builder, encode_letters, "target", 120, max_seq_len, packing)

        gangs = create_parallel_gangs(FakeGang(CPU, rank=rank, size=world_size))

        reader = SpeechTextDataset(opened or shards).create_reader(section, maker, gangs, num_accumulate=num_accumulate)

        readers.append(reader)

        return reader

    yield make

    for reader in readers:
        if isinstance(reader, PrefetchReader):
            reader.close()


def read(reader: DataReader[SpeechTextBatch], num_steps: int) -> list[dict[str, object]]:
    """Returns all that is in the batches of some steps."""
    return [as_dict(batch) for _ in range(num_steps) for batch in next(reader)]


def as_dict(batch: SpeechTextBatch) -> dict[str, object]:
    assert batch.ids.dtype == torch.int64 and batch.loss_mask.dtype == torch.bool

    return {**vars(batch), "ids": batch.ids.tolist(), "loss_mask": batch.loss_mask.tolist()}


class TestBatches:
    @pytest.mark.parametrize("packing", [False, True])
    @pytest.mark.parametrize("num_prefetch", [1, 4])
    @pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
    def test_are_the_same(self, make: Any, num_workers: int, num_prefetch: int, packing: bool) -> None:
        expected, found = make(packing=packing), make(num_workers, num_prefetch, packing=packing)

        assert type(found) is (MixtureReader if num_workers == 0 else PrefetchReader)

        for _ in range(NUM_STEPS):
            assert read(found, 1) == read(expected, 1)

            assert found.state_dict() == expected.state_dict()

        assert found.state_dict()["block"] >= 3

    def test_of_each_rank_are_its_own(self, make: Any) -> None:
        for rank in range(2):
            options = {"rank": rank, "world_size": 2, "num_accumulate": 2}

            assert read(make(2, 2, **options), 8) == read(make(**options), 8)

    def test_can_be_written_to(self, make: Any) -> None:
        (batch,) = next(make(1))

        batch.ids += 1

        batch.to(CPU)


class TestState:
    @pytest.mark.parametrize("start", [0, 1, 2, 7, 13])
    def test_is_of_what_was_handed_out(self, make: Any, start: int) -> None:
        """However many workers there were before, and are now, and however far ahead they had come."""
        expected = read(make(), start + 6)[start:]

        for before in [(0, 1), (1, 4), (2, 1)]:
            reader = make(*before)

            read(reader, start)

            state = reader.state_dict()

            for after in [(0, 1), (1, 1), (2, 4)]:
                resumed = make(*after)

                resumed.load_state_dict(state)

                assert resumed.state_dict() == state

                assert read(resumed, 6) == expected

    def test_can_be_loaded_while_workers_are_ahead(self, make: Any) -> None:
        reader = make(2, 4)

        first = read(reader, 3)

        state = reader.state_dict()

        then = read(reader, 5)

        reader.load_state_dict(state)

        assert read(reader, 5) == then

        reader.reset()

        assert read(reader, 3) == first

    def test_closing_changes_nothing(self, make: Any) -> None:
        reader, expected = make(2, 4), read(make(), 10)

        found = []

        for _ in range(5):
            found += read(reader, 2)

            reader.close()

        assert found == expected

    def test_of_another_mixture_is_refused(self, make: Any) -> None:
        with pytest.raises(ValueError, match="has 1 sources"):
            make(1).load_state_dict({"block": 0, "batch": 0, "drawn": [0], "over_long": [0]})


class TestErrors:
    def test_of_planning_are_the_same(self, make: Any) -> None:
        for num_workers in (0, 1, 2):
            with pytest.raises(UserInputError, match="every sequence is longer than 5 steps"):
                next(make(num_workers, max_seq_len=5))

    @pytest.mark.parametrize("num_workers", [0, 1])
    def test_damage_that_is_found_late_names_its_place(self, make: Any, tmp_path: Path, num_workers: int) -> None:
        folder = write_toy_shards(tmp_path / "late", toy_rows(40))

        opened = ShardSet.open([folder], codec=None, verify=False)

        (path,) = folder.iterdir()

        path.write_bytes(path.read_bytes()[:1000])

        with pytest.raises(DamagedFileError, match=rf"{path} is not a readable parquet file"):
            next(make(num_workers, opened=opened))

    def test_a_worker_that_dies_ends_the_run(self, make: Any) -> None:
        reader = make(1, 1)

        next(reader)

        os.kill(reader._pool.pids[0], signal.SIGKILL)

        with pytest.raises(CodecS2STError, match="was killed by signal 9"):
            read(reader, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": -1}, "`num_workers` must not be negative"),
        ({"num_prefetch": 0}, "`num_prefetch` must be at least 1"),
        ({"shuffle_gib": 0.0}, "`shuffle_gib` must be positive"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    assert message in str(DataSection(**options).validate())


def test_packing_draws_more_examples_together() -> None:
    assert DataSection().num_drawn_together == 512
    assert DataSection(packing=True).num_drawn_together == 4096
    assert DataSection(packing=True, block_size=7).num_drawn_together == 7

    assert "`block_size` must be at least 1" in str(DataSection(block_size=0).validate())
