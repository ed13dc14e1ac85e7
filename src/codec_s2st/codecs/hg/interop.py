"""Reads checkpoints as transformers' ``save_pretrained`` writes them."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from codec_s2st.codecs.hg.config import HgCodecConfig

_PREFIX: Final = "network."

# The names that older versions of torch gave to a weight's magnitude and direction.
_WEIGHT_NORM: Final = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}


def convert_hg_state_dict(state_dict: dict[str, object], config: HgCodecConfig) -> dict[str, object]:
    """Turns a state dict of transformers' layout into ours, in fp32; one that is ours comes back as it is."""
    return {_convert_key(key): _convert_value(value) for key, value in state_dict.items()}


def _convert_key(key: str) -> str:
    for old, new in _WEIGHT_NORM.items():
        if key.endswith(old):
            key = key.removesuffix(old) + new

    return key if key.startswith(_PREFIX) else _PREFIX + key


def _convert_value(value: object) -> object:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.float()

    return value
