"""Processes that are killed at random moments: what they leave is whole, and the next one makes the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codec_s2st.data.tokenize import tokenize_manifest
from tests.tokenization import LoudnessCodec, Run, array_variables, contents, write_corpus

SECONDS = 3.0
"""How long the work takes that is killed."""

DELAY = SECONDS / 60
"""Of each of 60 recordings."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("kills") / "corpus", num_pairs=30)


@pytest.fixture(scope="module")
def wanted(corpus: Path) -> dict[str, str]:
    out = corpus.parent / "wanted"

    tokenize_manifest(corpus, out, LoudnessCodec(), rows_per_shard=2)

    return contents(out)


def look(out: Path, wanted: dict[str, str]) -> str:
    """Checks that every shard in ``out`` is one of a clean run, and says what there is."""
    left = contents(out) if out.exists() else {}

    shards = {name: digest for name, digest in left.items() if name.startswith("shard-")}

    assert shards.items() <= wanted.items()

    return f"{len(shards)} of 20 shards whole, {[name for name in left if name.endswith('.tmp')]} left over"


def remove_half(out: Path, rng: random.Random) -> None:
    """Removes some shards once most are there: otherwise, all would soon be done."""
    paths = sorted(out.glob("shard-*"))

    if len(paths) > 12:
        for path in rng.sample(paths, k=len(paths) // 2):
            path.unlink()


def kill_and_finish(out: Path, corpus: Path, wanted: dict[str, str], *, seed: int, num_kills: int) -> None:
    """Kills one process after the other, each at some moment, and lets the last one end."""
    rng = random.Random(seed)

    for kill in range(num_kills):
        run = Run(corpus, out, delay=DELAY)

        # That is some shards, also on a busy machine.
        seconds = rng.uniform(0.0, 1.2)

        time.sleep(seconds)

        state = "" if run.is_running else " (had ended)"

        run.kill()

        print(f"kill {kill}{state}: {seconds:.3f} s after the first row, {look(out, wanted)}")

        remove_half(out, rng)

    print(Run(corpus, out).finish())

    assert contents(out) == wanted


class TestKills:
    def test_three_kills(self, tmp_path: Path, corpus: Path, wanted: dict[str, str]) -> None:
        kill_and_finish(tmp_path / "out", corpus, wanted, seed=0, num_kills=3)

    @pytest.mark.long
    @pytest.mark.parametrize("seed", [1, 2])
    def test_twenty_kills(self, tmp_path: Path, corpus: Path, wanted: dict[str, str], seed: int) -> None:
        kill_and_finish(tmp_path / "out", corpus, wanted, seed=seed, num_kills=20)

    @pytest.mark.long
    def test_twenty_kills_of_an_array(self, tmp_path: Path, corpus: Path, wanted: dict[str, str]) -> None:
        """Three tasks are at work all the time; one of them is killed, and started again as SLURM would."""
        rng, out = random.Random(3), tmp_path / "out"

        def begin(index: int) -> Run:
            return Run(corpus, out, delay=5 * DELAY, variables=array_variables(index, 3))

        tasks = [begin(index) for index in range(3)]

        for kill in range(20):
            time.sleep(rng.uniform(0.0, 0.6))

            index = rng.randrange(3)

            state = "" if tasks[index].is_running else " (had ended)"

            tasks[index].kill()

            print(f"kill {kill}: task {index}{state}, {look(out, wanted)}")

            tasks[index] = begin(index)

        print([task.finish() for task in tasks])

        assert contents(out) == wanted

    @pytest.mark.long
    def test_kills_of_the_command(self, tmp_path: Path, corpus: Path) -> None:
        """The command itself with two ranks, of which all processes are killed at once."""
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

        command += ["-m", "codec_s2st.recipes.tokenize"]

        config = ["--config", f"manifest={corpus}", "codec=codec_s2st_demo_codec", "rows_per_shard=2"]

        def begin(out: Path) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [*command, str(out), *config],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

        def shards(out: Path) -> dict[str, str]:
            return {name: digest for name, digest in contents(out).items() if name.endswith(".parquet")}

        assert begin(tmp_path / "clean").wait() == 0

        wanted, out, rng = shards(tmp_path / "clean"), tmp_path / "out", random.Random(4)

        for kill in range(5):
            process = begin(out)

            # To import takes much longer than to make 20 shards.
            while _num_begun(out) <= kill:
                assert process.poll() is None

                time.sleep(0.005)

            seconds = rng.uniform(0.0, 0.5)

            time.sleep(seconds)

            os.killpg(process.pid, signal.SIGKILL)

            process.wait()

            print(f"kill {kill}: {seconds:.2f} s after the work began, {look(out, wanted)}")

            remove_half(out, rng)

        assert begin(out).wait() == 0

        assert shards(out) == wanted

        assert not list(out.glob(".*.tmp"))


def _num_begun(out: Path) -> int:
    log = out / "logs" / "rank_0.log"

    return log.read_text().count("Making 20 of 20 shard(s)") if log.exists() else 0
