"""A codec and a corpus that take no time, and processes that tokenize it.

``python -m tests.tokenization MANIFEST OUT [DELAY]`` makes the shards, of which each task of an array makes its part.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor
from typing_extensions import override

from codec_s2st.codecs.codec import Codec
from codec_s2st.data.array import find_array_task
from codec_s2st.data.manifest import ManifestRow, manifest_frame, write_manifest
from codec_s2st.data.tokenize import tokenize_manifest
from codec_s2st.errors import CodecS2STError
from codec_s2st.tokens.streams import StreamSpec

RATE = 8000

HOP = 200


class LoudnessCodec(Codec):
    """Codes are the mean and the largest amplitude of a frame."""

    def __init__(self, weights_hash: str = "ab" * 32) -> None:
        super().__init__(StreamSpec((64, 32), HOP, RATE))

        self.set_fingerprint("codec_s2st_loudness", weights_hash)

        self.num_calls = 0

        self.delay = 0.0
        """How many seconds each recording takes besides."""

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        self.num_calls += 1

        time.sleep(self.delay)

        frames = torch.nn.functional.pad(wave, (0, -wave.size(-1) % HOP)).unflatten(-1, (-1, HOP)).abs()

        codes = torch.cat([frames.mean(-1) * 63.99, frames.amax(-1) * 31.99], dim=1)

        return codes.long()[:, :num_streams]

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        raise NotImplementedError


def write_corpus(folder: Path, num_pairs: int = 7) -> Path:
    """Writes pairs of wavs, with a row of text after each third pair."""
    rng = np.random.default_rng(0)

    rows = []

    folder.mkdir()

    for idx in range(num_pairs):
        for side in ("source", "target"):
            wave = rng.uniform(-1, 1, rng.integers(500, 3000)) * rng.uniform()

            soundfile.write(folder / f"{side}-{idx}.wav", wave, RATE)

        rows.append(
            ManifestRow(
                id=f"u{idx}",
                split="train",
                source_audio=f"source-{idx}.wav",
                source_text=f"frase {idx}",
                source_lang="spa",
                source_speaker="ana",
                target_audio=f"target-{idx}.wav",
                target_lang="eng",
            )
        )

        if idx % 3 == 2:
            rows.append(ManifestRow(id=f"t{idx}", split="valid", target_text=f"text {idx}", target_lang="eng"))

    return write_manifest(manifest_frame(rows), folder)


def contents(out: Path) -> dict[str, str]:
    """Returns the hashes of the files that a run leaves behind."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.iterdir()
        if not path.name.startswith(".lock")
    }


def array_variables(index: int, count: int) -> dict[str, str]:
    """Returns the environment of the task ``index`` of ``sbatch --array=0-{count - 1}``."""
    values = {"ID": index, "MIN": 0, "MAX": count - 1, "STEP": 1, "COUNT": count}

    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


def start(
    manifest: Path, out: Path, *, delay: float = 0.0, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts a process that tokenizes. It prints ``ready`` when it is about to begin."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tokenization", str(manifest), str(out), str(delay)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **(variables or {})},
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def main(manifest: str, out: str, delay: str = "0") -> int:
    codec = LoudnessCodec()

    codec.delay = float(delay)

    print("ready", flush=True)

    try:
        summary = tokenize_manifest(
            Path(manifest), Path(out), codec, rows_per_shard=2, task=find_array_task(os.environ)
        )
    except CodecS2STError as ex:
        print(ex, file=sys.stderr)

        return ex.exit_code

    print("others go on" if summary is None else summary)

    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
