from __future__ import annotations

import logging
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from codec_s2st.data.batch import SpeechTextBatch
from codec_s2st.data.mixture import Mixture, MixtureEntry, TaskSource
from codec_s2st.data.reader import BatchMaker, MixtureReader, SourceReader
from codec_s2st.data.shards import ShardSet
from codec_s2st.data.templates import Example, find_template, render
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.delay import parse_pattern
from codec_s2st.tokens.sequence import SequenceBuilder, TokenSequence
from codec_s2st.tokens.vocabulary import Vocabulary
from tests.factories import encode_letters, open_toy_shards, toy_rows, write_toy_shards

BLOCK_SIZE = 24


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return open_toy_shards(tmp_path_factory.mktemp("shards"), toy_rows(40, num_valid=10))


def make_maker(
    *, max_batch_steps: int = 120, max_seq_len: int = 100, packed: bool = False, crop: bool = False
) -> BatchMaker:
    builder = SequenceBuilder(Vocabulary(32, (16, 16)), parse_pattern("parallel", 2))

    return BatchMaker(builder, encode_letters, "target", max_batch_steps, max_seq_len, packed, crop)


def make_reader(
    shards: ShardSet,
    maker: BatchMaker | None = None,
    *,
    rank: int = 0,
    world_size: int = 1,
    num_accumulate: int = 1,
    tasks: tuple[str, ...] = ("s2st", "asr"),
    block_size: int = BLOCK_SIZE,
    seed: int = 1,
) -> MixtureReader:
    sources = [TaskSource.select(MixtureEntry(task=task), shards, ["train"]) for task in tasks]

    mixture = Mixture(sources, [2.0, 1.0][: len(tasks)], seed)

    return MixtureReader(
        mixture,
        maker or make_maker(),
        block_size=block_size,
        rank=rank,
        world_size=world_size,
        num_accumulate=num_accumulate,
    )


def assert_equal(one: SpeechTextBatch, two: SpeechTextBatch) -> None:
    assert torch.equal(one.ids, two.ids) and torch.equal(one.loss_mask, two.loss_mask)

    assert (one.tasks, one.row_ids, one.num_steps, one.num_frames) == (
        two.tasks,
        two.row_ids,
        two.num_steps,
        two.num_frames,
    )


def read(reader: MixtureReader, num_steps: int) -> list[list[SpeechTextBatch]]:
    return [next(reader) for _ in range(num_steps)]


def key(batch: SpeechTextBatch) -> tuple[tuple[str, str], ...]:
    return tuple(zip(batch.tasks, batch.row_ids, strict=True))


def block_of(reader: MixtureReader, block: int = 0) -> list[SpeechTextBatch]:
    """Reads until the block after ``block`` begins, and returns the batches of ``block``."""
    batches: list[SpeechTextBatch] = []

    while True:
        step = next(reader)

        if reader.state_dict()["block"] > block:  # type: ignore[operator]
            return batches

        if reader.state_dict()["block"] == block:
            batches += step


