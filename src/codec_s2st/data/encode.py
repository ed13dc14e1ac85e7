"""Encodes the rows of a manifest. Legend: N sample, T codec frame, Q stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from torch import Tensor

from codec_s2st.audio_segments import parse_segment
from codec_s2st.codecs.chunks import encode_in_chunks
from codec_s2st.codecs.codec import Codec
from codec_s2st.data.alignment import Alignment, TimedSpan, to_frames
from codec_s2st.data.loading import WHOLE_SECONDS, AudioSettings, LoadedAudio, load_audio
from codec_s2st.data.manifest import SIDES, ManifestRow, resolve_audio
from codec_s2st.data.shard_format import Codes, Quarantined, ShardRow, Side, code_type
from codec_s2st.data.storage import StorageWatch
from codec_s2st.errors import CodecS2STError, UserInputError

MAX_WHOLE_SECONDS: Final = 300.0
"""The longest recording that is encoded at once, by a codec that cannot do it in pieces."""

# How many rows are read ahead of the encoder, for each thread that reads.
_NUM_ROWS_AHEAD: Final = 4

# How much audio is encoded at a time, lest a run that is asked to stop goes on for long; one utterance may be more.
_GROUP_SECONDS: Final = 60.0

_Loaded = dict[str, LoadedAudio] | Quarantined

_WaveKey = tuple[int, str]
"""The place of a row in its group, and the side."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of one row of the manifest."""

    result: ShardRow | Quarantined

    seconds: float = 0.0
    """The duration of the audio that was encoded."""


