"""The families of textual LLMs that codec_lm can start from: a file each, and a line in the table below."""

from __future__ import annotations

from typing import Final

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.backbones.backbone import Backbone as Backbone
from codec_s2st.models.codec_lm.backbones.config import BackboneConfig as BackboneConfig
from codec_s2st.models.codec_lm.backbones.config import RoPEScaling as RoPEScaling
from codec_s2st.models.codec_lm.backbones.config_json import ConfigJson
from codec_s2st.models.codec_lm.backbones.llama import LLaMABackbone
from codec_s2st.models.codec_lm.backbones.qwen import QwenBackbone

_BACKBONES: Final[tuple[Backbone, ...]] = (
    QwenBackbone(),
    LLaMABackbone(),
)

BACKBONES: Final = {backbone.family: backbone for backbone in _BACKBONES}
"""By family."""


def backbone_of(config: BackboneConfig) -> Backbone:
    """Returns the backbone that ``config`` is for."""
    return BACKBONES[config.family]


def read_config(config: ConfigJson) -> BackboneConfig:
    """Returns the architecture in a ``config.json``.

    :raises UserInputError: its model type, or an option that it uses, is not supported.
    """
    for backbone in _BACKBONES:
        if config.model_type in backbone.model_types:
            return backbone.read_config(config)

    known = ", ".join(kind for backbone in _BACKBONES for kind in backbone.model_types)

    raise UserInputError(f"{config.file}: `model_type` '{config.model_type}' is not supported, only {known}")
