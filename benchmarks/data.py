"""The data pipeline: packing (P12), resuming (P13), and manifests that are large (D1, D2).

``python benchmarks/data.py`` prints their rows; what it writes for them stays below ``--out``.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rows import Limit, Peer, Row, make_parser, run_parts

NUM_MANIFEST_ROWS = 10_000_000


def draw_lengths(num: int) -> list[int]:
    """The lengths of S2ST, ASR and MT sequences at 50 frames a second: utterances of some seconds, short texts."""
    generator = np.random.default_rng(0)

    speech = generator.lognormal(5.2, 0.6, size=(num, 2)).clip(20, 1500)

    text = generator.integers(8, 60, size=num)

    kinds = generator.integers(3, size=num)

    lengths = np.select([kinds == 0, kinds == 1], [speech.sum(1), speech[:, 0] + text], 2 * text)

    return [int(length) for length in lengths.clip(max=2_000)]


def measure_packing() -> list[Row]:
    from codec_s2st.data.packing import pack

    rows = []

    # A run packs one block after the other; the last row of each is seldom full.
    block_size, num_blocks = 4_096, 20

    lengths = draw_lengths(num_blocks * block_size)

    for id_, capacity, goal in (("P12a", 4_096, "<= 0.6"), ("P12b", 2_048, "<= 1.2")):
        start, num_rows = time.perf_counter(), 0

        for begin in range(0, len(lengths), block_size):
            num_rows += len(pack(lengths[begin : begin + block_size], capacity))

        seconds = (time.perf_counter() - start) / num_blocks

        waste = 1 - sum(lengths) / (num_rows * capacity)

        # The simple way: a row is closed when the next document does not fit.
        used, num_next_fit = 0, 1

        for length in lengths:
            if used + length > capacity:
                used, num_next_fit = 0, num_next_fit + 1

            used += length

        next_fit = 1 - sum(lengths) / (num_next_fit * capacity)

        rows.append(
            Row(
                id=id_,
                what=f"packing: empty positions of rows of {capacity:,}, 4,096 documents a block; next-fit "
                f"{next_fit:.1%}",
                unit="%",
                value=100 * waste,
                goal=goal,
                limit=Limit(value=0.0, how="no position is empty"),
                equal="the lengths, and the rows",
                not_equal="next-fit needs no block of documents: it packs as they come",
                note=f"next-fit leaves {next_fit:.2%} empty; packing takes {1_000 * seconds:.0f} ms a block",
            )
        )

    return rows


def measure_resume(folder: Path, rounds: int) -> list[Row]:
    """Reads 100,000 examples, then gets the next batch by the state, and by reading all of them again."""
    import torch

    from codec_s2st.data.mixture import Mixture, MixtureEntry, TaskSource
    from codec_s2st.data.reader import BatchMaker, MixtureReader
    from codec_s2st.data.shards import ShardRow, ShardSet, Side, write_shard
    from codec_s2st.tokens.delay import parse_pattern
    from codec_s2st.tokens.fingerprint import CodecFingerprint
    from codec_s2st.tokens.sequence import SequenceBuilder
    from codec_s2st.tokens.vocabulary import Vocabulary

    generator = np.random.default_rng(0)

    def side(lang: str) -> Side:
        codes = generator.integers(0, 1_024, (int(generator.integers(20, 60)), 4)).astype(np.int16)

        return Side(codes, "a few words of text", lang)

    shards = folder / "shards"

    shards.mkdir(parents=True, exist_ok=True)

    path = shards / "shard-00000-of-00001.parquet"

    fingerprint = CodecFingerprint("benchmark", "00" * 32, (1_024,) * 4, 640, 16_000)

    write_shard(path, [ShardRow(f"u{i}", "train", side("spa"), side("eng")) for i in range(20_000)], fingerprint, {})

    opened = ShardSet.open([path], codec=None)

    def encode(text: str) -> torch.Tensor:
        return torch.arange(len(text.split()))

    builder = SequenceBuilder(Vocabulary(64, (1_024,) * 4), parse_pattern("parallel", 4))

    def make() -> MixtureReader:
        sources = [TaskSource.select(MixtureEntry(task=task), opened, ["train"]) for task in ("s2st", "asr", "tts")]

        maker = BatchMaker(builder, encode, "all", 4_096, 400, True)

        return MixtureReader(Mixture(sources, [2.0, 1.0, 1.0], 1), maker, block_size=4_096)

    reader = make()

    start, num_examples = time.perf_counter(), 0

    while num_examples < 100_000:
        (batch,) = next(reader)

        num_examples += batch.batch_size

    forward = time.perf_counter() - start

    state = reader.state_dict()

    (expected,) = next(reader)

    times = []

    for _ in range(rounds):
        start = time.perf_counter()

        resumed = make()

        resumed.load_state_dict(state)

        (found,) = next(resumed)

        times.append(time.perf_counter() - start)

        assert torch.equal(found.ids, expected.ids) and found.row_ids == expected.row_ids

    seconds = median(times)

    equal = "the shards, the tasks, and the batch that comes out, bit by bit"

    return [
        Row(
            id="P13a",
            what=f"resuming after {num_examples:,} examples: time to the first batch",
            unit="s",
            value=seconds,
            goal="<= 0.5",
            equal=equal,
            reason="the lengths of the 4,096 examples of a block are computed anew",
        ),
        Row(
            id="P13b",
            what="resuming: how many times faster than reading them again, as torchdata's StatefulDataLoader does",
            unit="s",
            value=seconds,
            peer=Peer(name="reading again", value=forward),
            ratio=forward / seconds,
            goal=">= 50",
            equal=equal,
            not_equal="the other way is our reader too, asked for every batch up to the place; measured once",
        ),
    ]


def write_manifest(path: Path, num_rows: int) -> None:
    import polars as pl
    import pyarrow.parquet as pq

    from codec_s2st.data.manifest import MANIFEST_SCHEMA

    generator, writer = np.random.default_rng(0), None

    path.parent.mkdir(parents=True, exist_ok=True)

    for begin in range(0, num_rows, 500_000):
        numbers = np.arange(begin, min(begin + 500_000, num_rows))

        columns: dict[str, Any] = {"id": [f"u{i:09d}" for i in numbers], "split": ["train"] * len(numbers)}

        for side, lang in (("source", "spa"), ("target", "eng")):
            columns[f"{side}_audio"] = [f"{lang}/{i % 997}/{i:09d}.flac" for i in numbers]
            columns[f"{side}_text"] = [f"sentence number {i % 7_000_000} in {lang}" for i in numbers]
            columns[f"{side}_lang"] = [lang] * len(numbers)
            columns[f"{side}_speaker"] = [f"speaker{i % 20_000}" for i in numbers]
            columns[f"{side}_seconds"] = generator.lognormal(1.5, 0.6, len(numbers))

        table = pl.DataFrame(columns, schema=MANIFEST_SCHEMA).to_arrow(compat_level=pl.CompatLevel.oldest())

        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")

        writer.write_table(table)

    assert writer is not None

    writer.close()


def measure_manifest(folder: Path, num_rows: int) -> list[Row]:
    path = folder / f"manifest-{num_rows}.parquet"

    # A process counts the memory of the one that started it as its own: this one must stay small.
    if not path.is_file():
        subprocess.run([sys.executable, __file__, "--write", str(path), "--manifest-rows", str(num_rows)], check=True)

    rules = ["--max-seconds", "20", "--max-ratio", "4", "--source-script", "Latin", "--unique", "text"]

    rows, peak_file = [], folder / "peak"

    for id_, command in (
        ("D1", ["stats", str(path)]),
        ("D2", ["filter", str(path), str(folder / "filtered.parquet"), *rules]),
    ):
        start = time.perf_counter()

        arguments = ["--peak", str(peak_file), "--command", *command]

        subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.DEVNULL)

        seconds = time.perf_counter() - start

        peak = float(peak_file.read_text()) / 1e6

        rows.append(
            Row(
                id=id_,
                what=f"peak memory of {command[0]} of a manifest of {num_rows:,} rows",
                unit="GB",
                value=peak,
                goal="< 2",
                note=f"{seconds:.1f} s",
            )
        )

    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__, ["manifests", "P12", "P13"], rounds=3)

    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--manifest-rows", type=int, default=NUM_MANIFEST_ROWS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    args = parser.parse_args(argv)

    if args.command:
        from codec_s2st.cli import main as run

        code = run(args.command)

        args.peak.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))

        return code

    if args.write:
        write_manifest(args.write, args.manifest_rows)

        return 0

    args.out.mkdir(parents=True, exist_ok=True)

    # First what must be measured before this process has grown.
    parts: dict[str, Callable[[], list[Row]]] = {
        "manifests": lambda: measure_manifest(args.out, args.manifest_rows),
        "P12": measure_packing,
        "P13": lambda: measure_resume(args.out, args.rounds),
    }

    return run_parts(parts, args)


if __name__ == "__main__":
    sys.exit(main())
