"""The architectures of real LLMs, built on the meta device."""

from __future__ import annotations

from typing import Any, Final

import pytest
import torch

from codec_s2st.models.codec_lm.backbones import backbone_of
from codec_s2st.models.codec_lm.factory import create_codec_lm
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.text_llm import text_llm_shapes

PUBLISHED: Final = {
    "qwen1_5_0_5b": 463_987_712,
    "qwen2_5_0_5b": 494_032_768,
    "qwen2_5_1_5b": 1_543_714_304,
    "qwen3_0_6b": 596_049_920,
    "qwen3_1_7b": 1_720_574_976,
    "llama3_2_1b": 1_235_814_400,
}
"""The parameters of the textual LLMs, whose head is their embedding."""

every_arch = pytest.mark.parametrize("arch", list(PUBLISHED))


def test_all_architectures_are_here() -> None:
    assert {*PUBLISHED, "tiny", "demo"} == set(get_codec_lm_hub().get_archs())


@every_arch
def test_backbone_has_the_published_size(arch: str) -> None:
    config = get_codec_lm_hub().get_arch_config(arch)

    with torch.device("meta"):
        model = create_codec_lm(config)

    num_text = config.decoder.vocab_size * config.decoder.model_dim

    assert sum(parameter.numel() for parameter in model.decoder.parameters()) == PUBLISHED[arch] - num_text

    assert config.codebook_sizes == [1024] * 3

    # Two text tables and, in embedding and heads, 256 specials and 3 code books of 1,024.
    num_new = 2 * (256 + 3 * 1024) * config.decoder.model_dim

    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[arch] + num_text + num_new


@every_arch
def test_transformers_builds_the_same_from_what_is_written(arch: str) -> None:
    import transformers

    config = get_codec_lm_hub().get_arch_config(arch).decoder

    data: dict[str, Any] = backbone_of(config).write_config(config)

    hg_config = getattr(transformers, data["architectures"][0].replace("ForCausalLM", "Config"))(
        **data, vocab_size=config.vocab_size, tie_word_embeddings=True
    )

    with torch.device("meta"):
        llm = transformers.AutoModelForCausalLM.from_config(hg_config)

    assert llm.num_parameters() == PUBLISHED[arch]

    theirs = sorted(tuple(parameter.shape) for parameter in llm.parameters())

    ours = text_llm_shapes(config)

    del ours["final_proj.weight"]

    assert sorted(ours.values()) == theirs


@every_arch
def test_tables_need_no_padding(arch: str) -> None:
    config = get_codec_lm_hub().get_arch_config(arch)

    vocabulary = config.make_vocabulary()

    assert vocabulary.size % 64 == vocabulary.stream0_size % 64 == 0
