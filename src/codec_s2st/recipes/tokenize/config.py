"""The configuration of the recipe ``tokenize``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from fairseq2.recipe.config import CommonSection, GangSection
from fairseq2.utils.validation import Validatable, ValidationResult
from typing_extensions import override

from codec_s2st.data.loudness import SILENCE_LUFS
from codec_s2st.data.tokenize import DEFAULT_MAX_SECONDS, DEFAULT_ROWS_PER_SHARD


@dataclass(kw_only=True)
class ArraySection:
    """Which of several jobs that share one OUT this one is; each may have several ranks."""

    index: int | None = None
    """Its number, from 0. By default SLURM says it (``SLURM_ARRAY_TASK_ID`` and its like)."""

    count: int | None = None
    """How many jobs there are. By default SLURM says it; 1 switches arrays off, where each task has its own OUT."""


@dataclass(kw_only=True)
class TokenizeConfig(Validatable):
    """Turns the audio of a manifest into token shards."""

    manifest: Path | None = None
    """The manifest, or the folder that holds its ``manifest.parquet``. There is no default."""

    codec: str = "codec_s2st_demo_codec"
    """The asset card of the codec."""

    num_streams: int | None = None
    """The number of code books to store, from the first one; all of the codec's if ``None``."""

    rows_per_shard: int = DEFAULT_ROWS_PER_SHARD
    """Shard k holds the rows from k * rows_per_shard. A shard is lost as a whole if a run is killed."""

    strict: bool = False
    """Whether to fail, after all else is done, if an utterance was quarantined."""

    max_seconds: float = DEFAULT_MAX_SECONDS
    """Utterances that are longer are quarantined."""

    trim_db: float | None = None
    """What is that many decibels below the loudest 20 ms of a recording is silence, and cut off both ends; 40 suits
    clean recordings. Nothing is cut off if ``None``."""

    trim_margin: float = 0.1
    """How many seconds of that silence are kept at either end."""

    loudness: float | None = None
    """The loudness that each recording is scaled to, in LUFS (ITU-R BS.1770-4), such as -23; never so loud that it
    clips. As it comes if ``None``."""

    num_readers: int = 1
    """The number of threads of each rank that read audio while the codec encodes."""

    array: ArraySection = field(default_factory=ArraySection)

    # A rank that is through waits for the others.
    gang: GangSection = field(default_factory=lambda: GangSection(timeout=24 * 60))

    # The shards lie in OUT itself, so that a second run finds them, whatever its configuration and number of ranks.
    common: CommonSection = field(default_factory=lambda: CommonSection(no_sweep_dir=True))

    @override
    def validate(self) -> ValidationResult:
        result = ValidationResult()

        for name in ("rows_per_shard", "max_seconds", "num_readers"):
            if not getattr(self, name) > 0:
                result.add_error(f"`{name}` must be greater than 0, but is {getattr(self, name)} instead.")

        if self.max_seconds == math.inf:
            result.add_error("`max_seconds` must be finite, but is infinite.")

        if self.trim_db is not None and not 0 < self.trim_db < math.inf:
            result.add_error(f"`trim_db` must be greater than 0, but is {self.trim_db} instead.")

        if not 0 <= self.trim_margin < math.inf:
            result.add_error(f"`trim_margin` must be greater than or equal to 0, but is {self.trim_margin} instead.")

        if self.loudness is not None and not SILENCE_LUFS < self.loudness <= 0:
            result.add_error(
                f"`loudness` must be above {SILENCE_LUFS:g} and at most 0 LUFS, but is {self.loudness} instead."
            )

        if self.num_streams is not None and self.num_streams < 1:
            result.add_error(f"`num_streams` must be greater than or equal to 1, but is {self.num_streams} instead.")

        return result
