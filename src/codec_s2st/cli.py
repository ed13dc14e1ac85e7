"""codec-s2st."""

from __future__ import annotations
