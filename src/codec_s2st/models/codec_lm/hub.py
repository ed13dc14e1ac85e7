"""Access to codec_lm models by card."""

from __future__ import annotations

from fairseq2.models import ModelHubAccessor

from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
from codec_s2st.models.codec_lm.model import CodecLM

get_codec_lm_hub = ModelHubAccessor(CODEC_LM_FAMILY, kls=CodecLM, config_kls=CodecLMConfig)
