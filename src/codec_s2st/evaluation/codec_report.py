"""What a codec does to recordings. Legend: B batch, N sample, T codec frame, Q stream."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from codec_s2st.codecs.audio import read_audio
from codec_s2st.codecs.codec import Codec
from codec_s2st.errors import UserInputError
from codec_s2st.evaluation.code_use import CodeCounter, LevelUse
from codec_s2st.evaluation.signal import SIGNAL_METRICS, Measurement
from codec_s2st.evaluation.table import plain
from codec_s2st.tokens.fingerprint import CodecFingerprint

CODEC_REPORT_FORMAT: Final = 1


@dataclass(frozen=True)
class RecordingReport:
    """One recording."""

    file: Path

    seconds: float

    scores: dict[str, Measurement]


@dataclass(frozen=True, kw_only=True)
class CodecReport:
    """A codec and what it does to some recordings, each compared with itself at the codec's sample rate."""

    codec: CodecFingerprint

    recordings: tuple[RecordingReport, ...]

    num_frames: int

    levels: tuple[LevelUse, ...]

    encode_seconds: float
    decode_seconds: float
    """What all recordings took, of the wall clock."""

    device: str

    num_threads: int

    @property
    def seconds(self) -> float:
        return sum(recording.seconds for recording in self.recordings)

    @property
    def bitrate(self) -> float:
        """Bits a second, where every code takes log2 of its book's size."""
        return self.codec.spec.frame_rate * sum(math.log2(level.size) for level in self.levels)

    @property
    def entropy_rate(self) -> float:
        """Bits a second, where every code takes what its frequency in these recordings allows."""
        return self.codec.spec.frame_rate * sum(level.entropy for level in self.levels)

    def mean(self, metric: str) -> tuple[Measurement, int]:
        """Returns the mean over the recordings that have a value, and their number; or why the first one has none."""
        scores = [recording.scores[metric] for recording in self.recordings]

        values = [score.value for score in scores if score.value is not None]

        if not values:
            return scores[0], 0

        return Measurement(sum(values) / len(values)), len(values)

    def to_json(self) -> dict[str, Any]:
        """Returns what ``--json`` prints."""
        spec = self.codec.spec

        return {
            "format": CODEC_REPORT_FORMAT,
            "codec": {"name": self.codec.name, "weights_hash": self.codec.weights_hash, "digest": self.codec.digest},
            "sample_rate": spec.sample_rate,
            "hop_length": spec.hop_length,
            "frame_rate": spec.frame_rate,
            "num_streams": spec.num_streams,
            "bitrate": self.bitrate,
            "entropy_rate": self.entropy_rate,
            "num_recordings": len(self.recordings),
            "seconds": self.seconds,
            "num_frames": self.num_frames,
            "scores": {metric.name: self._score_to_json(metric.name) for metric in SIGNAL_METRICS},
            "real_time_factor": {
                "encode": self.encode_seconds / self.seconds,
                "decode": self.decode_seconds / self.seconds,
                "device": self.device,
                "num_threads": self.num_threads,
            },
            "levels": [
                {"size": level.size, "num_used": level.num_used, "use": level.use, "perplexity": level.perplexity}
                for level in self.levels
            ],
            "recordings": [
                {
                    "file": str(recording.file),
                    "seconds": recording.seconds,
                    **{name: score.value for name, score in recording.scores.items()},
                }
                for recording in self.recordings
            ],
        }

    def to_text(self) -> str:
        """Returns what is printed for people."""
        spec = self.codec.spec

        lines = [
            f"{self.codec.name}: {spec.frame_rate:g} frames a second of {spec.num_streams} code book(s) at "
            f"{spec.sample_rate} Hz, {self.bitrate / 1000:.3f} kbit/s ({self.entropy_rate / 1000:.3f} by the entropy "
            f"of these codes)",
            f"{len(self.recordings)} recording(s) of {self.seconds:.1f} s in all, {self.num_frames} frames",
            "",
        ]

        for metric in SIGNAL_METRICS:
            mean, num = self.mean(metric.name)

            if mean.value is None:
                text = f"not measured: {mean.not_measured}"
            else:
                part = "" if num == len(self.recordings) else f"   (of {num} of {len(self.recordings)} recordings)"

                text = f"{mean.value:.3f}{part}"

            lines.append(f"{metric.label:<20}  {text}")

        threads = f", {self.num_threads} thread(s)" if self.device == "cpu" else ""

        lines.append(
            f"{'real-time factor':<20}  {self.encode_seconds / self.seconds:.4f} to encode, "
            f"{self.decode_seconds / self.seconds:.4f} to decode ({self.device}{threads})"
        )

        cells = [["level", "", "codes", "used", "share", "perplexity"]]

        for idx, level in enumerate(self.levels):
            cells.append(
                [str(idx), "", str(level.size), str(level.num_used), f"{level.use:.3f}", f"{level.perplexity:.1f}"]
            )

        return "\n".join([*lines, "", plain(cells)])

    def _score_to_json(self, metric: str) -> dict[str, Any]:
        mean, num = self.mean(metric)

        return {"value": mean.value, "num_recordings": num, "not_measured": mean.not_measured}


def report_codec(codec: Codec, files: Iterable[Path], *, device: torch.device) -> CodecReport:
    """Encodes and decodes recordings, one at a time.

    :param codec: As :func:`codec_s2st.codecs.load_codec` returns it, on ``device``.
    :raises UserInputError: there are no recordings, or one cannot be read.
    """
    spec = codec.spec

    counter = CodeCounter(spec.codebook_sizes)

    recordings: list[RecordingReport] = []

    encode_seconds, decode_seconds = 0.0, 0.0

    for file in files:
        wave = read_audio(file, sample_rate=spec.sample_rate)[None]

        if not recordings:
            # The first call of a network pays for what the others find done.
            codec.decode(codec.encode(wave[..., : spec.sample_rate].to(device)))

        codes, seconds = _timed(codec.encode, wave.to(device), device)

        encode_seconds += seconds

        decoded, seconds = _timed(codec.decode, codes, device)

        decode_seconds += seconds

        counter.add(codes[0])

        reference, estimate = wave[0, 0], decoded[0, 0, : wave.size(-1)].cpu()

        scores = {metric.name: metric.compute(reference, estimate, spec.sample_rate) for metric in SIGNAL_METRICS}

        recordings.append(RecordingReport(file, wave.size(-1) / spec.sample_rate, scores))

    if not recordings:
        raise UserInputError("there are no recordings to report on")

    return CodecReport(
        codec=codec.fingerprint,
        recordings=tuple(recordings),
        num_frames=counter.num_frames,
        levels=tuple(counter.levels()),
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        device=str(device),
        num_threads=torch.get_num_threads(),
    )


def _timed(function: Callable[[Tensor], Tensor], value: Tensor, device: torch.device) -> tuple[Tensor, float]:
    begin = time.perf_counter()

    output = function(value)

    if device.type == "cuda":
        torch.cuda.synchronize(device)

    return output, time.perf_counter() - begin
