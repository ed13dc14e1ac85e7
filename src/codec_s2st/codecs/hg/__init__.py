"""Codecs on the networks of transformers: Mimi, DAC, X-Codec, EnCodec. One small adapter each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairseq2.runtime.dependency import DependencyContainer


def register(container: DependencyContainer) -> None:
    """Registers the family ``codec_s2st_hg``."""
    from codec_s2st.codecs.hg.hub import register_hg

    register_hg(container)
