"""What a language model may know about a codec. Legend: T codec frame, Q stream."""

from __future__ import annotations

from dataclasses import dataclass

from codec_s2st.tokens.units import Frames, Samples, Seconds


@dataclass(frozen=True)
class StreamSpec:
    """The shape of a codec's output: ``codes [T, Q]`` with ``codes[t, q] < codebook_sizes[q]``."""

    codebook_sizes: tuple[int, ...]
    """The number of entries of each of the Q code books; they may differ."""

    hop_length: int
    """The number of samples that one frame stands for."""

    sample_rate: int
    """The number of samples a second."""

    def __post_init__(self) -> None:
        if not self.codebook_sizes:
            raise ValueError("`codebook_sizes` must hold at least one size, but is empty instead.")

        if any(size < 1 for size in self.codebook_sizes):
            raise ValueError(f"`codebook_sizes` must be positive, but is {self.codebook_sizes} instead.")

        if self.hop_length < 1:
            raise ValueError(f"`hop_length` must be positive, but is {self.hop_length} instead.")

        if self.sample_rate < 1:
            raise ValueError(f"`sample_rate` must be positive, but is {self.sample_rate} instead.")

    @property
    def num_streams(self) -> int:
        """The number of code books, Q."""
        return len(self.codebook_sizes)

    @property
    def frame_rate(self) -> float:
        """Frames a second; it need not be an integer."""
        return self.sample_rate / self.hop_length

    def first(self, num_streams: int) -> StreamSpec:
        """Returns the spec of the first ``num_streams`` code books.

        :raises ValueError: ``num_streams`` is not in 1..Q.
        """
        if not 1 <= num_streams <= self.num_streams:
            raise ValueError(f"`num_streams` must be between 1 and {self.num_streams}, but is {num_streams} instead.")

        return StreamSpec(self.codebook_sizes[:num_streams], self.hop_length, self.sample_rate)

    def frames_in(self, samples: Samples) -> Frames:
        """Returns the number of frames that cover ``samples``; the last one may be partly empty."""
        return Frames(-(-samples // self.hop_length))

    def samples_in(self, frames: Frames) -> Samples:
        """Returns the number of samples of ``frames`` whole frames."""
        return Samples(frames * self.hop_length)

    def seconds_in(self, frames: Frames) -> Seconds:
        """Returns the duration of ``frames`` whole frames."""
        return Seconds(frames * self.hop_length / self.sample_rate)
