"""Reading token shards: bytes a code and the loader's share of a training step (P11), and opening many (D3, D4).

``python benchmarks/loader.py`` prints their rows; the shards that it writes for them stay below ``--out``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rows import Limit, Peer, Row, make_parser, run_parts

NUM_SHARD_ROWS = 1_000_000

ROWS_PER_SHARD = 20_000

NUM_DIFFERENT_SHARDS = 5

NUM_STREAMS, CODEBOOK_SIZE, TEXT_SIZE = 8, 1_024, 4_096

WORDS = "the old river runs through a small town where people sell bread and fish on a cold clear morning".split()


def write_shards(folder: Path, num_rows: int) -> None:
    """Writes pairs of utterances of some seconds at 25 frames a second; some shards, again and again."""
    from codec_s2st.data.shard_format import shard_name
    from codec_s2st.data.shards import ShardRow, Side, write_shard
    from codec_s2st.tokens.fingerprint import CodecFingerprint

    fingerprint = CodecFingerprint("benchmark", "00" * 32, (CODEBOOK_SIZE,) * NUM_STREAMS, 640, 16_000)

    num_shards = -(-num_rows // ROWS_PER_SHARD)

    for idx in range(num_shards):
        path = folder / shard_name(idx, num_shards)

        if path.exists():
            continue

        if idx >= NUM_DIFFERENT_SHARDS:
            path.parent.mkdir(parents=True, exist_ok=True)

            path.write_bytes((folder / shard_name(idx % NUM_DIFFERENT_SHARDS, num_shards)).read_bytes())

            continue

        generator = np.random.default_rng(idx)

        lengths = generator.lognormal(4.6, 0.6, (ROWS_PER_SHARD, 2)).clip(10, 750).astype(int)

        words = generator.integers(0, len(WORDS), (ROWS_PER_SHARD, 2, 12))

        def side(i: int, s: int, lang: str) -> Side:
            codes = generator.integers(0, CODEBOOK_SIZE, (lengths[i, s], NUM_STREAMS), dtype=np.int16)  # noqa: B023

            return Side(codes, " ".join(WORDS[w] for w in words[i, s]), lang, f"speaker{i // 100}")  # noqa: B023

        rows = [ShardRow(f"u{idx}-{i}", "train", side(i, 0, "spa"), side(i, 1, "eng")) for i in range(ROWS_PER_SHARD)]

        write_shard(path, rows, fingerprint, {"manifest_sha256": "0"})


def open_and_read(folder: Path, *, verify: bool) -> dict[str, float]:
    """Opens shards and makes a batch; returns seconds and megabytes. To be called in a fresh process."""
    from codec_s2st.data.shards import ShardSet

    # What the process that started this one had is not counted.
    Path("/proc/self/clear_refs").write_text("5")

    before, start, cpu = _peak_mb(), time.perf_counter(), time.process_time()

    shards = ShardSet.open([folder], codec=None, verify=verify)

    seconds, cpu, opened = time.perf_counter() - start, time.process_time() - cpu, _peak_mb()

    reader = _make_reader(shards)

    start = time.perf_counter()

    next(reader)

    return {
        "num_rows": len(shards),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "mb": opened - before,
        "first_batch_seconds": time.perf_counter() - start,
    }


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()

    return next(int(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("VmHWM"))


def _make_reader(shards, *, num_workers: int = 0):
    from fairseq2.device import CPU
    from fairseq2.gang import FakeGang, create_parallel_gangs

    from codec_s2st.data.dataset import DataSection, SpeechTextDataset
    from codec_s2st.data.mixture import MixtureEntry
    from codec_s2st.data.reader import BatchMaker
    from codec_s2st.data.text import load_text_tokenizer
    from codec_s2st.tokens.delay import parse_pattern
    from codec_s2st.tokens.sequence import SequenceBuilder
    from codec_s2st.tokens.vocabulary import Vocabulary

    section = DataSection(
        mixture=[MixtureEntry(task=task) for task in ("s2st", "asr", "tts")],
        block_size=4_096,
        num_workers=num_workers,
    )

    vocabulary = Vocabulary(TEXT_SIZE, (CODEBOOK_SIZE,) * NUM_STREAMS)

    builder = SequenceBuilder(vocabulary, parse_pattern("parallel", NUM_STREAMS))

    tokenizer = load_text_tokenizer("codec_s2st_demo_tokenizer")

    maker = BatchMaker(builder, tokenizer.encode, "all", 4_096, 2_048, True)

    gangs = create_parallel_gangs(FakeGang(CPU))

    return SpeechTextDataset(shards).create_reader(section, maker, gangs, num_accumulate=1)


def measure_opening(folder: Path) -> list[Row]:
    rows = []

    for id_, verify, goal in (("D3", False, "<= 10"), ("D4", True, "<= 60")):
        arguments = [sys.executable, __file__, "--open", str(folder), *(["--verify"] if verify else [])]

        found = json.loads(subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout)

        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9

        how = "reading and checking all" if verify else "without reading codes"

        what = f"opening {found['num_rows']:,} rows of {size:.1f} GB, {how}"

        note = f"{found['cpu_seconds']:.1f} s of the CPU; the first batch {found['first_batch_seconds']:.1f} s later"

        rows += [
            Row(id=f"{id_}a", what=what, unit="s", value=found["seconds"], goal=goal, note=note),
            Row(id=f"{id_}b", what=f"{what}: memory", unit="MB", value=found["mb"], goal="<= 300"),
        ]

    return rows


def measure_bytes(folder: Path) -> Row:
    import pyarrow.parquet as pq

    num_bytes = num_codes = 0

    for path in sorted(folder.iterdir())[:NUM_DIFFERENT_SHARDS]:
        metadata = pq.ParquetFile(path).metadata

        for g in range(metadata.num_row_groups):
            for column in (metadata.row_group(g).column(i) for i in range(metadata.num_columns)):
                if column.path_in_schema.endswith("_codes.list.element"):
                    num_bytes += column.total_compressed_size

        table = pq.read_table(path, columns=["source_num_frames", "target_num_frames"])

        num_codes += NUM_STREAMS * sum(column.to_numpy().sum() for column in table.columns)

    ratio = num_bytes / (2 * num_codes)

    return Row(
        id="P11a",
        what=f"bytes a code on the disk over those of int16, random codes of {CODEBOOK_SIZE:,} entries a book",
        unit="x int16",
        value=ratio,
        peer=Peer(name="int16", value=1.0),
        ratio=ratio,
        goal="<= 0.635",
        limit=Limit(value=0.625, how="the entropy of evenly drawn codes: 10 bits of 16"),
        equal="the codes",
    )


def measure_share(folder: Path, num_batches: int, *, num_steps: int) -> list[Row]:
    """Compares the loader, in the first batches after opening, with training steps of width 256 and 4 layers.

    The first batches are the dearest: a window of the corpus is read for them that serves tens of thousands. Seconds of
    the CPU, of one thread each: those of the clock would be other people's on a busy machine.
    """
    from codec_s2st.data.shards import ShardSet

    shards = ShardSet.open([folder], codec=None, verify=False)

    reader = _make_reader(shards)

    start = time.process_time()

    for _ in range(num_batches):
        (batch,) = next(reader)

    loading = (time.process_time() - start) / num_batches

    step = _make_step()

    times = []

    for _ in range(num_steps):
        start = time.process_time()

        step(batch)

        times.append(time.process_time() - start)

    stepping = median(times)

    share = loading / (loading + stepping)

    rows = [
        Row(
            id="P11b",
            what=f"the loader's share of a training step, rows of 4,096 positions, the first {num_batches} batches",
            unit="%",
            value=100 * share,
            goal="<= 2",
            not_equal="seconds of the CPU, one thread; the step is of width 256, 4 layers; larger ones hide more",
            note=f"{1e3 * loading:.1f} ms of {stepping:.2f} s",
        )
    ]

    # Beside a worker, the training process waits, and unpacks.
    with_worker = _make_reader(shards, num_workers=1)

    next(with_worker)

    waits = []

    for _ in range(num_steps):
        step(batch)

        start = time.perf_counter()

        (batch,) = next(with_worker)

        waits.append(time.perf_counter() - start)

    with_worker.close()

    rows.append(
        Row(
            id="P11c",
            what="with one worker: how long the training process waits for a batch, as a share of a step",
            unit="%",
            value=100 * median(waits) / stepping,
            goal="<= 2",
            note=f"{1e3 * median(waits):.1f} ms of {stepping:.2f} s",
        )
    )

    return rows


def _make_step():
    """Returns a function that does one step of training."""
    from codec_s2st.models.codec_lm.hub import get_codec_lm_hub

    config = get_codec_lm_hub().get_arch_config("demo")

    config.decoder.model_dim, config.decoder.num_layers = 256, 4
    config.decoder.ffn_inner_dim, config.decoder.vocab_size = 1_024, TEXT_SIZE
    config.decoder.max_seq_len = 2_048
    config.codebook_sizes = [CODEBOOK_SIZE] * NUM_STREAMS

    model = get_codec_lm_hub().create_new_model(config).train()

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step(batch) -> None:
        loss = model(batch.ids, loss_mask=batch.loss_mask, packed_lens=batch.packed_lens).loss

        (loss.total / loss.num_targets).backward()

        optimizer.step()

        optimizer.zero_grad(set_to_none=True)

    return step


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__, ["opening", "P11"])

    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--shard-rows", type=int, default=NUM_SHARD_ROWS)
    parser.add_argument("--batches", type=int, default=300, help="so many batches are read for P11b")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--verify", action="store_true", help=argparse.SUPPRESS)

    args = parser.parse_args(argv)

    if args.open:
        print(json.dumps(open_and_read(args.open, verify=args.verify)))

        return 0

    folder = args.out / f"shards-{args.shard_rows}"

    write_shards(folder, args.shard_rows)

    torch.set_num_threads(1)

    parts: dict[str, Callable[[], list[Row]]] = {
        "opening": lambda: measure_opening(folder),
        "P11": lambda: [measure_bytes(folder), *measure_share(folder, args.batches, num_steps=args.rounds)],
    }

    return run_parts(parts, args)


if __name__ == "__main__":
    sys.exit(main())
