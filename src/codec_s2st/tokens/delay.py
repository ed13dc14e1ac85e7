"""How the Q codes of a frame are laid out over the steps of a sequence. Legend: S step, T codec frame, Q stream.

A pattern is a pure, invertible map between ``codes [T, Q]`` and ``steps [S, Q]``. Where it puts no code, the step holds
the filler that the caller names, and ``validity`` is false.

    parallel, Q = 3          delay [0, 1, 2]              flatten
    step   0  1  2  3        step   0  1  2  3  4  5      step   0  1  2  3  4  5
    q = 0  a0 a1 a2 a3       q = 0  a0 a1 a2 a3  .  .     q = 0  a0  .  . a1  .  .
    q = 1  b0 b1 b2 b3       q = 1   . b0 b1 b2 b3  .     q = 1   . b0  .  . b1  .
    q = 2  c0 c1 c2 c3       q = 2   .  . c0 c1 c2 c3     q = 2   .  . c0  .  . c1
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from codec_s2st.tokens.units import Frames, Steps


class StreamPattern(ABC):
    """Maps frames to steps. Every code sits at exactly one (step, stream); time never runs backwards in a stream."""

    @property
    @abstractmethod
    def num_streams(self) -> int:
        """The number of streams, Q."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The canonical spelling, which :func:`parse_pattern` reads."""

    @property
    @abstractmethod
    def tail_steps(self) -> int:
        """The number of last steps in which stream 0 has ended and other streams have not.

        Stream 0 always leads, so a generator learns there that the segment ends.
        """

    @abstractmethod
    def num_steps(self, num_frames: Frames) -> Steps:
        """The number of steps that hold ``num_frames`` frames."""

    @abstractmethod
    def num_frames(self, num_steps: Steps) -> Frames:
        """The number of whole frames that ``num_steps`` steps hold; the inverse of :meth:`num_steps`."""

    @abstractmethod
    def step_index(self, num_frames: Frames) -> Tensor:
        """The step of each code. *Shape:* [T, Q], int64."""

    def validity(self, num_frames: Frames) -> Tensor:
        """True where a step holds a code. *Shape:* [S, Q], bool."""
        mask = torch.zeros((self.num_steps(num_frames), self.num_streams), dtype=torch.bool)

        return mask.scatter_(0, self.step_index(num_frames), True)

    def apply(self, codes: Tensor, filler: int) -> Tensor:
        """Lays ``codes`` [T, Q] out over steps [S, Q]; places without a code hold ``filler``.

        :raises ValueError: ``codes`` does not have Q columns.
        """
        self._check(codes, "codes")

        num_frames = Frames(codes.size(0))

        steps = codes.new_full((self.num_steps(num_frames), self.num_streams), filler)

        return steps.scatter_(0, self.step_index(num_frames).to(codes.device), codes)

    def revert(self, steps: Tensor) -> Tensor:
        """Returns the ``codes`` [T, Q] of ``steps`` [S, Q]; steps after the last whole frame are dropped.

        :raises ValueError: ``steps`` does not have Q columns.
        """
        self._check(steps, "steps")

        num_frames = self.num_frames(Steps(steps.size(0)))

        return steps.gather(0, self.step_index(num_frames).to(steps.device))

    def _check(self, tensor: Tensor, name: str) -> None:
        if tensor.dim() != 2 or tensor.size(1) != self.num_streams:
            raise ValueError(f"`{name}` must be of shape [*, {self.num_streams}], but is {list(tensor.shape)} instead.")


@dataclass(frozen=True)
class DelayPattern(StreamPattern):
    """Stream q runs ``delays[q]`` steps late. ``[0] * Q`` is *parallel*, ``[0, 1, .., Q-1]`` is MusicGen's *delay*."""

    delays: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.delays:
            raise ValueError("`delays` must hold at least one delay, but is empty instead.")

        if self.delays[0] != 0 or min(self.delays) < 0:
            raise ValueError(f"`delays` must start with 0 and never be negative, but is {self.delays} instead.")

    @classmethod
    def parallel(cls, num_streams: int) -> DelayPattern:
        return cls((0,) * num_streams)

    @classmethod
    def staircase(cls, num_streams: int) -> DelayPattern:
        return cls(tuple(range(num_streams)))

    @property
    @override
    def num_streams(self) -> int:
        return len(self.delays)

    @property
    def max_delay(self) -> int:
        return max(self.delays)

    @property
    @override
    def tail_steps(self) -> int:
        return self.max_delay

    @property
    @override
    def name(self) -> str:
        if self.max_delay == 0:
            return "parallel"

        if self.delays == tuple(range(self.num_streams)):
            return "delay"

        return "delay:" + ",".join(str(delay) for delay in self.delays)

    @override
    def num_steps(self, num_frames: Frames) -> Steps:
        return Steps(num_frames + self.max_delay if num_frames else 0)

    @override
    def num_frames(self, num_steps: Steps) -> Frames:
        return Frames(max(0, num_steps - self.max_delay))

    @override
    def step_index(self, num_frames: Frames) -> Tensor:
        return torch.arange(num_frames)[:, None] + torch.tensor(self.delays)

    @override
    def apply(self, codes: Tensor, filler: int) -> Tensor:
        if self.max_delay:
            return super().apply(codes, filler)

        self._check(codes, "codes")

        return codes.clone()


@dataclass(frozen=True)
class FlattenPattern(StreamPattern):
    """One code a step: stream q of frame t sits at step ``t * Q + q``."""

    streams: int

    def __post_init__(self) -> None:
        if self.streams < 1:
            raise ValueError(f"`streams` must be positive, but is {self.streams} instead.")

    @property
    @override
    def num_streams(self) -> int:
        return self.streams

    @property
    @override
    def name(self) -> str:
        return "flatten"

    @property
    @override
    def tail_steps(self) -> int:
        return 0

    @override
    def num_steps(self, num_frames: Frames) -> Steps:
        return Steps(num_frames * self.streams)

    @override
    def num_frames(self, num_steps: Steps) -> Frames:
        return Frames(num_steps // self.streams)

    @override
    def step_index(self, num_frames: Frames) -> Tensor:
        return torch.arange(num_frames * self.streams).view(num_frames, self.streams)


def parse_pattern(name: str, num_streams: int) -> StreamPattern:
    """Returns the pattern called ``name``: ``parallel``, ``delay``, ``flatten``, or ``delay:0,1,1`` with Q delays.

    :raises ValueError: ``name`` is none of these, or its delays are not Q.
    """
    if name == "parallel":
        return DelayPattern.parallel(num_streams)

    if name == "delay":
        return DelayPattern.staircase(num_streams)

    if name == "flatten":
        return FlattenPattern(num_streams)

    prefix, _, delays = name.partition(":")

    if prefix == "delay" and all(part.strip().isdigit() for part in delays.split(",")):
        pattern = DelayPattern(tuple(int(part) for part in delays.split(",")))

        if pattern.num_streams == num_streams:
            return pattern

        raise ValueError(f"the stream pattern '{name}' must hold {num_streams} delays")

    raise ValueError(f"the stream pattern must be parallel, delay, flatten or delay:0,.., but is '{name}' instead")
