"""Which weights a figure is of, or by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Weights that have a name."""

    name: str
    """Such as the name of the asset card."""

    weights_hash: str
    """SHA-256, in hex."""
