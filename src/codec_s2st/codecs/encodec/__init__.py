"""EnCodec, on the network of the ``encodec`` package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairseq2.runtime.dependency import DependencyContainer


def register(container: DependencyContainer) -> None:
    """Registers the family ``codec_s2st_encodec``."""
    from codec_s2st.codecs.encodec.hub import register_encodec

    register_encodec(container)
