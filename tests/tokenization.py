"""A codec and a corpus that take no time, and processes that tokenize it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
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
        if path.is_file() and not path.name.startswith(".lock")
    }


def array_variables(index: int, count: int) -> dict[str, str]:
    """Returns the environment of the task ``index`` of ``sbatch --array=0-{count - 1}``."""
    values = {"ID": index, "MIN": 0, "MAX": count - 1, "STEP": 1, "COUNT": count}

    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


_CONTEXT = multiprocessing.get_context("forkserver")

# Processes are forked off one that has imported all: they begin at once.
_CONTEXT.set_forkserver_preload(["tests.tokenization"])


class Run:
    """A process that tokenizes; of an array, the task that ``variables`` say, as SLURM would. Its first row is done."""

    def __init__(
        self, manifest: Path, out: Path, *, delay: float = 0.0, variables: Mapping[str, str] | None = None
    ) -> None:
        """
        :param delay: How many seconds each recording takes at least.
        """
        self._receiver, sender = _CONTEXT.Pipe(duplex=False)

        self._process = _CONTEXT.Process(target=_tokenize, args=(sender, manifest, out, delay, dict(variables or {})))

        self._process.start()

        sender.close()

        assert self._receiver.recv() == "begun"

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        self._process.kill()

        self._process.join()

    def finish(self) -> str:
        """Waits for the end, and returns what the command would print at last."""
        answer: str | CodecS2STError = self._receiver.recv()

        self._process.join()

        if isinstance(answer, CodecS2STError):
            raise answer

        assert self._process.exitcode == 0

        return answer


def _tokenize(sender: Connection, manifest: Path, out: Path, delay: float, variables: dict[str, str]) -> None:
    os.environ.update(variables)

    codec = LoudnessCodec()

    codec.delay = delay

    has_begun = False

    def tell(rows: int, seconds: float) -> None:
        nonlocal has_begun

        if rows and not has_begun:
            has_begun = True

            sender.send("begun")

    try:
        summary = tokenize_manifest(
            manifest, out, codec, rows_per_shard=2, task=find_array_task(os.environ), progress=tell
        )
    except CodecS2STError as ex:
        sender.send(ex)
    else:
        sender.send("others go on" if summary is None else str(summary))
