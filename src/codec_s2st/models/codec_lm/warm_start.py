"""Grows a textual LLM's checkpoint into one of codec_lm: text rows are copied bit for bit, new rows are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

import torch
from fairseq2.device import CPU
from fairseq2.gang import create_fake_gangs, set_gangs
from torch import Tensor
from typing_extensions import override

from codec_s2st.lazy_tensors import HeldTensor, LazyTensor
from codec_s2st.models.codec_lm.backbones import names
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.factory import create_depth_transformer
from codec_s2st.models.codec_lm.tables import draw_new_rows, padded_rows
from codec_s2st.models.codec_lm.text_llm import find_text_llm

STREAM0_HEAD: Final = "heads.stream0_weight"
CODEBOOK_HEAD: Final = "heads.codebook_weight"
DEPTH: Final = "heads.depth"

_TABLES: Final = (names.EMBED, STREAM0_HEAD, CODEBOOK_HEAD)


def convert_codec_lm_state_dict(state_dict: dict[str, object], config: CodecLMConfig) -> dict[str, object]:
    """Returns the state of a codec_lm model from ours (as it is) or from a textual LLM's (grown).

    :param state_dict: Tensors, or :class:`LazyTensor` throughout; what is returned is of the same kind.

    :raises UserInputError: the checkpoint is not the textual LLM that ``config.decoder`` describes.
    """
    if STREAM0_HEAD in state_dict:
        return state_dict

    tensors: dict[str, LazyTensor] = {}

    for key, value in state_dict.items():
        if isinstance(value, Tensor):
            tensors[key] = HeldTensor(value)
        elif isinstance(value, LazyTensor):
            tensors[key] = value

    grown = grow_text_llm(find_text_llm(tensors, config.decoder), config)

    if any(isinstance(value, LazyTensor) for value in state_dict.values()):
        return dict(grown)

    return {key: tensor.read() for key, tensor in grown.items()}


def grow_text_llm(text_llm: Mapping[str, LazyTensor], config: CodecLMConfig) -> dict[str, LazyTensor]:
    """Returns the state of a codec_lm model that says of text what ``text_llm`` says.

    Embedding and head become two tables if they were one, since their new rows differ. New rows are drawn as
    ``config.new_rows_init`` says, seeded with ``config.new_rows_seed``; rows of padding are zero.

    :param text_llm: The tensors by our names, as :func:`find_text_llm` returns them.
    """
    vocabulary = config.make_vocabulary()

    grown = {key: tensor for key, tensor in text_llm.items() if key.startswith("decoder.")}

    head = text_llm[names.HEAD]

    grown[names.EMBED] = _GrownTable(0, text_llm[names.EMBED], vocabulary.size, config)

    grown[STREAM0_HEAD] = _GrownTable(1, head, vocabulary.stream0_size, config)

    if vocabulary.num_streams > 1:
        num_rows = vocabulary.size - vocabulary.stream0_size

        grown[CODEBOOK_HEAD] = _GrownTable(2, head, num_rows, config, keep_text=False)

    if config.heads == "depth":
        grown.update(_draw_depth_transformer(config, dtype=head.dtype))

    return grown


def _draw_depth_transformer(config: CodecLMConfig, dtype: torch.dtype) -> dict[str, LazyTensor]:
    # As a whole, whatever the ranks: what is loaded of it is decided later.
    with torch.random.fork_rng(devices=[]), CPU, set_gangs(create_fake_gangs(CPU)):
        torch.manual_seed(config.new_rows_seed)

        depth = create_depth_transformer(config)

    return {f"{DEPTH}.{key}": HeldTensor(value.to(dtype)) for key, value in depth.state_dict().items()}


@final
class _GrownTable(LazyTensor):
    """The rows of the text, new rows, and rows of padding."""

    def __init__(
        self, idx: int, text: LazyTensor, num_rows: int, config: CodecLMConfig, *, keep_text: bool = True
    ) -> None:
        """
        :param idx: Tells the tables' random numbers apart.
        :param num_rows: Without padding.
        :param keep_text: If ``False``, the text's rows are looked at but are no part of the table.
        """
        self.shape = (padded_rows(num_rows, config.rows_multiple_of), text.shape[1])
        self.dtype = text.dtype

        self._idx = idx
        self._text = text
        self._num_rows = num_rows
        self._config = config
        self._keep_text = keep_text

    @override
    def read(self) -> Tensor:
        table = torch.empty(self.shape, dtype=self.dtype)

        self.read_into(table)

        return table

    @override
    def read_into(self, output: Tensor) -> None:
        if self._keep_text:
            self._text.read_into(output[: self._text.shape[0]])

        self._fill_other_rows(output)

    @override
    def map(self, num_rows: int | None = None, *, alignment: int = 1) -> Tensor | None:
        if num_rows is not None or not self._keep_text:
            return None

        table = self._text.map(self.shape[0], alignment=alignment)

        if table is not None:
            self._fill_other_rows(table)

        return table

    def _fill_other_rows(self, table: Tensor) -> None:
        config = self._config

        begin = self._text.shape[0] if self._keep_text else 0

        old_rows = table[:begin]

        if not self._keep_text and config.new_rows_init == "old_rows":
            # Some of them are looked at.
            mapped = self._text.map()

            old_rows = self._text.read() if mapped is None else mapped

        generator = torch.Generator().manual_seed(len(_TABLES) * config.new_rows_seed + self._idx)

        draw_new_rows(
            table[begin : self._num_rows],
            old_rows,
            config.new_rows_init,
            config.new_rows_std,
            config.new_rows_scale,
            generator,
            precision=self.dtype,
        )

        table[self._num_rows :] = 0.0
