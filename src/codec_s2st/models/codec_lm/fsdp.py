"""How a codec_lm model is wrapped for FSDP."""

from __future__ import annotations

from fairseq2.error import NotSupportedError
from fairseq2.models.utils.fsdp import apply_layerwise_fsdp
from fairseq2.nn.fsdp import FSDPWrapper
from torch.nn import Module

from codec_s2st.models.codec_lm.model import CodecLM


def apply_fsdp_to_codec_lm(model: CodecLM, granularity: str, wrapper: FSDPWrapper) -> Module:
    """Wraps each decoder layer (``layer``) or the whole decoder (``stack``).

    :raises NotSupportedError: ``granularity`` is neither.
    """
    if granularity == "layer":
        apply_layerwise_fsdp(model.decoder.layers, wrapper)

        return model

    if granularity == "stack":
        model.register_module("decoder", wrapper(model.decoder))

        return model

    raise NotSupportedError(f"`granularity` must be 'layer' or 'stack', but is '{granularity}' instead.")
