"""codec_s2st: codec-based speech language models for speech-to-speech translation, as a fairseq2 extension.

This module is imported by *every* fairseq2 process of the environment, so it stays light: heavy imports are inside
functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codec_s2st._libsndfile import preload_libsndfile

if TYPE_CHECKING:
    from fairseq2.runtime.dependency import DependencyContainer

__version__ = "0.1.0"

# fairseq2 cannot be imported where the dynamic linker does not find libsndfile.
preload_libsndfile()


def setup_fairseq2_extension(container: DependencyContainer) -> None:
    """Registers our families and asset cards with fairseq2; the target of the entry point ``fairseq2.extension``."""
    from codec_s2st.extension import register_extension

    register_extension(container)
