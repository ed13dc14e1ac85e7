"""The embedded codec, which the project trains and ships itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairseq2.runtime.dependency import DependencyContainer


def register(container: DependencyContainer) -> None:
    """Registers the family ``codec_s2st_melcodec``."""
    from codec_s2st.codecs.melcodec.hub import register_melcodec

    register_melcodec(container)
