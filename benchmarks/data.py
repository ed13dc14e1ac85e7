"""The data pipeline: packing, resuming, loading, and manifests that are large.

``python benchmarks/data.py --out DIR`` prints a table and writes ``DIR/data.json``: a row for each goal.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rows import Row, print_rows, write_rows

NUM_MANIFEST_ROWS = 10_000_000

NUM_SHARD_ROWS = 1_000_000


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

    for id_, capacity, goal in (("P12a", 4_096, 0.006), ("P12b", 2_048, 0.012)):
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
                what=f"packing waste of a run, 4,096 documents a block, rows of {capacity:,}; next-fit: {next_fit:.1%}",
                goal=f"<= {goal:.1%}",
                measured=f"{waste:.2%}, in {1_000 * seconds:.0f} ms a block",
                met=waste <= goal,
                reason="",
            )
        )

    return rows


def measure_resume(folder: Path) -> Row:
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

    for _ in range(3):
        start = time.perf_counter()

        resumed = make()

        resumed.load_state_dict(state)

        (found,) = next(resumed)

        times.append(time.perf_counter() - start)

        assert torch.equal(found.ids, expected.ids) and found.row_ids == expected.row_ids

    seconds = median(times)

    return Row(
        id="P13",
        what="resume after 100,000 examples: time to the first batch, bit-equal; by reading them again "
        f"{forward:.1f} s",
        goal="<= 0.5 s, >= 50x faster",
        measured=f"{seconds:.2f} s, {forward / seconds:.0f}x",
        met=seconds <= 0.5 and forward / seconds >= 50,
        reason="" if seconds <= 0.5 else "the lengths of the 4,096 examples of a block are computed anew",
    )


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
                what=f"{command[0]} of a manifest of {num_rows:,} rows: memory",
                goal="< 2 GB",
                measured=f"{peak:.2f} GB, {seconds:.0f} s",
                met=peak < 2,
                reason="",
            )
        )

    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--manifest-rows", type=int, default=NUM_MANIFEST_ROWS)
    parser.add_argument("--shard-rows", type=int, default=NUM_SHARD_ROWS)
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

    manifest_rows = measure_manifest(args.out, args.manifest_rows)

    # Now it may grow.
    from loader import measure_loader

    loader_rows = measure_loader(args.out, args.shard_rows)

    rows = [*measure_packing(), measure_resume(args.out), *loader_rows, *manifest_rows]

    print_rows(rows)

    write_rows(rows, args.out / "data.json")

    return 0


if __name__ == "__main__":
    sys.exit(main())
