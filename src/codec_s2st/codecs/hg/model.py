"""What the adapters share. Legend: B batch, N sample, T codec frame, Q stream."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.nn.functional import pad

from codec_s2st.codecs.codec import Codec
from codec_s2st.codecs.hg.config import HgCodecConfig
from codec_s2st.errors import UserInputError
from codec_s2st.tokens.streams import StreamSpec


class HgCodec(Codec):
    """A codec on a network of transformers.

    An adapter builds the network, says what spec it has, and calls it.
    """

    network: Any

    def __init__(self, config: HgCodecConfig) -> None:
        """
        :raises UserInputError: the network that the configuration describes has another spec than it says, or is one
            that codes alone cannot carry.
        :raises CodecS2STError: transformers is not installed, or too old.
        """
        super().__init__(config.spec)

        self.config = config

        self.network = self._make_network(config)

        found = self._network_spec()

        if found != config.spec:
            raise UserInputError(
                f"the configuration of the codec says {_describe(config.spec)}, but its network has {_describe(found)}"
            )

    @abstractmethod
    def _make_network(self, config: HgCodecConfig) -> Module:
        """Builds transformers' model, with random weights."""

    @abstractmethod
    def _network_spec(self) -> StreamSpec:
        """Returns the spec that the network has, by transformers' own configuration."""

    def _pad_to_frames(self, wave: Tensor) -> Tensor:
        """Fills the last frame of ``wave`` [B, 1, N] with silence, as transformers' feature extractors do."""
        return pad(wave, (0, -wave.size(-1) % self.config.hop_length))


def _describe(spec: StreamSpec) -> str:
    sizes = "x".join(str(size) for size in spec.codebook_sizes)

    return f"{spec.num_streams} code books {sizes} with a hop of {spec.hop_length} at {spec.sample_rate} Hz"
