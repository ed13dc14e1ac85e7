"""Grows a textual LLM's checkpoint into one of codec_lm: text rows are copied bit for bit, new rows are drawn."""

from __future__ import annotations

import torch
from fairseq2.models.qwen.interop import convert_qwen_state_dict
from torch import Tensor

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.config import CodecLMConfig

_HG_EMBED = "model.embed_tokens.weight"
_EMBED = "decoder_frontend.embed.weight"
_TEXT_HEAD = "final_proj.weight"


def convert_codec_lm_state_dict(state_dict: dict[str, object], config: CodecLMConfig) -> dict[str, object]:
    """Returns the state of a codec_lm model from ours (as it is) or from a textual LLM's (grown).

    A textual LLM's state has Hugging Face's Qwen2 key names, or fairseq2's own. Its embedding and head are untied:
    their new rows differ. New rows are drawn from a normal with ``config.new_rows_std``, seeded with
    ``config.new_rows_seed``.

    :raises UserInputError: the number of text rows, or the width, differs from the configuration's.
    """
    if "heads.stream0_weight" in state_dict:
        return state_dict

    if _HG_EMBED in state_dict and "lm_head.weight" not in state_dict:
        state_dict = {**state_dict, "lm_head.weight": state_dict[_HG_EMBED]}

    state = convert_qwen_state_dict(dict(state_dict), config.decoder)

    text_embed = state.pop(_EMBED, None)

    text_head = state.pop(_TEXT_HEAD, text_embed)

    expected = (config.decoder.vocab_size, config.decoder.model_dim)

    if not isinstance(text_embed, Tensor) or not isinstance(text_head, Tensor):
        raise UserInputError("the checkpoint is neither a codec_lm model nor a textual Qwen model")

    for weight in (text_embed, text_head):
        if tuple(weight.shape) != expected:
            raise UserInputError(
                f"the checkpoint has a text table of shape {tuple(weight.shape)}, but the model wants {expected}",
                hint="set `model.config_overrides.decoder` to the checkpoint's sizes",
            )

    vocabulary = config.make_vocabulary()

    generator = torch.Generator().manual_seed(config.new_rows_seed)

    def grow(weight: Tensor, num_rows: int) -> Tensor:
        new_rows = torch.randn((num_rows - weight.size(0), weight.size(1)), generator=generator)

        return torch.cat([weight, (new_rows * config.new_rows_std).to(weight.dtype)])

    state[_EMBED] = grow(text_embed, vocabulary.size)

    state["heads.stream0_weight"] = grow(text_head, vocabulary.stream0_size)

    if vocabulary.num_streams > 1:
        state["heads.codebook_weight"] = grow(text_head[:0], vocabulary.size - vocabulary.stream0_size)

    return state
