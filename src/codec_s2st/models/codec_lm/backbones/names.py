"""The names of a decoder's parameters, here (fairseq2's) and in Hugging Face's checkpoints."""

from __future__ import annotations

import re
from typing import Final

EMBED: Final = "decoder_frontend.embed.weight"
HEAD: Final = "final_proj.weight"

HG_EMBED: Final = "model.embed_tokens.weight"
HG_HEAD: Final = "lm_head.weight"

_TOP: Final = {HG_EMBED: EMBED, HG_HEAD: HEAD, "model.norm.weight": "decoder.layer_norm.weight"}

_IN_LAYER: Final = {
    "input_layernorm": "self_attn_layer_norm",
    "self_attn.q_proj": "self_attn.q_proj",
    "self_attn.k_proj": "self_attn.k_proj",
    "self_attn.v_proj": "self_attn.v_proj",
    "self_attn.o_proj": "self_attn.output_proj",
    "self_attn.q_norm": "self_attn.q_norm",
    "self_attn.k_norm": "self_attn.k_norm",
    "post_attention_layernorm": "ffn_layer_norm",
    "mlp.gate_proj": "ffn.gate_proj",
    "mlp.up_proj": "ffn.inner_proj",
    "mlp.down_proj": "ffn.output_proj",
}

_TOP_REVERSED: Final = {ours: theirs for theirs, ours in _TOP.items()}
_IN_LAYER_REVERSED: Final = {ours: theirs for theirs, ours in _IN_LAYER.items()}

_HG_LAYER: Final = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_LAYER: Final = re.compile(r"decoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def from_hugging_face(key: str) -> str | None:
    """Returns our name of a parameter; ``None`` if there is no such parameter here."""
    if key in _TOP:
        return _TOP[key]

    match = _HG_LAYER.fullmatch(key)

    if match is None or match.group(2) not in _IN_LAYER:
        return None

    return f"decoder.layers.{match.group(1)}.{_IN_LAYER[match.group(2)]}.{match.group(3)}"


def to_hugging_face(key: str) -> str | None:
    """Returns Hugging Face's name of a parameter; ``None`` if it has none."""
    if key in _TOP_REVERSED:
        return _TOP_REVERSED[key]

    match = _LAYER.fullmatch(key)

    if match is None or match.group(2) not in _IN_LAYER_REVERSED:
        return None

    return f"model.layers.{match.group(1)}.{_IN_LAYER_REVERSED[match.group(2)]}.{match.group(3)}"
