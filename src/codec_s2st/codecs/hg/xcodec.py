"""X-Codec. Legend: B batch, N sample, T codec frame, Q stream."""

from __future__ import annotations

from math import prod
from typing import Any, Final, final

from torch import Tensor
from torch.nn import Module
from typing_extensions import override

from codec_s2st.codecs.hg.config import HgCodecConfig
from codec_s2st.codecs.hg.dac import DERIVED
from codec_s2st.codecs.hg.library import import_from_transformers, make_config
from codec_s2st.codecs.hg.model import HgCodec
from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.tokens.streams import StreamSpec

_SEMANTIC_CONFIGS: Final = {"hubert": "HubertConfig", "wavlm": "WavLMConfig"}


@final
class XCodec(HgCodec):
    """Transformers' X-Codec: a DAC and a HuBERT, or WavLM, share the code books."""

    @override
    def _make_network(self, config: HgCodecConfig) -> Module:
        config_kls, model_kls = import_from_transformers("XcodecConfig", "XcodecModel")

        arguments = dict(config.network)

        # Transformers would download the configuration of a semantic model that is given by name.
        for name, make_part in (
            ("acoustic_model_config", _make_acoustic_config),
            ("semantic_model_config", _make_semantic_config),
        ):
            part = arguments.get(name)

            if part is None:
                continue

            if not isinstance(part, dict):
                raise UserInputError(f"`network.{name}` must be a mapping, but is of type {type(part).__name__}")

            arguments[name] = make_part(part)

        network_config = make_config(config_kls, arguments)

        semantic_hop = prod(network_config.semantic_model_config.conv_stride) * prod(network_config.strides)

        if semantic_hop != network_config.hop_length:
            raise UserInputError(
                f"the acoustic part of the X-Codec has a hop of {network_config.hop_length}, but its semantic part has "
                f"{semantic_hop}"
            )

        network: Module = model_kls(network_config)

        return network

    @override
    def _network_spec(self) -> StreamSpec:
        config = self.network.config

        return StreamSpec((config.codebook_size,) * config.num_quantizers, config.hop_length, config.sample_rate)

    @override
    def _do_encode(self, wave: Tensor, num_streams: int) -> Tensor:
        # Its bandwidths do not name every number of code books; that of the last one is all of them.
        bandwidth = self.network.config.target_bandwidths[-1]

        codes: Tensor = self.network.encode(self._pad_to_frames(wave), bandwidth=bandwidth).audio_codes

        return codes[:, :num_streams]

    @override
    def _do_decode(self, codes: Tensor) -> Tensor:
        wave: Tensor = self.network.decode(codes).audio_values

        return wave


def _make_acoustic_config(arguments: dict[str, object]) -> Any:
    (kls,) = import_from_transformers("DacConfig")

    return make_config(kls, arguments, extra=DERIVED)


def _make_semantic_config(arguments: dict[str, object]) -> Any:
    rest = dict(arguments)

    model_type = rest.pop("model_type", "hubert")

    if model_type not in _SEMANTIC_CONFIGS:
        raise unknown_name("model_type of `network.semantic_model_config`", str(model_type), _SEMANTIC_CONFIGS)

    (kls,) = import_from_transformers(_SEMANTIC_CONFIGS[str(model_type)])

    return make_config(kls, rest)
