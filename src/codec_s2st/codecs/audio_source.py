"""Reads an audio file block by block: what it holds, or one line that says why not. Legend: N samples, C channels."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from codec_s2st.audio_segments import AudioSegment, parse_segment
from codec_s2st.codecs.riff import find_truncation
from codec_s2st.errors import UserInputError

SAMPLE_RATES: Final = range(1_000, 768_001)
"""The sample rates that are taken for real, in Hz."""

BLOCK_VALUES: Final = 1 << 18
"""How many values (samples of all channels) are read or written at once."""

_BUFFER_BYTES: Final = 1 << 18

_END_TOLERANCE: Final = 0.1
"""By how many seconds a stretch may outlast its file: tables of segments round, and so do headers of lossy files."""


class AudioTooLongError(UserInputError):
    """The audio is longer than the reader takes."""


@contextmanager
def open_audio(path: str | Path) -> Iterator[AudioSource]:
    """Opens a wav, flac, ogg, opus or mp3 file, or a stretch of it (see :mod:`codec_s2st.audio_segments`).

    :raises UserInputError: it is no audio, or is truncated; its cause is an ``OSError`` if the file system said so.
    """
    segment = parse_segment(path)

    with _translated(segment.path):
        # A pipe or a device would be read for ever.
        if not stat.S_ISREG(segment.path.stat().st_mode):
            raise UserInputError(f"audio file '{segment.path}' is not a regular file")

        if flaw := find_truncation(segment.path):
            raise UserInputError(f"audio file '{segment.path}' is truncated: {flaw}")

        fp = segment.path.open("rb", buffering=_BUFFER_BYTES)

    with fp:
        with _translated(segment.path):
            source = AudioSource(segment, fp)

        try:
            yield source
        finally:
            source.close()


class AudioSource:
    """An audio file that is open."""

    def __init__(self, segment: AudioSegment, fp: BinaryIO) -> None:
        """Not for users: see :func:`open_audio`."""
        import soundfile

        self._segment = segment

        self._bytes = _Bytes(fp, segment.path)

        with self._bytes.watched():
            self._file: Any = soundfile.SoundFile(self._bytes)

        self.sample_rate: int = self._file.samplerate

        if self.sample_rate not in SAMPLE_RATES:
            raise UserInputError(
                f"audio file '{segment.path}' has a sample rate of {self.sample_rate} Hz; "
                f"{SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz can be read"
            )

    def blocks(self, *, max_seconds: float) -> Iterator[Tensor]:
        """Yields the mean of the channels, from the begin of the file or stretch on, at :attr:`sample_rate`.

        Memory is bounded by one block, whatever the header says.

        :returns: *Shape:* [1, n], float32, n > 0.
        :raises AudioTooLongError: there is more than ``max_seconds``.
        :raises UserInputError: the audio is empty, truncated or not finite; raised at its place, after what is good.
        """
        path, file = self._segment.path, self._file

        max_samples = int(max_seconds * self.sample_rate)

        with _translated(path), self._bytes.watched():
            begin, num_wanted = self._find_stretch()

            if num_wanted is not None and num_wanted > max_samples:
                raise AudioTooLongError(f"audio file '{path}': the stretch is longer than {max_seconds:g} s")

            if num_wanted is not None:
                file.seek(begin)

        num_samples = 0

        while True:
            block_samples = max(1, BLOCK_VALUES // file.channels)

            if num_wanted is not None:
                block_samples = min(block_samples, num_wanted - num_samples)

            with _translated(path), self._bytes.watched():
                # (n, C)
                block = torch.from_numpy(file.read(block_samples, dtype="float32", always_2d=True))

            if block.size(0) == 0:
                break

            num_samples += block.size(0)

            if num_samples > max_samples:
                raise AudioTooLongError(f"audio file '{path}' is longer than {max_seconds:g} s")

            mono = block.mean(dim=1)

            # The mean of finite channels may be infinite, too.
            if not bool(mono.isfinite().all()):
                raise UserInputError(f"audio file '{path}' holds samples that are NaN or infinite")

            yield mono[None, :]

        if num_samples == 0:
            raise UserInputError(f"audio file '{path}' holds no samples")

        num_promised = file.frames if num_wanted is None else begin + num_wanted

        if begin + num_samples < num_promised:
            raise UserInputError(
                f"audio file '{path}' is truncated: its header says {file.frames} samples, "
                f"but {begin + num_samples} are there"
            )

    def close(self) -> None:
        self._file.close()

    def _find_stretch(self) -> tuple[int, int | None]:
        """Returns the first sample and the number of samples; ``None`` is all that are there."""
        segment, rate, num_frames = self._segment, self.sample_rate, self._file.frames

        if segment.end is None:
            return 0, None

        begin, end = round(segment.begin * rate), round(segment.end * rate)

        if end > num_frames + _END_TOLERANCE * rate or begin >= num_frames:
            raise UserInputError(
                f"audio file '{segment.path}' has {num_frames / rate:g} s, "
                f"but is asked for {segment.begin:g} to {segment.end:g} s"
            )

        if not self._file.seekable():
            raise UserInputError(f"audio file '{segment.path}' cannot be read from its middle")

        return begin, min(end, num_frames) - begin


class _Bytes:
    """A file for libsndfile that remembers the errors of the file system.

    libsndfile takes a read that fails for the end of the file, and so storage that fails for audio that is truncated.
    """

    def __init__(self, fp: BinaryIO, path: Path) -> None:
        # By the name, soundfile knows a headerless file.
        self.name = str(path)

        self._fp = fp

        self._error: OSError | None = None

    def readinto(self, buffer: Any) -> int:
        try:
            return self._fp.readinto(buffer)  # type: ignore[attr-defined,no-any-return]
        except OSError as ex:
            self._error = ex

            return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._fp.seek(offset, whence)
        except ValueError:
            # Garbled headers ask for places before the first byte.
            return -1
        except OSError as ex:
            if ex.errno != errno.EINVAL:
                self._error = ex

            return -1

    def tell(self) -> int:
        return self._fp.tell()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """
        :raises OSError: the file system failed in the body, whatever libsndfile says.
        """
        try:
            yield
        finally:
            if self._error is not None:
                error, self._error = self._error, None

                raise error


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    import soundfile

    try:
        yield
    except FileNotFoundError as ex:
        raise UserInputError(f"audio file '{path}' does not exist") from ex
    except OSError as ex:
        raise UserInputError(f"audio file '{path}' cannot be read: {ex.strerror or ex}") from ex
    except soundfile.LibsndfileError as ex:
        raise UserInputError(f"audio file '{path}' cannot be read: {ex.error_string}") from ex
    except TypeError:
        # What soundfile says of a headerless file.
        raise UserInputError(f"audio file '{path}' has no header; wav, flac, ogg, opus and mp3 can be read") from None
