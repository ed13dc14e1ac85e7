"""The weights of a textual LLM: found under Hugging Face's names or fairseq2's, checked, and handed out as ours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, final

import torch
from fairseq2.gang import create_fake_gangs, set_gangs
from torch import Tensor
from typing_extensions import override

from codec_s2st.errors import UserInputError
from codec_s2st.lazy_tensors import LazyTensor
from codec_s2st.models.codec_lm.backbones import BackboneConfig, backbone_of, names, read_config
from codec_s2st.models.codec_lm.backbones.config_json import ConfigJson
from codec_s2st.models.codec_lm.meta import without_fills
from codec_s2st.tensor_files import read_headers

CONFIG_FILE: Final = "config.json"

_FIRST_LAYER: Final = "layers.0."


def read_text_llm(folder: Path) -> tuple[BackboneConfig, dict[str, LazyTensor]]:
    """Returns the architecture and the tensors, by our names, of a folder in Hugging Face's layout.

    Nothing but ``config.json`` and the headers of the safetensors files is read.

    :raises UserInputError: the architecture is not supported, or the files do not hold what ``config.json`` says.
    """
    config = read_config(ConfigJson.read(folder / CONFIG_FILE))

    return config, find_text_llm(read_headers(folder), config, where=str(folder))


def find_text_llm(
    tensors: Mapping[str, LazyTensor], config: BackboneConfig, *, where: str = "the checkpoint"
) -> dict[str, LazyTensor]:
    """Returns the tensors of a textual LLM by our names; a tied head is the embedding.

    :param tensors: By Hugging Face's names, or by fairseq2's.
    :param where: What an error calls the checkpoint.

    :raises UserInputError: one is missing, of another shape, or has no place in the model; its name is in the message.
    """
    in_hg_layout = names.HG_EMBED in tensors

    if not in_hg_layout and names.EMBED not in tensors:
        raise UserInputError(
            f"{where} is neither a codec_lm model nor a textual LLM: it has no `{names.HG_EMBED}`",
            hint="name the folder of a Hugging Face model, or a card",
        )

    # Names are made for each layer: a wrong number of them could take all memory.
    if config.num_layers > len(tensors):
        raise UserInputError(
            f"{where} has {len(tensors)} tensors, but its configuration says {config.num_layers} layers",
            hint="fetch it again, or mend its configuration",
        )

    expected = text_llm_shapes(config)

    found: dict[str, LazyTensor] = {}

    surplus = []

    for name, tensor in tensors.items():
        ours = names.from_hugging_face(name) if in_hg_layout else name

        if ours in expected:
            found[ours] = _FromHuggingFace(ours, tensor, config) if in_hg_layout else tensor
        # Old checkpoints keep the frequencies of rotary positions, which are computed.
        elif not name.endswith("rotary_emb.inv_freq"):
            surplus.append(name)

    if config.tied_embeddings and names.EMBED in found:
        # Some tied checkpoints store the head too; transformers does not read it.
        found[names.HEAD] = found[names.EMBED]

    def shown(name: str) -> str:
        return (names.to_hugging_face(name) or name) if in_hg_layout else name

    missing = [shown(name) for name in expected if name not in found]

    if missing:
        raise UserInputError(
            f"{where} has no `{missing[0]}`{_and_more(missing)}", hint="fetch it again, or mend its configuration"
        )

    if surplus:
        name = surplus[0]

        raise UserInputError(
            f"{tensors[name].where} holds `{name}`{_and_more(surplus)}, which the model has no place for",
            hint="its configuration must say what the checkpoint is",
        )

    for name, tensor in found.items():
        if tensor.shape != expected[name]:
            raise UserInputError(
                f"`{shown(name)}` in {tensor.where} is of shape {tensor.shape}, but the model wants {expected[name]}",
                hint="its configuration must say what the checkpoint is",
            )

        if not tensor.dtype.is_floating_point:
            dtype = str(tensor.dtype).removeprefix("torch.")

            raise UserInputError(f"`{shown(name)}` in {tensor.where} is of type {dtype}", hint="fetch it again")

    return found


def text_llm_shapes(config: BackboneConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every parameter of a textual LLM, by our names."""
    gangs = create_fake_gangs(torch.device("cpu"))

    # The whole model's, whatever part of it this process will have. Layers are alike, and building all of them takes
    # time even on the meta device.
    with torch.device("meta"), without_fills(), set_gangs(gangs, meta=True):
        decoder = backbone_of(config).create_decoder(replace(config, num_layers=1))

    table = (config.vocab_size, config.model_dim)

    shapes: dict[str, tuple[int, ...]] = {names.EMBED: table, names.HEAD: table}

    for name, weight in decoder.named_parameters():
        if name.startswith(_FIRST_LAYER):
            rest = name.removeprefix(_FIRST_LAYER)

            shapes.update({f"decoder.layers.{i}.{rest}": tuple(weight.shape) for i in range(config.num_layers)})
        else:
            shapes[f"decoder.{name}"] = tuple(weight.shape)

    return shapes


def to_hugging_face(
    tensors: Mapping[str, LazyTensor], config: BackboneConfig, *, tied: bool
) -> tuple[dict[str, object], dict[str, LazyTensor]]:
    """Returns what ``config.json`` says and the tensors by Hugging Face's names; undoes :func:`read_text_llm`.

    :param tensors: By our names.
    :param tied: Leave the head out, because it equals the embedding.
    """
    output = {}

    for name in text_llm_shapes(config):
        theirs = names.to_hugging_face(name)

        assert theirs is not None

        if name != names.HEAD or not tied:
            output[theirs] = _ToHuggingFace(name, tensors[name], config)

    data = backbone_of(config).write_config(config)

    data["vocab_size"] = config.vocab_size
    data["tie_word_embeddings"] = tied

    dtypes = {tensor.dtype for tensor in output.values()}

    if len(dtypes) == 1:
        data["torch_dtype"] = str(dtypes.pop()).removeprefix("torch.")

    return data, dict(output)


class _Converted(LazyTensor):
    def __init__(self, name: str, source: LazyTensor, config: BackboneConfig) -> None:
        self.name = name
        self.source = source
        self.config = config

        self.shape = source.shape
        self.dtype = source.dtype

    @property
    @override
    def where(self) -> str:
        return self.source.where

    @override
    def read(self) -> Tensor:
        return self.convert(self.source.read())

    @override
    def read_into(self, output: Tensor) -> None:
        # Most tensors are as they are, and then need no second memory.
        self.source.read_into(output)

        converted = self.convert(output)

        if converted is not output:
            output.copy_(converted)

    @override
    def map(self, num_rows: int | None = None, *, alignment: int = 1) -> Tensor | None:
        # Rows of tables alone are asked for, and those are as they are.
        mapped = self.source.map(num_rows, alignment=alignment)

        return None if mapped is None else self.convert(mapped)

    @abstractmethod
    def convert(self, weight: Tensor) -> Tensor:
        """Returns ``weight`` itself, if it is stored here as it is there."""


@final
class _FromHuggingFace(_Converted):
    @override
    def convert(self, weight: Tensor) -> Tensor:
        return backbone_of(self.config).from_hugging_face(self.name, weight, self.config)


@final
class _ToHuggingFace(_Converted):
    @override
    def convert(self, weight: Tensor) -> Tensor:
        return backbone_of(self.config).to_hugging_face(self.name, weight, self.config)


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
