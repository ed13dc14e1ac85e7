"""The configuration of a codec on a network of transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from fairseq2.utils.validation import Validatable, ValidationResult

from codec_s2st.tokens.streams import StreamSpec

HG_FAMILY: Final = "codec_s2st_hg"

ADAPTERS: Final = {
    "dac": "codec_s2st.codecs.hg.dac:DacCodec",
    "encodec": "codec_s2st.codecs.hg.encodec:HgEncodecCodec",
    "mimi": "codec_s2st.codecs.hg.mimi:MimiCodec",
    "xcodec": "codec_s2st.codecs.hg.xcodec:XCodec",
}
"""The class behind each value of :attr:`HgCodecConfig.adapter`."""


@dataclass(kw_only=True)
class HgCodecConfig(Validatable):
    """What is known of a codec without its weights and without transformers, and how to build its network.

    The defaults are those of EnCodec 24 kHz.
    """

    adapter: str = "encodec"
    """The kind of network: ``dac``, ``encodec``, ``mimi`` or ``xcodec``."""

    sample_rate: int = 24_000
    """Samples a second."""

    hop_length: int = 320
    """Samples a frame."""

    codebook_sizes: list[int] = field(default_factory=lambda: [1024] * 32)
    """The number of codes of each level. It must agree with the network that ``network`` describes."""

    network: dict[str, object] = field(default_factory=dict)
    """Arguments of transformers' configuration class (``DacConfig``, ``EncodecConfig``, ``MimiConfig``,
    ``XcodecConfig``), as ``config.json`` of a checkpoint has them; what is absent has the default of that class."""

    @property
    def spec(self) -> StreamSpec:
        return StreamSpec(tuple(self.codebook_sizes), self.hop_length, self.sample_rate)

    def validate(self) -> ValidationResult:
        result = ValidationResult()

        if self.adapter not in ADAPTERS:
            result.add_error(f"`adapter` must be one of {', '.join(ADAPTERS)}, but is '{self.adapter}' instead.")

        for name in ("sample_rate", "hop_length"):
            if getattr(self, name) < 1:
                result.add_error(f"`{name}` must be greater than or equal to 1, but is {getattr(self, name)} instead.")

        if not self.codebook_sizes or min(self.codebook_sizes) < 1:
            result.add_error(f"`codebook_sizes` must hold positive numbers, but is {self.codebook_sizes} instead.")

        return result
