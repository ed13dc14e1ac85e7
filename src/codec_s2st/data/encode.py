"""Encodes the rows of a manifest. Legend: N sample, T codec frame, Q stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from codec_s2st.codecs.audio import read_audio
from codec_s2st.codecs.codec import Codec
from codec_s2st.data.files import read_retrying
from codec_s2st.data.manifest import SIDES, ManifestRow, resolve_audio
from codec_s2st.data.shard_format import Codes, Quarantined, ShardRow, Side
from codec_s2st.errors import CodecS2STError, UserInputError

# How many rows are read ahead of the encoder, for each thread that reads.
_NUM_ROWS_AHEAD: Final = 4


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of one row of the manifest."""

    result: ShardRow | Quarantined

    seconds: float = 0.0
    """The duration of the audio that was encoded."""


class RowEncoder:
    """Turns rows of a manifest into rows of a shard. Audio is read by threads, ahead of the encoder.

    Utterances are encoded one by one: in a batch of several, their codes would depend on their neighbours.
    """

    def __init__(self, manifest: Path, codec: Codec | None, *, max_seconds: float, num_readers: int) -> None:
        """
        :param manifest: the manifest's file.
        :param codec: may be ``None`` if no row has audio.
        :param max_seconds: longer utterances are quarantined.
        :param num_readers: the number of threads that read audio.
        """
        self._manifest = manifest
        self._codec = codec
        self._max_seconds = max_seconds
        self._num_readers = num_readers

        self._device = torch.device("cpu")

        if codec is not None:
            self._device = next((tensor.device for tensor in chain(codec.parameters(), codec.buffers())), self._device)

    def encode(self, rows: Iterable[ManifestRow]) -> Iterator[Encoded]:
        """Yields what became of ``rows``, in their order.

        :raises UserInputError: a row has audio, but there is no codec.
        :raises CodecS2STError: the machine failed: storage that cannot be read, memory that ran out.
        """
        with ThreadPoolExecutor(self._num_readers, thread_name_prefix="read-audio") as pool:
            pending: deque[tuple[ManifestRow, Future[dict[str, Tensor] | Quarantined]]] = deque()

            try:
                for row in rows:
                    pending.append((row, pool.submit(self._read, row)))

                    if len(pending) >= self._num_readers * _NUM_ROWS_AHEAD:
                        yield self._encode(*pending.popleft())

                while pending:
                    yield self._encode(*pending.popleft())
            finally:
                for _, future in pending:
                    future.cancel()

    def _read(self, row: ManifestRow) -> dict[str, Tensor] | Quarantined:
        """Returns the waves ``[1, N]`` of the sides that have audio, or why they cannot be had."""
        waves: dict[str, Tensor] = {}

        for side in SIDES:
            audio: str | None = getattr(row, f"{side}_audio")

            if audio is None:
                continue

            if self._codec is None:
                raise UserInputError(f"row '{row.id}' of manifest {self._manifest} has audio, but no codec was given")

            try:
                path = resolve_audio(self._manifest, audio)

                waves[side] = self._read_wave(path, self._codec)

                # Sums of samples that are finite, and far too large, are not.
                if not bool(waves[side].isfinite().all()):
                    raise UserInputError(f"audio file '{path}' holds samples that are too large")
            except UserInputError as ex:
                return Quarantined(row.id, f"{side}_audio: {ex.message}")

        return waves

    def _read_wave(self, path: Path, codec: Codec) -> Tensor:
        def read() -> Tensor:
            try:
                return read_audio(path, sample_rate=codec.spec.sample_rate, max_seconds=self._max_seconds)
            except UserInputError as ex:
                # A file system that fails must not fill the quarantine: it is tried again, and then ends the run.
                if isinstance(ex.__cause__, OSError):
                    raise ex.__cause__ from None

                raise

        return read_retrying(path, read)

    def _encode(self, row: ManifestRow, future: Future[dict[str, Tensor] | Quarantined]) -> Encoded:
        waves = future.result()

        if isinstance(waves, Quarantined):
            return Encoded(waves)

        seconds = 0.0

        sides: dict[str, Side] = {}

        for name in SIDES:
            codes: Codes | None = None

            if name in waves and self._codec is not None:
                codes = self._encode_wave(row, waves[name], self._codec)

                seconds += waves[name].size(-1) / self._codec.spec.sample_rate

            text, lang, speaker = (getattr(row, f"{name}_{field}") for field in ("text", "lang", "speaker"))

            sides[name] = Side(codes, text, lang, speaker)

        return Encoded(ShardRow(row.id, row.split, sides["source"], sides["target"]), seconds)

    def _encode_wave(self, row: ManifestRow, wave: Tensor, codec: Codec) -> Codes:
        try:
            # [1, N] -> [1, 1, N] -> [1, Q, T]
            codes = codec.encode(wave.unsqueeze(0).to(self._device))
        except torch.OutOfMemoryError:
            seconds = wave.size(-1) / codec.spec.sample_rate

            raise CodecS2STError(
                f"memory ran out while utterance '{row.id}' of {seconds:.1f} s was encoded", hint="lower max_seconds"
            ) from None

        # [1, Q, T] -> [T, Q]
        return codes.squeeze(0).t().contiguous().cpu().numpy().astype(np.int32)
