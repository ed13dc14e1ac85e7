"""Token shards of the demo world, made where they are missing and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import torch
from fairseq2.gang import Gangs
from fairseq2.logging import log
from fairseq2.runtime.dependency import DependencyResolver
from numpy.typing import NDArray

from codec_s2st.codecs.codec import Codec, load_codec
from codec_s2st.data.alignment import Alignment, to_frames
from codec_s2st.data.dataset import SpeechTextDataset
from codec_s2st.data.shard_format import ShardRow, Side, shard_name
from codec_s2st.data.shards import ShardSet, write_shard
from codec_s2st.demo.family import DemoShardsConfig
from codec_s2st.demo.grammar import sample_pairs, sample_second_text, sample_text_pairs
from codec_s2st.demo.signal import Wave
from codec_s2st.demo.utterances import speak
from codec_s2st.share import cache_dir

ROWS_PER_SHARD: Final = 500

_VERSION: Final = 1
"""Raise it when equal configurations would give other shards than before."""

_Kind: TypeAlias = Literal["speech", "text", "second-text"]


@dataclass(frozen=True)
class _ShardJob:
    """One shard to be made: rows ``begin`` to ``end`` of a split."""

    path: Path
    split: str
    begin: int
    end: int
    kind: _Kind
    config: DemoShardsConfig


def open_demo_shards(resolver: DependencyResolver, config: DemoShardsConfig) -> SpeechTextDataset:
    """Opens the demo world's shards; rank 0 makes those that are missing."""
    gangs = resolver.resolve(Gangs)

    if gangs.root.rank == 0:
        folder = build_demo_shards(config)

    gangs.root.barrier()

    folder = demo_shards_dir(config)

    return SpeechTextDataset(ShardSet.open([folder], codec=None))


def demo_shards_dir(config: DemoShardsConfig) -> Path:
    """Returns the folder of the shards of ``config`` in the cache; it need not exist."""
    codec = load_codec(config.codec).fingerprint

    key = json.dumps([_VERSION, _settings(config), codec.digest], sort_keys=True)

    return cache_dir() / "demo-shards" / hashlib.sha256(key.encode()).hexdigest()[:16]


def _settings(config: DemoShardsConfig) -> dict[str, object]:
    """Returns what decides the shards; what was added later is left out where it changes nothing."""
    settings = asdict(config)

    for name in ("world", "num_second_text", "alignments"):
        if settings[name] == getattr(DemoShardsConfig, name):
            del settings[name]

    return settings


def build_demo_shards(config: DemoShardsConfig, *, num_workers: int | None = None) -> Path:
    """Makes the shards of ``config`` that are missing, and returns their folder.

    :param num_workers: The number of processes; by default one a core.
    """
    from rich.progress import track

    folder = demo_shards_dir(config)

    jobs = [job for job in _plan(folder, config) if not job.path.exists()]

    if not jobs:
        return folder

    folder.mkdir(parents=True, exist_ok=True)

    log.info("Making {} shards of demo speech under {}.", len(jobs), folder)

    num_workers = num_workers or len(os.sched_getaffinity(0))

    # A process that runs torch's threads must not be forked.
    with ProcessPoolExecutor(num_workers, get_context("spawn"), initializer=_start_worker) as pool:
        for _ in track(pool.map(_make_shard, jobs), description="demo speech", total=len(jobs), transient=True):
            pass

    return folder


def _plan(folder: Path, config: DemoShardsConfig) -> list[_ShardJob]:
    parts: tuple[tuple[str, int, int, _Kind], ...] = (
        ("train", config.num_pairs, ROWS_PER_SHARD, "speech"),
        ("valid", config.num_valid_pairs, ROWS_PER_SHARD, "speech"),
        ("train", config.num_text_pairs, 20 * ROWS_PER_SHARD, "text"),
        ("train", config.num_second_text, 20 * ROWS_PER_SHARD, "second-text"),
    )

    ranges = [
        (split, begin, min(begin + size, num), kind)
        for split, num, size, kind in parts
        for begin in range(0, num, size)
    ]

    return [
        _ShardJob(folder / shard_name(i, len(ranges)), split, begin, end, kind, config)
        for i, (split, begin, end, kind) in enumerate(ranges)
    ]


_codec: Codec | None = None


def _start_worker() -> None:
    torch.set_num_threads(1)


def _make_shard(job: _ShardJob) -> None:
    global _codec

    if _codec is None:
        _codec = load_codec(job.config.codec)

    has_speech = job.kind == "speech"

    rows = _spoken_rows(job, _codec) if has_speech else _text_rows(job)

    provenance = {"demo_world": _settings(job.config), "version": _VERSION}

    write_shard(job.path, rows, _codec.fingerprint if has_speech else None, provenance)


def _spoken_rows(job: _ShardJob, codec: Codec) -> Iterator[ShardRow]:
    for pair in sample_pairs(job.split, job.end, job.config.seed, world=job.config.world)[job.begin :]:
        utterance = speak(pair, job.split, job.config.seed, world=job.config.world)

        source, target = _encode(codec, utterance.source), _encode(codec, utterance.target)

        aligned: list[Alignment | None] = [None, None]

        if job.config.alignments:
            spans = (utterance.source_words, source), (utterance.target_words, target)

            aligned = [to_frames(words, codec.spec.frame_rate, len(codes)) for words, codes in spans]

        yield ShardRow(
            pair.id,
            job.split,
            Side(source, pair.spa, "spa", utterance.source_speaker, aligned[0]),
            Side(target, pair.eng, "eng", utterance.target_speaker, aligned[1]),
        )


def _text_rows(job: _ShardJob) -> Iterator[ShardRow]:
    if job.kind == "second-text":
        for i, text in enumerate(sample_second_text(job.end, job.config.seed)[job.begin :], job.begin):
            yield ShardRow(f"second-text-{i}", job.split, Side(), Side(text=text, lang="eng"))

        return

    for pair in sample_text_pairs(job.end, job.config.seed, world=job.config.world)[job.begin :]:
        yield ShardRow(f"text-{pair.id}", job.split, Side(text=pair.spa, lang="spa"), Side(text=pair.eng, lang="eng"))


@torch.inference_mode()
def _encode(codec: Codec, wave: Wave) -> NDArray[np.int16]:
    # As a corpus of 16-bit wavs would be heard.
    samples = torch.from_numpy(np.round(wave * 32767) / 32768).float()

    codes: NDArray[np.int16] = codec.encode(samples[None, None])[0].T.to(torch.int16).numpy()

    return codes
