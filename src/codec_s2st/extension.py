"""The only place that registers objects of codec_s2st with fairseq2."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from fairseq2.composition import register_file_assets
from fairseq2.runtime.dependency import DependencyContainer

from codec_s2st.errors import CodecS2STError
from codec_s2st.share import assets_dir

# One family, one folder, one line: the package's `register(container)` is called once.
_FAMILIES: Final[tuple[str, ...]] = (
    "codec_s2st.checkpoints",
    "codec_s2st.codecs.encodec",
    "codec_s2st.codecs.hg",
    "codec_s2st.codecs.melcodec",
    "codec_s2st.data",
    "codec_s2st.demo.family",
    "codec_s2st.models.codec_lm",
)


def register_extension(container: DependencyContainer) -> None:
    """Registers every family and every asset card.

    :raises CodecS2STError: if a family cannot be registered. A ``TypeError`` in particular must not get out: fairseq2
        reports any other error of an extension as a warning, but with that one every fairseq2 program of the
        environment dies.
    """
    for name in _FAMILIES:
        try:
            import_module(name).register(container)
        except TypeError as ex:
            raise CodecS2STError(f"{name} cannot be registered with fairseq2: {ex}") from ex

    register_file_assets(container, assets_dir())
