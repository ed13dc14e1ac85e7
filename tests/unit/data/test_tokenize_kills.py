"""Processes that are killed at random moments: what they leave is whole, and the next one makes the rest."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codec_s2st.data.tokenize import tokenize_manifest
from tests.tokenization import LoudnessCodec, array_variables, contents, start, write_corpus

SECONDS = 3.0
"""How long the work takes that is killed."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("kills") / "corpus", num_pairs=30)


@pytest.fixture(scope="module")
def wanted(corpus: Path) -> dict[str, str]:
    out = corpus.parent / "wanted"

    tokenize_manifest(corpus, out, LoudnessCodec(), rows_per_shard=2)

    return contents(out)


def check(out: Path, wanted: dict[str, str]) -> int:
    """Checks that every shard in ``out`` is one of a clean run, and returns their number."""
    left = contents(out)

    shards = {name for name in left if name.startswith("shard-")}

    assert {name: left[name] for name in shards} == {name: wanted[name] for name in shards}

    return len(shards)


def kill_at_random(out: Path, corpus: Path, wanted: dict[str, str], seed: int, num_kills: int) -> list[str]:
    """Kills one process after the other, each at some moment, until ``num_kills`` have died; then lets one end."""
    rng = random.Random(seed)

    lines = []

    for kill in range(num_kills):
        process = start(corpus, out, delay=SECONDS / 60)

        assert process.stdout is not None

        assert process.stdout.readline() == "ready\n"

        moment = rng.uniform(0.0, SECONDS / num_kills)

        time.sleep(moment)

        process.kill()

        assert process.wait() == -signal.SIGKILL

        temporaries = [path.name for path in out.glob(".*.tmp")] if out.exists() else []

        num_whole = check(out, wanted) if out.exists() else 0

        lines.append(f"kill {kill}: after {moment:.3f} s, {num_whole} of 20 shards whole, left over: {temporaries}")

    process = start(corpus, out)

    output, error = process.communicate()

    assert process.returncode == 0, error

    lines.append(output.splitlines()[-1])

    assert contents(out) == wanted

    return lines


class TestKills:
    def test_three_kills(self, tmp_path: Path, corpus: Path, wanted: dict[str, str]) -> None:
        kill_at_random(tmp_path / "out", corpus, wanted, seed=0, num_kills=3)

    @pytest.mark.long
    def test_twenty_kills(self, tmp_path: Path, corpus: Path, wanted: dict[str, str]) -> None:
        for line in kill_at_random(tmp_path / "out", corpus, wanted, seed=1, num_kills=20):
            print(line)

    @pytest.mark.long
    def test_twenty_kills_of_an_array(self, tmp_path: Path, corpus: Path, wanted: dict[str, str]) -> None:
        """Three tasks are at work all the time; one of them is killed, and started again as SLURM would."""
        rng = random.Random(2)

        out = tmp_path / "out"

        def begin(index: int) -> subprocess.Popen[str]:
            return start(corpus, out, delay=SECONDS / 3, variables=array_variables(index, 3))

        tasks = [begin(index) for index in range(3)]

        for kill in range(20):
            time.sleep(rng.uniform(0.5, 3.0))

            index = rng.randrange(3)

            had_ended = tasks[index].poll() is not None

            tasks[index].kill()
            tasks[index].wait()

            print(f"kill {kill}: task {index}{' (had ended)' if had_ended else ''}, {check(out, wanted)} shards whole")

            tasks[index] = begin(index)

        assert [task.wait() for task in tasks] == [0, 0, 0]

        assert contents(out) == wanted

    @pytest.mark.long
    def test_twenty_kills_of_the_command(self, tmp_path: Path, corpus: Path) -> None:
        """The command itself with two ranks, of which all processes are killed at once."""
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

        command += ["-m", "codec_s2st.recipes.tokenize"]

        config = ["--config", f"manifest={corpus}", "codec=codec_s2st_demo_codec", "rows_per_shard=2"]

        environment = {**os.environ, "OMP_NUM_THREADS": "1"}

        def run(out: Path) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [*command, str(out), *config],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )

        clean = run(tmp_path / "clean")

        error = clean.communicate()[1]

        assert clean.returncode == 0, error

        wanted = {name: digest for name, digest in contents(tmp_path / "clean").items() if name.endswith(".parquet")}

        out, rng = tmp_path / "out", random.Random(3)

        for kill in range(20):
            process = run(out)

            # Two seconds and more to import, and then 20 shards in as little: work begins when a lock is there.
            while not (out / ".lock").exists() or not _plan(out):
                time.sleep(0.01)

            moment = rng.uniform(0.0, 6.0)

            time.sleep(moment)

            os.killpg(process.pid, signal.SIGKILL)

            process.wait()

            print(f"kill {kill}: {moment:.2f} s after the lock was there, {check(out, wanted)} shards whole")

            if kill % 2:
                # Otherwise, all would soon be done.
                for path in rng.sample(sorted(out.glob("shard-*")), k=min(4, len(list(out.glob("shard-*"))))):
                    path.unlink()

        process = run(out)

        error = process.communicate()[1]

        assert process.returncode == 0, error

        assert {name: digest for name, digest in contents(out).items() if name.endswith(".parquet")} == wanted

        assert not list(out.glob(".*.tmp"))


def _plan(out: Path) -> object:
    try:
        return json.loads((out / ".lock").read_text())
    except ValueError:
        return None