class TestBatches:
    def test_hold_what_the_templates_render(self, shards: ShardSet) -> None:
        maker = make_maker()

        rows = {shards.row(i).id: shards.row(i) for i in range(len(shards))}

        for (batch,) in read(make_reader(shards, maker), 20):
            num_steps = num_frames = 0

            for i, (task, row_id) in enumerate(key(batch)):
                expected = render(find_template(task), Example(rows[row_id]), maker.builder, encode_letters, "target")

                length = len(expected)

                assert torch.equal(batch.ids[i, :length], expected.ids)
                assert torch.equal(batch.loss_mask[i, :length], expected.loss_mask)

                assert bool((batch.ids[i, length:] == maker.builder.vocabulary.pad).all())
                assert not batch.loss_mask[i, length:].any()

                num_steps += length

                codes = [rows[row_id].source.codes, rows[row_id].target.codes if task == "s2st" else None]

                num_frames += sum(len(item) for item in codes if item is not None)

            assert (batch.num_steps, batch.num_frames) == (num_steps, num_frames)

    def test_stay_below_the_largest_size(self, shards: ShardSet) -> None:
        batches = [batch for step in read(make_reader(shards), 30) for batch in step]

        assert all(batch.ids.size(0) * batch.ids.size(1) <= 120 for batch in batches)

        # Sequences of similar lengths stand together.
        num_padding = sum(batch.ids[..., 0].numel() - batch.num_steps for batch in batches)

        assert num_padding < 0.15 * sum(batch.num_steps for batch in batches)

    def test_mixture_is_in_proportion(self, shards: ShardSet) -> None:
        batches = block_of(make_reader(shards, block_size=600))

        counts = Counter(task for batch in batches for task in batch.tasks)

        assert counts.total() == 600 and 350 < counts["s2st"] < 450

    def test_block_is_drawn_without_gaps(self, shards: ShardSet) -> None:
        reader = make_reader(shards, tasks=("s2st",), block_size=30)

        for block in range(3):
            reader.load_state_dict({"block": block, "batch": 0, "drawn": [30 * block], "over_long": [0]})

            # A block of as many examples as there are rows is an epoch.
            ids = [row_id for batch in block_of(reader, block) for row_id in batch.row_ids]

            assert sorted(ids) == sorted(f"row{i}" for i in range(30))

    def test_epochs_of_other_sizes_than_blocks_hold_each_row_once(self, shards: ShardSet) -> None:
        reader = make_reader(shards, tasks=("s2st",), block_size=7)

        # 30 blocks of 7 examples are 7 epochs of 30 rows.
        ids = [row_id for block in range(30) for batch in self._read_block(reader, block) for row_id in batch.row_ids]

        assert Counter(ids) == {f"row{i}": 7 for i in range(30)}

    def _read_block(self, reader: MixtureReader, block: int) -> list[SpeechTextBatch]:
        reader.load_state_dict({"block": block, "batch": 0, "drawn": [7 * block], "over_long": [0]})

        return block_of(reader, block)


class TestEpochs:
    """No example is lost, and none is seen twice before all others were seen."""

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("shuffle_bytes", [3_000, 1 << 30])
    def test_rows_of_a_source_are_seen_equally_often(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffle_bytes: int, packed: bool
    ) -> None:
        """Through windows, blocks and batches, on one rank, then three, then two."""
        monkeypatch.setattr("codec_s2st.data.shard_writer.ROWS_PER_GROUP", 4)

        folders = [write_toy_shards(tmp_path / name, toy_rows(num)) for name, num in (("one", 50), ("two", 30))]

        shards = ShardSet.open(folders, codec=None)

        entries = [MixtureEntry(corpus="one"), MixtureEntry(task="asr", corpus="two", max_examples=21)]

        sources = [TaskSource.select(entry, shards, ["train"]) for entry in entries]

        mixture = Mixture(sources, [2.0, 1.0], 1, shuffle_bytes=shuffle_bytes)

        state: dict[str, object] = {}

        seen: Counter[tuple[str, str]] = Counter()

        for world_size in (1, 3, 2, 3, 1):
            ranks = [
                MixtureReader(mixture, make_maker(packed=packed), block_size=16, rank=rank, world_size=world_size)
                for rank in range(world_size)
            ]

            for rank in ranks if state else ():
                rank.load_state_dict(state)

            for _ in range(20):
                batches = [batch for rank in ranks for batch in next(rank)]

                seen.update(pair for batch in batches for pair in key(batch))

                state = ranks[0].state_dict()

        # The rest of the block, whose examples are counted as drawn when it ends.
        last = MixtureReader(mixture, make_maker(packed=packed), block_size=16)

        last.load_state_dict(state)

        seen.update(pair for batch in block_of(last, state["block"]) for pair in key(batch))  # type: ignore[arg-type]

        for name, size, num_drawn in zip(("s2st", "asr"), (50, 21), last.state_dict()["drawn"], strict=True):  # type: ignore[call-overload]
            counts = [count for (task, _), count in seen.items() if task == name]

            assert len(counts) == size and sum(counts) == num_drawn > 3 * size

            assert max(counts) - min(counts) <= 1