class RowEncoder:
    """Turns rows of a manifest into rows of a shard. Audio is read by threads, ahead of the encoder.

    The codes of an utterance do not depend on its neighbours, though the codec may take several at a time. One that is
    longer than a minute is read and encoded in pieces, so that memory is bounded.
    """

    def __init__(self, manifest: Path, codec: Codec | None, settings: AudioSettings, *, num_readers: int) -> None:
        """
        :param manifest: the manifest's file.
        :param codec: may be ``None`` if no row has audio.
        :param num_readers: the number of threads that read audio.
        :raises UserInputError: the codec cannot encode utterances as long as the settings allow.
        """
        self._manifest = manifest
        self._codec = codec
        self._settings = settings
        self._num_readers = num_readers

        self._device = torch.device("cpu")

        self._whole_seconds = WHOLE_SECONDS

        self.storage = StorageWatch()

        if codec is None:
            return

        self._device = next((tensor.device for tensor in chain(codec.parameters(), codec.buffers())), self._device)

        self._dtype = code_type(codec.spec.codebook_sizes).to_pandas_dtype()

        if codec.encoder_context is None:
            self._whole_seconds = MAX_WHOLE_SECONDS

            if settings.max_seconds > MAX_WHOLE_SECONDS:
                raise UserInputError(
                    f"max_seconds is {settings.max_seconds:g}, but the codec '{codec.fingerprint.name}' sees a "
                    f"recording as a whole, of which at most {MAX_WHOLE_SECONDS:g} seconds fit into memory",
                    hint=f"set max_seconds={MAX_WHOLE_SECONDS:g}, and cut the recordings by stretches: FILE#t=0,300",
                )

    def encode(self, rows: Iterable[ManifestRow]) -> Iterator[Encoded]:
        """Yields what became of ``rows``, in their order.

        :raises UserInputError: a row has audio, but there is no codec.
        :raises CodecS2STError: the machine failed: storage that cannot be read, memory that ran out.
        """
        rows = iter(rows)

        group_size = 1 if self._codec is None else self._codec.group_size

        num_ahead = max(self._num_readers * _NUM_ROWS_AHEAD, group_size)

        with ThreadPoolExecutor(self._num_readers, thread_name_prefix="read-audio") as pool:
            pending: deque[tuple[ManifestRow, Future[_Loaded]]] = deque()

            def read_ahead() -> None:
                for row in islice(rows, num_ahead - len(pending)):
                    pending.append((row, pool.submit(self._load, row)))

            try:
                read_ahead()

                while pending:
                    group: list[tuple[ManifestRow, _Loaded]] = []

                    seconds = 0.0

                    while pending and len(group) < group_size and seconds < _GROUP_SECONDS:
                        row, future = pending.popleft()

                        read_ahead()

                        group.append((row, future.result()))

                        seconds += self._seconds_of(group[-1][1])

                    yield from self._encode_group(group)
            finally:
                for _, future in pending:
                    future.cancel()

    def _load(self, row: ManifestRow) -> _Loaded:
        """Returns the recordings of the sides that have audio, or why they cannot be had."""
        loaded: dict[str, LoadedAudio] = {}

        for name in SIDES:
            audio: str | None = getattr(row, f"{name}_audio")

            if audio is None:
                continue

            if self._codec is None:
                raise UserInputError(f"row '{row.id}' of manifest {self._manifest} has audio, but no codec was given")

            try:
                loaded[name] = self._load_side(name, resolve_audio(self._manifest, audio), self._codec)
            except UserInputError as ex:
                return Quarantined(row.id, f"{name}_audio: {ex.message}")

        return loaded

    def _load_side(self, name: str, path: Path, codec: Codec) -> LoadedAudio:
        def load() -> LoadedAudio:
            return load_audio(
                path, self._settings, sample_rate=codec.spec.sample_rate, whole_seconds=self._whole_seconds
            )

        audio = self.storage.read(name, parse_segment(path).path, load)

        if audio.wave is not None:
            _check_finite(path, audio.wave)

        return audio

    def _seconds_of(self, loaded: _Loaded) -> float:
        """Returns how much audio is encoded as a whole."""
        if isinstance(loaded, Quarantined) or self._codec is None:
            return 0.0

        num_samples = sum(audio.wave.size(-1) for audio in loaded.values() if audio.wave is not None)

        return num_samples / self._codec.spec.sample_rate

    def _encode_group(self, group: Sequence[tuple[ManifestRow, _Loaded]]) -> Iterator[Encoded]:
        waves: dict[_WaveKey, Tensor] = {}

        for idx, (_, loaded) in enumerate(group):
            if not isinstance(loaded, Quarantined):
                waves |= {(idx, name): audio.wave for name, audio in loaded.items() if audio.wave is not None}

        codes = self._encode_waves([row.id for row, _ in group], waves)

        for idx, (row, loaded) in enumerate(group):
            yield self._encode(row, loaded, {name: codes[idx, name] for name in SIDES if (idx, name) in codes})

    def _encode_waves(self, ids: Sequence[str], waves: Mapping[_WaveKey, Tensor]) -> dict[_WaveKey, Codes]:
        """Returns the codes [T, Q] of each of ``waves`` [1, N]."""
        if not waves or self._codec is None:
            return {}

        with _naming(ids):
            # [1, N] -> [1, 1, N] -> [1, Q, T]
            found = self._codec.encode_each([wave[None].to(self._device) for wave in waves.values()])

            return {key: self._to_numpy(codes) for key, codes in zip(waves, found, strict=True)}

    def _encode(self, row: ManifestRow, loaded: _Loaded, known: Mapping[str, Codes]) -> Encoded:
        """
        :param known: the codes of the sides that were encoded as a whole.
        """
        if isinstance(loaded, Quarantined):
            return Encoded(loaded)

        seconds = 0.0

        sides: dict[str, Side] = {}

        for name in SIDES:
            codes: Codes | None = None

            audio = loaded.get(name)

            if audio is not None and self._codec is not None:
                try:
                    codes, num_samples = self._encode_side(row, name, audio, self._codec, known)
                except UserInputError as ex:
                    return Encoded(Quarantined(row.id, f"{name}_audio: {ex.message}"), seconds)

                seconds += num_samples / self._codec.spec.sample_rate

            trimmed = None if audio is None else audio.trimmed

            try:
                alignment = self._align(getattr(row, f"{name}_alignment"), codes, trimmed)
            except UserInputError as ex:
                return Encoded(Quarantined(row.id, f"{name}_alignment: {ex.message}"), seconds)

            text, lang, speaker = (getattr(row, f"{name}_{field}") for field in ("text", "lang", "speaker"))

            sides[name] = Side(codes, text, lang, speaker, alignment, trimmed)

        return Encoded(ShardRow(row.id, row.split, sides["source"], sides["target"]), seconds)

    def _align(
        self, spans: Sequence[TimedSpan] | None, codes: Codes | None, trimmed: tuple[float, float] | None
    ) -> Alignment | None:
        """Returns which frames of ``codes`` say what."""
        if spans is None:
            return None

        if codes is None or self._codec is None:
            raise UserInputError("there is no audio that it is of")

        return to_frames(spans, self._codec.spec.frame_rate, len(codes), trimmed=trimmed or (0.0, 0.0))

    def _encode_side(
        self, row: ManifestRow, name: str, audio: LoadedAudio, codec: Codec, known: Mapping[str, Codes]
    ) -> tuple[Codes, int]:
        """Returns the codes [T, Q] of a recording, and the number of its samples."""
        if audio.wave is not None:
            return known[name], audio.wave.size(-1)

        blocks = audio.blocks

        assert blocks is not None

        path = resolve_audio(self._manifest, getattr(row, f"{name}_audio"))

        # Storage that fails amid a long recording is asked again, from its begin.
        with _naming([row.id]):
            return self.storage.read(name, parse_segment(path).path, lambda: self._encode_blocks(path, blocks, codec))

    def _encode_blocks(self, path: Path, blocks: Callable[[], Iterator[Tensor]], codec: Codec) -> tuple[Codes, int]:
        num_samples = 0

        def read() -> Iterator[Tensor]:
            nonlocal num_samples

            for block in blocks():
                _check_finite(path, block)

                num_samples += block.size(-1)

                yield block.to(self._device)

        chunk_frames = round(WHOLE_SECONDS * codec.spec.frame_rate)

        chunks = [self._to_numpy(chunk) for chunk in encode_in_chunks(codec, read(), chunk_frames=chunk_frames)]

        return cast("Codes", np.concatenate(chunks)), num_samples

    def _to_numpy(self, codes: Tensor) -> Codes:
        # [1, Q, T] -> [T, Q]
        found: Codes = codes.squeeze(0).t().contiguous().cpu().numpy().astype(self._dtype)

        return found


@contextmanager
def _naming(ids: Sequence[str]) -> Iterator[None]:
    """Names the utterances of which the codes were wanted if memory runs out."""
    try:
        yield
    except torch.OutOfMemoryError:
        names = "', '".join(ids)

        raise CodecS2STError(
            f"memory ran out while utterance '{names}' was encoded", hint="lower max_seconds"
        ) from None


def _check_finite(path: Path, wave: Tensor) -> None:
    # Sums of samples that are finite, and far too large, are not.
    if not bool(wave.isfinite().all()):
        raise UserInputError(f"audio file '{path}' holds samples that are too large")
