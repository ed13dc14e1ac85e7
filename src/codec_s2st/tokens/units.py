"""Units that must not be mixed up: each is a type of its own to the type checker and a plain number at run time."""

from __future__ import annotations

from typing import NewType

Seconds = NewType("Seconds", float)
"""A duration in seconds."""

Samples = NewType("Samples", int)
"""A number of audio samples a channel."""

Frames = NewType("Frames", int)
"""A number of codec frames, T."""

Steps = NewType("Steps", int)
"""A number of steps of a language-model sequence, S."""
