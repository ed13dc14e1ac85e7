"""Wav files to token shards, beside bare loops over other implementations of EnCodec, and the memory it takes.

Three ways take turns, each in two processes of its own with one thread each: ours, from a manifest to shards on the
disk; and two loops that read a wav with soundfile, encode it and keep the codes, over the package ``encodec`` and over
transformers' ``EncodecModel``. All have the same random weights, and the codes of all are compared bit by bit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rows import Peer, Row, make_parser, run_parts

NUM_PROCESSES = 2

NUM_STREAMS = 8

SAMPLE_RATE = 24_000

WAYS = ("ours", "encodec", "transformers")


def draw_seconds(total: float) -> list[float]:
    """Returns durations of utterances of some seconds."""
    generator = np.random.default_rng(0)

    seconds: list[float] = []

    while sum(seconds) < total:
        seconds.append(float(np.clip(generator.lognormal(1.4, 0.5), 1.0, 20.0)))

    return seconds


def draw_wave(num_samples: int, seed: int) -> np.ndarray[Any, Any]:
    """Returns noise and a tone whose loudness and pitch change ten times a second."""
    generator = np.random.default_rng(seed)

    def per_part(low: float, high: float) -> np.ndarray[Any, Any]:
        values = generator.uniform(low, high, num_samples // (SAMPLE_RATE // 10) + 1)

        return np.repeat(values, SAMPLE_RATE // 10)[:num_samples]

    tone = np.sin(np.cumsum(per_part(80.0, 1_000.0)) * 2 * np.pi / SAMPLE_RATE)

    return (per_part(0, 0.5) * tone + per_part(0, 0.1) * generator.standard_normal(num_samples)).clip(-1, 1)


def write_corpus(folder: Path, seconds: Sequence[float]) -> None:
    import soundfile

    from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest

    folder.mkdir(parents=True)

    rows = []

    for idx, length in enumerate(seconds):
        soundfile.write(folder / f"{idx:05d}.wav", draw_wave(int(length * SAMPLE_RATE), idx), SAMPLE_RATE)

        rows.append(ManifestRow(id=f"{idx:05d}", split="train", source_audio=f"{idx:05d}.wav", source_lang="eng"))

    write_manifest(manifest_frame(rows), folder)


def write_weights(folder: Path) -> None:
    """Writes an EnCodec 24 kHz as transformers does, whose random code books are drawn from what it encodes."""
    import torch
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)

    # As many code books as 6 kbit/s has, so that nobody reads what nobody uses.
    model = EncodecModel(EncodecConfig(target_bandwidths=[1.5, 3.0, 6.0])).eval()

    wave = torch.from_numpy(draw_wave(20 * SAMPLE_RATE, 1_000_000)).float()[None, None]

    with torch.no_grad():
        # [1, D, T]; as initialised, signals fade from layer to layer.
        residual = model.encoder(wave)

        for layer in model.quantizer.layers:
            vectors = residual[0].T

            chosen = vectors[torch.randint(len(vectors), (layer.codebook.codebook_size,))]

            layer.codebook.embed.copy_(chosen + 0.5 * vectors.std(0) * torch.randn_like(chosen))

            residual = residual - layer.decode(layer.encode(residual))

    model.save_pretrained(folder, safe_serialization=True)


def load_ours(weights: Path) -> Any:
    import torch

    from codec_s2st.codecs.encodec.config import EncodecConfig
    from codec_s2st.codecs.encodec.hub import get_encodec_hub

    codec = get_encodec_hub().load_custom_model(
        weights / "model.safetensors", EncodecConfig(num_codebooks=NUM_STREAMS), device=torch.device("cpu")
    )

    codec.set_fingerprint("benchmark", "00" * 32)

    return codec.eval().requires_grad_(False)


def load_package(weights: Path) -> Any:
    """Returns the model of the package ``encodec``, whose own checkpoints are pickles of another layout."""
    from encodec import EncodecModel
    from fairseq2.models.utils.checkpoint import convert_state_dict
    from safetensors.torch import load_file

    from codec_s2st.codecs.encodec.config import EncodecConfig
    from codec_s2st.codecs.encodec.interop import encodec_key_map

    model = EncodecModel.encodec_model_24khz(pretrained=False)

    model.set_target_bandwidth(6.0)

    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}

    state_dict = {}

    for key, value in load_file(weights / "model.safetensors").items():
        for old, new in names.items():
            key = key.replace(old, new)

        state_dict[key] = value

    found = convert_state_dict(state_dict, encodec_key_map(EncodecConfig()))

    missing, unexpected = model.load_state_dict(found, strict=False)

    # The package has 32 code books, of which it reads the first 8.
    assert not unexpected and all(int(key.split(".")[3]) >= NUM_STREAMS for key in missing), (missing, unexpected)

    return model.eval()


def make_loop(encode: Callable[[Any], Any], corpus: Path, rank: int) -> Callable[[], list[np.ndarray[Any, Any]]]:
    """Returns a loop over every other file; ``encode`` takes [1, 1, N] and returns [1, Q, T]."""
    import soundfile
    import torch

    files = sorted(corpus.glob("*.wav"))[rank::NUM_PROCESSES]

    def loop() -> list[np.ndarray[Any, Any]]:
        codes = []

        with torch.no_grad():
            for file in files:
                wave, _ = soundfile.read(file, dtype="float32")

                codes.append(encode(torch.from_numpy(wave)[None, None])[0].T.to(torch.int16).numpy())

        return codes

    return loop


def make_ours(folder: Path, rank: int) -> Callable[[], list[np.ndarray[Any, Any]]]:
    from codec_s2st.data.array import ArrayTask
    from codec_s2st.data.tokenize import Tokenization

    codec = load_ours(folder / "weights")

    # A shard for each process; of a real corpus, a shard holds 1,000 rows.
    rows_per_shard = -(-len(list((folder / "corpus").glob("*.wav"))) // NUM_PROCESSES)

    def run() -> list[np.ndarray[Any, Any]]:
        tokenization = Tokenization(folder / "corpus", folder / "out", codec, rows_per_shard=rows_per_shard)

        tokenization.run(tokenization.shards_of(ArrayTask(), rank, NUM_PROCESSES))

        return []

    return run


def read_shards(out: Path) -> list[np.ndarray[Any, Any]]:
    from codec_s2st.data.shard_reader import ShardReader

    return [
        row.source.codes
        for path in sorted(out.glob("shard-*"))
        for group in ShardReader(path).row_groups()
        for row in group.rows()
        if row.source.codes is not None
    ]


def make_way(way: str, folder: Path, rank: int) -> Callable[[], list[np.ndarray[Any, Any]]]:
    if way == "ours":
        return make_ours(folder, rank)

    if way == "encodec":
        package = load_package(folder / "weights")

        return make_loop(lambda wave: package.encode(wave)[0][0], folder / "corpus", rank)

    from transformers import EncodecModel

    theirs = EncodecModel.from_pretrained(folder / "weights").eval()

    return make_loop(lambda wave: theirs.encode(wave, bandwidth=6.0).audio_codes[0], folder / "corpus", rank)


def work(pipe: Connection, folder: Path, way: str, rank: int) -> None:
    """Does its part whenever it is asked to, and says how long it took."""
    import torch

    torch.set_num_threads(1)

    run = make_way(way, folder, rank)

    codes: list[np.ndarray[Any, Any]] = []

    pipe.send("ready")

    while (wish := pipe.recv()) is not None:
        if wish == "codes":
            # Ours are on the disk by now.
            pipe.send(read_shards(folder / "out") if way == "ours" else codes)

            continue

        cpu, wall = time.process_time(), time.perf_counter()

        codes = run()

        pipe.send((time.process_time() - cpu, time.perf_counter() - wall))


def measure_speed(folder: Path, seconds: float, num_rounds: int) -> list[Row]:
    lengths = draw_seconds(seconds)

    shutil.rmtree(folder / "corpus", ignore_errors=True)

    write_corpus(folder / "corpus", lengths)

    write_weights(folder / "weights")

    context = multiprocessing.get_context("spawn")

    os.environ["OMP_NUM_THREADS"] = "1"

    pipes: dict[str, list[Any]] = {way: [] for way in WAYS}

    processes = []

    for way in WAYS:
        for rank in range(NUM_PROCESSES):
            ours, theirs = context.Pipe()

            processes.append(context.Process(target=work, args=(theirs, folder, way, rank)))

            processes[-1].start()

            pipes[way].append(ours)

        for pipe in pipes[way]:
            pipe.recv()

    def ask(way: str, *, codes: bool = False) -> tuple[float, float, list[Any]]:
        shutil.rmtree(folder / "out", ignore_errors=True)

        for pipe in pipes[way]:
            pipe.send("run")

        times = [pipe.recv() for pipe in pipes[way]]

        for pipe in pipes[way] if codes else []:
            pipe.send("codes")

        found = [pipe.recv() for pipe in pipes[way]] if codes else []

        return sum(cpu for cpu, _ in times), max(wall for _, wall in times), found

    # The first round warms up, and is compared.
    codes = {way: ask(way, codes=True)[2] for way in WAYS}

    # Each of our processes has read all shards.
    wanted: list[Any] = [None] * len(lengths)

    for rank, part in enumerate(codes["encodec"]):
        wanted[rank::NUM_PROCESSES] = part

    interleaved: list[Any] = [None] * len(lengths)

    for rank, part in enumerate(codes["transformers"]):
        interleaved[rank::NUM_PROCESSES] = part

    for found in (codes["ours"][0], interleaved):
        assert len(found) == len(wanted) and all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))

    assert len(np.unique(np.concatenate(wanted))) > 500

    rounds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}

    for _ in range(num_rounds):
        for way in WAYS:
            rounds[way].append(ask(way)[:2])

    for pipe in (pipe for way in WAYS for pipe in pipes[way]):
        pipe.send(None)

    for process in processes:
        process.join()

    rows = []

    for id_, way, goal in (("P10a", "encodec", ">= 0.95"), ("P10b", "transformers", ">= 1.15")):
        cpu, wall = (
            median(theirs[i] / ours[i] for ours, theirs in zip(rounds["ours"], rounds[way], strict=True))
            for i in range(2)
        )

        rates = [sum(lengths) / median(cpu for cpu, _ in rounds[name]) for name in ("ours", way)]

        rows.append(
            Row(
                id=id_,
                what=f"wav files to token shards, {NUM_PROCESSES} processes: audio a CPU second",
                unit="audio-s/CPU-s",
                value=rates[0],
                peer=Peer(name=way, value=rates[1]),
                ratio=cpu,
                goal=goal,
                equal="weights, wavs, threads, and the codes that come out, bit by bit",
                not_equal="ours writes shards and a quarantine table; the bare loop keeps the codes in memory",
                note=f"{wall:.2f}x by the clock",
            )
        )

    return rows


def write_recording(path: Path, seconds: int) -> None:
    """Writes 48 kHz in two channels, a second at a time."""
    import soundfile

    generator = np.random.default_rng(0)

    path.parent.mkdir(parents=True, exist_ok=True)

    with soundfile.SoundFile(path, "w", 48_000, 2, subtype="PCM_16") as file:
        for _ in range(seconds):
            file.write(generator.uniform(-0.3, 0.3, (48_000, 2)).astype(np.float32))


def measure_memory(folder: Path, seconds: int) -> list[Row]:
    """Tokenizes a minute and a long recording with the embedded codec, each in a process of its own."""
    rows = []

    for id_, suffix in (("P10c", "wav"), ("P10d", "flac")):
        peaks = {}

        for length in (60, seconds):
            path = folder / f"long-{length}.{suffix}"

            if not path.is_file():
                # A process counts the memory of the one that started it as its own: this one must stay small.
                subprocess.run([sys.executable, __file__, "--write", str(path), "--seconds", str(length)], check=True)

            run = subprocess.run(
                [sys.executable, __file__, "--peak", str(path)], check=True, capture_output=True, text=True
            )

            peaks[length] = float(run.stdout.splitlines()[-1])

        rows.append(
            Row(
                id=id_,
                what=f"peak memory of tokenizing a {suffix} of {seconds / 3600:.2g} h, over that of a minute",
                unit="MB",
                value=peaks[seconds],
                peer=Peer(name="a minute", value=peaks[60]),
                ratio=peaks[seconds] / peaks[60],
                goal="<= 1.3",
                equal="the codec demo_codec, 48 kHz in two channels",
            )
        )

    return rows


def print_peak(path: Path) -> None:
    from codec_s2st.codecs import load_codec
    from codec_s2st.data.loading import AudioSettings
    from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
    from codec_s2st.data.tokenize import tokenize_manifest

    folder = path.with_suffix(f"{path.suffix}.out")

    shutil.rmtree(folder, ignore_errors=True)

    rows = [ManifestRow(id="u", split="train", source_audio=str(path.absolute()), source_lang="eng")]

    manifest = write_manifest(manifest_frame(rows), folder / "manifest")

    summary = tokenize_manifest(
        manifest, folder / "shards", load_codec("demo_codec"), settings=AudioSettings(max_seconds=1e6), strict=True
    )

    print(summary, file=sys.stderr)

    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__, ["memory", "P10"])

    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--corpus-seconds", type=float, default=120.0, help="how much audio is encoded a round")
    parser.add_argument("--seconds", type=int, default=7_200, help="the length of the long recording")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)

    args = parser.parse_args(argv)

    if args.write:
        write_recording(args.write, args.seconds)

        return 0

    if args.peak:
        print_peak(args.peak)

        return 0

    folder = args.out / "tokenization"

    folder.mkdir(parents=True, exist_ok=True)

    # First what must be measured before this process has grown.
    parts: dict[str, Callable[[], list[Row]]] = {
        "memory": lambda: measure_memory(folder, args.seconds),
        "P10": lambda: measure_speed(folder, args.corpus_seconds, args.rounds),
    }

    return run_parts(parts, args)


if __name__ == "__main__":
    sys.exit(main())