class TestState:
    @pytest.mark.parametrize(("world_size", "num_accumulate"), [(1, 1), (2, 1), (2, 2)])
    def test_reading_goes_on_where_it_was(self, shards: ShardSet, world_size: int, num_accumulate: int) -> None:
        num_steps = 25

        def make() -> MixtureReader:
            return make_reader(shards, rank=world_size - 1, world_size=world_size, num_accumulate=num_accumulate)

        reader = make()

        states, steps = [], []

        for _ in range(num_steps):
            states.append(reader.state_dict())

            steps.append(next(reader))

        assert int(reader.state_dict()["block"]) >= 3  # type: ignore[call-overload]

        for start, state in enumerate(states):
            resumed = make()

            resumed.load_state_dict(state)

            for expected in steps[start : start + 4]:
                for one, two in zip(next(resumed), expected, strict=True):
                    assert_equal(one, two)

    def test_state_does_not_change_when_reading_goes_on(self, shards: ShardSet) -> None:
        reader = make_reader(shards)

        state = reader.state_dict()

        read(reader, 20)

        assert state == {"block": 0, "batch": 0, "drawn": [0, 0], "over_long": [0, 0]}

    def test_reset_begins_anew(self, shards: ShardSet) -> None:
        reader = make_reader(shards)

        before = read(reader, 15)

        reader.reset()

        for one, two in zip(before, read(reader, 15), strict=True):
            assert_equal(one[0], two[0])

    def test_other_seed_gives_other_batches(self, shards: ShardSet) -> None:
        one, two = read(make_reader(shards), 5), read(make_reader(shards, seed=2), 5)

        assert [key(step[0]) for step in one] != [key(step[0]) for step in two]

    def test_state_of_another_mixture_is_refused(self, shards: ShardSet) -> None:
        state = make_reader(shards).state_dict()

        with pytest.raises(ValueError, match=r"has 2 sources, but the mixture has 1"):
            make_reader(shards, tasks=("s2st",)).load_state_dict(state)


