"""Which models :class:`~.fused.FusedDecoder` computes as fairseq2 does."""

from __future__ import annotations

from fairseq2.models.transformer import (
    CausalAttentionBias,
    GLUFeedForwardNetwork,
    StandardMultiheadAttention,
    TransformerNormOrder,
)
from fairseq2.models.transformer.sdpa.torch import TorchSDPA
from fairseq2.models.transformer_lm import StandardTransformerLMDecoder, StandardTransformerLMDecoderLayer
from fairseq2.nn import AdditiveResidualConnect, ColumnShardedLinear, Linear, RMSNorm, RotaryEncoder, RowShardedLinear
from torch.nn import Module, Parameter, SiLU

from codec_s2st.models.codec_lm.attention import DocumentSDPA
from codec_s2st.models.codec_lm.backbones.positions import HalvesRotaryEncoder
from codec_s2st.models.codec_lm.lora import LORA
from codec_s2st.models.codec_lm.model import CodecLM


def why_unknown(model: CodecLM) -> str | None:
    """Returns what there is in a model that :class:`~.fused.FusedDecoder` does not compute; ``None`` if nothing."""
    decoders = [model.decoder] if model.heads.depth is None else [model.decoder, model.heads.depth.decoder]

    if model.training:
        return "a model in training"

    if any(type(parameter) is not Parameter for parameter in model.parameters()):
        return "parameters that are parts of larger ones"

    if len({(parameter.device, parameter.dtype) for parameter in _without_updates(model)}) > 1:
        return "parameters on several devices, or of several types"

    if model.decoder_frontend.embed.tp_gang.size > 1 or model.heads.tp_gang.size > 1:
        return "tensor parallelism"

    for name, module in model.named_modules():
        if _has_hooks(module) and not hasattr(module, LORA):
            return f"hooks on `{name}`"

    for decoder in decoders:
        reason = _why_unknown_decoder(decoder)

        if reason is not None:
            return reason

    return None


def _without_updates(model: CodecLM) -> list[Parameter]:
    return [parameter for name, parameter in model.named_parameters() if f".{LORA}." not in name]


def _has_hooks(module: Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _why_unknown_decoder(decoder: Module) -> str | None:
    if type(decoder) is not StandardTransformerLMDecoder or decoder._layer_hooks or not len(decoder.layers):
        return f"a decoder of type {type(decoder).__name__}"

    if not _is_plain_norm(decoder.layer_norm):
        return "a last norm of another kind"

    for layer in decoder.layers:
        if type(layer) is not StandardTransformerLMDecoderLayer or layer.norm_order is not TransformerNormOrder.PRE:
            return f"layers of type {type(layer).__name__}"

        reason = _why_unknown_layer(layer)

        if reason is not None:
            return reason

    return None


def _why_unknown_layer(layer: StandardTransformerLMDecoderLayer) -> str | None:
    attention, ffn = layer.self_attn, layer.ffn

    if type(attention) is not StandardMultiheadAttention:
        return f"attention of type {type(attention).__name__}"

    if type(ffn) is not GLUFeedForwardNetwork or type(ffn.gate_activation) is not SiLU:
        return f"feed-forward networks of type {type(ffn).__name__}"

    if getattr(ffn, "activation_sparsity", 0.0):
        return "sparse activations"

    if not all(type(it) is AdditiveResidualConnect for it in (layer.self_attn_residual, layer.ffn_residual)):
        return "residual connections of another kind"

    if not all(_is_plain_norm(norm) for norm in (layer.self_attn_layer_norm, layer.ffn_layer_norm)):
        return "norms of another kind"

    query_norm, key_norm = attention.q_norm, attention.k_norm

    if attention.v_norm is not None or (query_norm is None) != (key_norm is None):
        return "norms of queries, keys and values of another kind"

    if isinstance(query_norm, RMSNorm) and isinstance(key_norm, RMSNorm):
        if not (_is_plain_norm(query_norm) and _is_plain_norm(key_norm) and query_norm.eps == key_norm.eps):
            return "norms of queries and keys of another kind"
    elif query_norm is not None:
        return "norms of queries and keys of another kind"

    if type(attention.pos_encoder) not in (HalvesRotaryEncoder, RotaryEncoder):
        return f"positions of type {type(attention.pos_encoder).__name__}"

    sdpa = attention.sdpa

    if not isinstance(sdpa, DocumentSDPA) or type(sdpa.inner) is not TorchSDPA or sdpa.inner.scale is not None:
        return "another attention"

    if not isinstance(sdpa.inner.bias, CausalAttentionBias) or sdpa.inner.bias.attn_window_len is not None:
        return "attention that is not simply causal"

    projections = (attention.q_proj, attention.k_proj, attention.v_proj)

    if len({projection.bias is None for projection in projections}) > 1:
        return "biases in some projections of the attention only"

    for projection in (*projections, attention.output_proj, ffn.gate_proj, ffn.inner_proj, ffn.output_proj):
        if type(projection) not in (Linear, ColumnShardedLinear, RowShardedLinear):
            return f"projections of type {type(projection).__name__}"

    return None


def _is_plain_norm(norm: object) -> bool:
    return type(norm) is RMSNorm and norm.weight is not None and norm.bias is None and len(norm.normalized_shape) == 1
