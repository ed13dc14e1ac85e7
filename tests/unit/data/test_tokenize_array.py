"""Several processes that do not know each other make the shards of one manifest in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec_s2st.data.array import ArrayTask
from codec_s2st.data.tokenize import Tokenization, tokenize_manifest
from codec_s2st.data.tokenize_summary import TokenizeSummary
from codec_s2st.errors import UserInputError
from tests.tokenization import LoudnessCodec, Run, array_variables, contents, write_corpus

NUM_TASKS = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("array") / "corpus", num_pairs=30)


@pytest.fixture(scope="module")
def wanted(corpus: Path) -> dict[str, str]:
    out = corpus.parent / "wanted"

    tokenize_manifest(corpus, out, LoudnessCodec(), rows_per_shard=2)

    return contents(out)


class TestArray:
    @pytest.mark.parametrize(("num_tasks", "world_sizes"), [(1, [1]), (3, [1, 2, 4]), (7, [2] * 7)])
    def test_each_shard_is_made_once(
        self, tmp_path: Path, corpus: Path, num_tasks: int, world_sizes: list[int]
    ) -> None:
        tokenization = Tokenization(corpus, tmp_path, LoudnessCodec(), rows_per_shard=2)

        shards = [
            shard
            for index, world_size in enumerate(world_sizes)
            for rank in range(world_size)
            for shard in tokenization.shards_of(ArrayTask(index, num_tasks), rank, world_size)
        ]

        assert sorted(shards) == list(range(tokenization.num_shards))

    def test_tasks_at_once_make_what_one_makes(self, tmp_path: Path, corpus: Path, wanted: dict[str, str]) -> None:
        out = tmp_path / "out"

        tasks = [Run(corpus, out, delay=0.03, variables=array_variables(i, NUM_TASKS)) for i in range(NUM_TASKS)]

        answers = [task.finish() for task in tasks]

        assert contents(out) == wanted

        # The last one sums up; two that end at the same moment may both see all shards.
        assert 1 <= sum("40 rows in 20 shard(s)" in answer for answer in answers) <= 2

        assert answers.count("others go on") >= 1

        assert {path.name for path in out.iterdir()} - set(wanted) == {".lock"}

    def test_one_after_the_other_they_do_the_same(self, tmp_path: Path, corpus: Path, wanted: dict[str, str]) -> None:
        summaries = [
            tokenize_manifest(corpus, tmp_path / "out", LoudnessCodec(), rows_per_shard=2, task=ArrayTask(i, NUM_TASKS))
            for i in (2, 0, 1)
        ]

        assert [summary is None for summary in summaries] == [True, True, False]

        assert contents(tmp_path / "out") == wanted

    def test_another_manifest_is_refused_and_the_tasks_go_on(
        self, tmp_path: Path, corpus: Path, wanted: dict[str, str]
    ) -> None:
        out = tmp_path / "out"

        other = write_corpus(tmp_path / "other", num_pairs=8)

        first = Run(corpus, out, delay=0.3, variables=array_variables(0, 2))

        while not list(out.glob("shard-*")):
            assert first.is_running

        # With the same number of tasks, another number of them, and none.
        for manifest, task, words in (
            (other, ArrayTask(1, 2), "with another manifest_sha256, num_manifest_rows"),
            (corpus, ArrayTask(1, 3), "with another array_count"),
            (corpus, ArrayTask(), "another run is writing to"),
            (corpus, ArrayTask(0, 2), "another process makes part 0"),
        ):
            with pytest.raises(UserInputError, match=words):
                tokenize_manifest(manifest, out, LoudnessCodec(), rows_per_shard=2, task=task)

            assert first.is_running

        second = Run(corpus, out, variables=array_variables(1, 2))

        second.finish()
        first.finish()

        assert contents(out) == wanted

    def test_task_that_was_killed_is_made_up_for(self, tmp_path: Path, corpus: Path, wanted: dict[str, str]) -> None:
        out = tmp_path / "out"

        first = Run(corpus, out, delay=0.2, variables=array_variables(0, 2))

        while not list(out.glob("shard-*")):
            assert first.is_running

        first.kill()

        def run(index: int) -> TokenizeSummary | None:
            return tokenize_manifest(corpus, out, LoudnessCodec(), rows_per_shard=2, task=ArrayTask(index, 2))

        assert run(1) is None

        # SLURM puts it into the queue again.
        assert run(0) is not None

        assert contents(out) == wanted

    def test_shards_of_a_former_run_are_not_taken_for_those_of_a_task_to_come(
        self, tmp_path: Path, corpus: Path
    ) -> None:
        out = tmp_path / "out"

        tokenize_manifest(corpus, out, LoudnessCodec("cd" * 32), rows_per_shard=2)

        def run(index: int) -> object:
            return tokenize_manifest(corpus, out, LoudnessCodec(), rows_per_shard=2, task=ArrayTask(index, 2))

        assert run(0) is None

        assert run(1) is not None