class TestRanks:
    @pytest.mark.parametrize("packed", [False, True])
    def test_any_number_of_ranks_reads_the_same_stream(self, shards: ShardSet, packed: bool) -> None:
        """Here 2 ranks, then 1, then 3 with two batches a step, then 2 again; each resumes where the last one was."""
        maker = make_maker(packed=packed)

        expected = [batch for step in read(make_reader(shards, maker), 60) for batch in step]

        state, found = make_reader(shards, maker).state_dict(), []

        for world_size, num_accumulate, num_steps in [(2, 1, 7), (1, 1, 11), (3, 2, 3), (2, 1, 8)]:
            ranks = [
                make_reader(shards, maker, rank=rank, world_size=world_size, num_accumulate=num_accumulate)
                for rank in range(world_size)
            ]

            for rank in ranks:
                rank.load_state_dict(state)

            for _ in range(num_steps):
                steps = [next(rank) for rank in ranks]

                found += [steps[i % world_size][i // world_size] for i in range(world_size * num_accumulate)]

            # What each rank saves is the same.
            states = [rank.state_dict() for rank in ranks]

            assert states.count(states[0]) == world_size

            state = states[0]

        assert int(state["block"]) >= 3  # type: ignore[call-overload]

        assert len(found) == 59

        for one, two in zip(found, expected, strict=False):
            assert_equal(one, two)

    def test_rows_of_other_ranks_are_not_rendered(self, shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
        rendered = []

        def count(*args: Any) -> TokenSequence:
            rendered.append(args[1].id)

            return render(*args)

        monkeypatch.setattr("codec_s2st.data.batch_maker.render", count)

        steps = read(make_reader(shards, rank=3, world_size=4), 5)

        assert rendered == [row_id for (batch,) in steps for row_id in batch.row_ids]


class TestPacked:
    def test_sequences_stand_one_after_the_other(self, shards: ShardSet) -> None:
        maker = make_maker(packed=True)

        rows = {shards.row(i).id: shards.row(i) for i in range(len(shards))}

        for (batch,) in read(make_reader(shards, maker), 20):
            assert batch.ids.shape == batch.loss_mask.shape == (1, 120, 2)

            assert batch.packed_lens is not None and batch.batch_size == len(batch.packed_lens)

            begin = 0

            for (task, row_id), length in zip(key(batch), batch.packed_lens, strict=True):
                expected = render(find_template(task), Example(rows[row_id]), maker.builder, encode_letters, "target")

                assert torch.equal(batch.ids[0, begin : begin + length], expected.ids)
                assert torch.equal(batch.loss_mask[0, begin : begin + length], expected.loss_mask)

                begin += length

            assert begin == batch.num_steps

            assert bool((batch.ids[0, begin:] == maker.builder.vocabulary.pad).all())
            assert not batch.loss_mask[0, begin:].any()

    def test_a_block_holds_what_a_padded_one_holds(self, shards: ShardSet) -> None:
        padded, packed = (block_of(make_reader(shards, make_maker(packed=packed))) for packed in (False, True))

        assert sorted(pair for batch in padded for pair in key(batch)) == sorted(
            pair for batch in packed for pair in key(batch)
        )

        assert len(packed) <= len(padded)


class TestLongSequences:
    def test_are_counted_and_left_out(self, shards: ShardSet, caplog: pytest.LogCaptureFixture) -> None:
        everything = block_of(make_reader(shards))

        maker = make_maker(max_seq_len=20)

        with caplog.at_level(logging.WARNING, logger="fairseq2"):
            kept = block_of(make_reader(shards, maker))

        lengths = [int((batch.ids[i, :, 0] != 32).sum()) for batch in everything for i in range(batch.batch_size)]

        num_long = sum(length > 20 for length in lengths)

        assert 0 < num_long < BLOCK_SIZE

        assert sum(batch.batch_size for batch in kept) == BLOCK_SIZE - num_long
        assert max(batch.ids.size(1) for batch in kept) <= 20

        message = (
            rf"So far, {num_long} of {BLOCK_SIZE} examples \({num_long / BLOCK_SIZE:.2%}\) are longer than "
            rf"`data.max_seq_len`, 20 steps, and left out: \d+ of s2st"
        )

        assert re.search(message, caplog.text)

    def test_are_told_of_whenever_they_have_doubled(self, shards: ShardSet, caplog: pytest.LogCaptureFixture) -> None:
        reader = make_reader(shards, make_maker(max_seq_len=20))

        with caplog.at_level(logging.WARNING, logger="fairseq2"):
            while int(reader.state_dict()["block"]) < 40:  # type: ignore[call-overload]
                next(reader)

        told = [int(num) for num in re.findall(r"So far, (\d+) of", caplog.text)]

        assert 3 <= len(told) <= 7 and all(two >= 2 * one for one, two in pairwise(told))

        assert sum(reader.over_long) < 2 * told[-1]

    def test_are_counted_once_over_resumes(self, shards: ShardSet) -> None:
        maker = make_maker(max_seq_len=20)

        expected, reader = make_reader(shards, maker), make_reader(shards, maker)

        for _ in range(40):
            next(expected)

            state = reader.state_dict()

            reader = make_reader(shards, maker)

            reader.load_state_dict(state)

            next(reader)

        assert reader.state_dict() == expected.state_dict()

        assert (reader.drawn, reader.over_long) == (expected.drawn, expected.over_long)

        assert all(0 < num <= drawn for num, drawn in zip(reader.over_long, reader.drawn, strict=True))

    @pytest.mark.parametrize("packed", [False, True])
    def test_can_be_cropped_where_a_task_has_one_segment(self, shards: ShardSet, packed: bool) -> None:
        whole, cropping = make_maker(packed=packed), make_maker(packed=packed, max_seq_len=7, crop=True)

        tasks = ("text_lm", "speech_lm")

        batches = block_of(make_reader(shards, cropping, tasks=tasks))

        assert sum(batch.batch_size for batch in batches) == BLOCK_SIZE

        rows = {shards.row(i).id: Example(shards.row(i)) for i in range(len(shards))}

        num_cropped = 0

        for batch in batches:
            num_frames = begin = 0

            for i, (task, row_id) in enumerate(key(batch)):
                sequence = render(find_template(task), rows[row_id], whole.builder, encode_letters, "target")

                length = min(len(sequence), 7)

                place = (0, slice(begin, begin + length)) if packed else (i, slice(length))

                assert torch.equal(batch.ids[place], sequence.ids[:length])
                assert torch.equal(batch.loss_mask[place], sequence.loss_mask[:length])

                begin += length

                num_cropped += len(sequence) > length

                # Tags of the task and the language, <speech>, and frames to the end.
                if task == "speech_lm":
                    num_frames += min(len(rows[row_id].row.source.codes), 4)  # type: ignore[arg-type]

            assert batch.num_frames == num_frames

        reader = make_reader(shards, cropping, tasks=tasks)

        next(reader)

        assert sum(reader.over_long) == num_cropped > 0

    def test_are_left_out_where_a_task_has_more(self, shards: ShardSet) -> None:
        dropping, cropping = (
            block_of(make_reader(shards, make_maker(max_seq_len=20, crop=crop))) for crop in (False, True)
        )

        assert [key(batch) for batch in dropping] == [key(batch) for batch in cropping]

    def test_nothing_else_is_refused(self, shards: ShardSet) -> None:
        message = r"every sequence is longer than 5 steps: the shortest of \d+ {}, of .*s2st.*, has \d+ \(raise"

        with pytest.raises(UserInputError, match=message.format("to train on")):
            next(make_reader(shards, make_maker(max_seq_len=5)))

        source = TaskSource.select(MixtureEntry(), shards, ["valid"])

        with pytest.raises(UserInputError, match=message.format("to validate on")):
            SourceReader([source], make_maker(max_seq_len=5), max_examples=4)


class TestSourceReader:
    def make(self, shards: ShardSet, *, rank: int = 0, world_size: int = 1, **options: int) -> SourceReader:
        source = TaskSource.select(MixtureEntry(), shards, ["valid"])

        maker = make_maker(max_seq_len=options.get("max_seq_len", 100))

        max_examples = options.get("max_examples", 100)

        return SourceReader([source], maker, max_examples=max_examples, rank=rank, world_size=world_size)

    def test_reads_every_row_once(self, shards: ShardSet) -> None:
        batches = [batch for step in self.make(shards) for batch in step]

        assert sorted(row_id for batch in batches for row_id in batch.row_ids) == [f"row{i}" for i in range(30, 40)]

        lengths = [batch.ids.size(1) for batch in batches]

        assert lengths == sorted(lengths)

    def test_reads_the_same_again_when_its_lists_were_emptied(self, shards: ShardSet) -> None:
        reader = self.make(shards)

        counts = []

        for _ in range(3):
            # As fairseq2's validator does.
            counts.append(sum(batches.pop().batch_size for batches in reader))

            reader.reset()

        assert counts == [10, 10, 10]

    def test_sources_are_read_together(self, shards: ShardSet) -> None:
        sources = [TaskSource.select(MixtureEntry(task=task), shards, ["valid"]) for task in ("s2st", "asr")]

        batches = [batch for step in SourceReader(sources, make_maker(), max_examples=7) for batch in step]

        assert Counter(task for batch in batches for task in batch.tasks) == {"s2st": 7, "asr": 7}

    def test_stops_at_the_largest_number(self, shards: ShardSet) -> None:
        batches = [batch for step in self.make(shards, max_examples=4) for batch in step]

        assert sum(batch.batch_size for batch in batches) == 4

    @pytest.mark.parametrize("world_size", [2, 3, 7])
    def test_ranks_share_the_rows(self, shards: ShardSet, world_size: int) -> None:
        ranks = [list(self.make(shards, rank=rank, world_size=world_size)) for rank in range(world_size)]

        assert len({len(steps) for steps in ranks}) == 1

        # As many batches on each rank: a rank without one would leave the others waiting under FSDP.
        assert all(len(step) == 1 for steps in ranks for step in steps)

        ids = [row_id for steps in ranks for step in steps for batch in step for row_id in batch.row_ids]

        assert sorted(ids) == [f"row{i}" for i in range(30, 40)]

    def test_ranks_without_rows_get_empty_lists(self, shards: ShardSet) -> None:
        ranks = [list(self.make(shards, rank=rank, world_size=4, max_examples=3)) for rank in range(4)]

        assert [[len(step) for step in steps] for steps in ranks][-1] == [0]

        assert sum(batch.batch_size for steps in ranks for step in steps for batch in step) == 3

    def test_long_sequences_are_left_out(self, shards: ShardSet) -> None:
        batches = [batch for step in self.make(shards, max_seq_len=18) for batch in step]

        assert max(batch.ids.size(1) for batch in batches) <= 18

        assert 0 < sum(batch.batch_size for batch in batches) < 10


def test_entry_can_say_what_is_scored(shards: ShardSet) -> None:
    maker = make_maker()

    masks = {}

    for loss in (None, "target", "all"):
        source = TaskSource.select(MixtureEntry(task="asr", loss=loss), shards, ["train"])

        masks[loss] = maker.make([(source, 0)]).loss_mask[0]

    assert torch.equal(masks[None], masks["target"])

    assert int(masks["all"].sum()) > int(masks["target"].sum()) > 0
