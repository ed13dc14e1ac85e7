"""Reads checkpoints in the layout of Hugging Face's ``EncodecModel``."""

from __future__ import annotations

import re
from typing import Final

import torch
from fairseq2.models.utils.checkpoint import convert_state_dict
from torch import Tensor

from codec_s2st.codecs.encodec.config import EncodecConfig

# The two layouts of a weight-normalised weight: names of its magnitude and of its direction.
_WEIGHT_NORM_SUFFIXES: Final = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)


def encodec_key_map(config: EncodecConfig) -> dict[str, str]:
    """Returns patterns of Hugging Face's keys, and ours."""
    # Their names do not tell a transposed convolution; its place does: after two layers, each stage of the decoder is
    # an activation, a transposed convolution and the residual blocks.
    stage_size = 2 + config.num_residual_layers

    upsamplers = "|".join(str(3 + stage * stage_size) for stage in range(len(config.ratios)))

    return {
        rf"^decoder\.layers\.({upsamplers})\.conv\.": r"decoder.model.\1.convtr.convtr.",
        r"^(encoder|decoder)\.layers\.([0-9]+)\.conv\.": r"\1.model.\2.conv.conv.",
        r"^(encoder|decoder)\.layers\.([0-9]+)\.(block\.[0-9]+|shortcut)\.conv\.": r"\1.model.\2.\3.conv.conv.",
        r"^(encoder|decoder)\.layers\.([0-9]+)\.lstm\.": r"\1.model.\2.lstm.",
        r"^quantizer\.layers\.([0-9]+)\.codebook\.": r"quantizer.vq.layers.\1._codebook.",
    }


def convert_encodec_state_dict(state_dict: dict[str, object], config: EncodecConfig) -> dict[str, object]:
    """Turns a state dict of Hugging Face's layout into ours; one that is ours already comes back as it is."""
    converted = convert_state_dict(_fold_weight_norm(state_dict), encodec_key_map(config))

    return {key: value for key, value in converted.items() if _level_of(key) < config.num_codebooks}


def _fold_weight_norm(state_dict: dict[str, object]) -> dict[str, object]:
    folded = dict(state_dict)

    for magnitude_suffix, direction_suffix in _WEIGHT_NORM_SUFFIXES:
        for key, magnitude in state_dict.items():
            if not key.endswith(magnitude_suffix):
                continue

            name = key.removesuffix(magnitude_suffix)

            direction = state_dict.get(name + direction_suffix)

            # Half a pair stays as it is, for the loader to name it.
            if isinstance(magnitude, Tensor) and isinstance(direction, Tensor):
                del folded[key], folded[name + direction_suffix]

                # The operator that the normalised module itself would run, so that the weight is the same to the bit.
                folded[name + ".weight"] = torch._weight_norm(direction, magnitude, 0)

    return folded


def _level_of(key: str) -> int:
    match = re.match(r"quantizer\.vq\.layers\.([0-9]+)\.", key)

    return int(match[1]) if match else -1
