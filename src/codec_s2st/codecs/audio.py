"""Reads and writes audio files. Legend: N samples, C channels."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Final

import torch
from torch import Tensor

from codec_s2st.codecs.audio_source import BLOCK_VALUES, open_audio
from codec_s2st.codecs.audio_source import SAMPLE_RATES as SAMPLE_RATES
from codec_s2st.codecs.audio_source import AudioTooLongError as AudioTooLongError
from codec_s2st.codecs.resampling import resample as resample
from codec_s2st.codecs.resampling import resample_blocks
from codec_s2st.errors import CodecS2STError, UserInputError

MAX_SECONDS: Final = 3600.0

_USER_ERRNOS: Final = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)
"""What another path mends; everything else is the machine's fault."""

_FORMATS: Final = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}


def read_audio(path: str | Path, *, sample_rate: int, max_seconds: float = MAX_SECONDS) -> Tensor:
    """Reads a wav, flac, ogg, opus or mp3 file of any sample rate and number of channels as mono.

    Loudness is left as it is. Memory is bounded by what the file really holds, whatever its header says.

    :param path: The file, or a stretch of it (see :mod:`codec_s2st.audio_segments`), of which no more is decoded.
    :param sample_rate: The rate of the result, in Hz.
    :param max_seconds: The longest audio that is read.
    :returns: The mean of the channels. *Shape:* [1, N], float32, N > 0.
    :raises AudioTooLongError: it is longer than ``max_seconds``.
    :raises UserInputError: the file cannot be read, or its audio is empty, truncated or not finite.
    """
    with open_audio(path) as source:
        wave = torch.cat(list(source.blocks(max_seconds=max_seconds)), dim=-1)

        return resample(wave, source.sample_rate, sample_rate)


def stream_audio(path: str | Path, *, sample_rate: int, max_seconds: float = MAX_SECONDS) -> Iterator[Tensor]:
    """Yields what :func:`read_audio` returns in blocks of some seconds, in memory that does not grow with the file.

    What is wrong with the audio is raised at its place, after the blocks before it.

    :returns: *Shape:* [1, n], float32, n > 0.
    :raises AudioTooLongError: it is longer than ``max_seconds``.
    :raises UserInputError: as for :func:`read_audio`.
    """
    with open_audio(path) as source:
        yield from resample_blocks(source.blocks(max_seconds=max_seconds), source.sample_rate, sample_rate)


def write_audio(path: str | Path, wave: Tensor, sample_rate: int) -> None:
    """Writes ``wave`` as 16-bit wav or flac, or as ogg (Vorbis); the extension of ``path`` decides.

    The file appears under its name only when it is complete.

    :param wave: What is outside [-1, 1] is clipped. *Shape:* [1, N], float.
    :raises UserInputError: the extension is another, or ``path`` cannot be written.
    :raises CodecS2STError: the disk is full or fails.
    :raises ValueError: ``wave`` has another shape, or is not finite.
    """
    path = Path(path)

    check_output_path(path)

    content = encode_audio(wave, sample_rate, path.suffix.lower())

    # Not `tempfile`: its files are private to the user.
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.part")

    try:
        try:
            temporary.write_bytes(content)

            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as ex:
        kind = UserInputError if ex.errno in _USER_ERRNOS else CodecS2STError

        raise kind(f"'{path}' ({len(content)} bytes) cannot be written: {ex.strerror or ex}") from ex


def check_output_path(path: str | Path) -> None:
    """Checks, before any work is done, that an audio file can be written to ``path``.

    :raises UserInputError: it cannot.
    """
    path = Path(path)

    if path.suffix.lower() not in _FORMATS:
        raise UserInputError(f"audio file '{path}' must end in one of {', '.join(_FORMATS)}")

    if path.is_dir():
        raise UserInputError(f"'{path}' is a folder, not an audio file")

    check_parent(path)


def check_parent(path: Path) -> None:
    """Checks that a file can be made at ``path``: its folder exists and may be written.

    :raises UserInputError: it cannot.
    """
    if not path.parent.is_dir():
        raise UserInputError(
            f"'{path}' cannot be written: there is no folder '{path.parent}'",
            hint=None if path.parent.exists() else f"mkdir -p {path.parent}",
        )

    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserInputError(f"'{path}' cannot be written: no permission to write into '{path.parent}'")


def encode_audio(wave: Tensor, sample_rate: int, suffix: str) -> bytes:
    """Returns what a file of 16-bit wav or flac, or of ogg (Vorbis), would hold.

    :param wave: What is outside [-1, 1] is clipped. *Shape:* [1, N], float.
    :param suffix: Such as ``.flac``.
    :raises ValueError: ``wave`` has another shape, or is not finite.
    """
    import soundfile

    if wave.dim() != 2 or wave.size(0) != 1:
        raise ValueError(f"`wave` must be of shape [1, N], but is {list(wave.shape)} instead.")

    if not bool(wave.isfinite().all()):
        raise ValueError("`wave` must be finite, but holds NaN or infinity.")

    wave = wave.detach().clamp(-1.0, 1.0).squeeze(0).cpu()

    file_format, subtype = _FORMATS[suffix]

    # In memory: an error of the disk inside libsndfile's call-backs would be lost.
    content = BytesIO()

    with soundfile.SoundFile(
        content, "w", samplerate=sample_rate, channels=1, format=file_format, subtype=subtype
    ) as file:
        # In blocks: the Vorbis encoder overflows the stack on long ones.
        for block in wave.split(BLOCK_VALUES):
            file.write(block.numpy())

    return content.getvalue()
