"""The parts of a published folder: weights, tokenizer and codec, each with the fields of the card that name it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, final

import torch
from fairseq2.assets import AssetCard, AssetStore
from fairseq2.models import ModelFamily
from fairseq2.runtime.dependency import get_dependency_resolver
from torch import Tensor
from typing_extensions import override

from codec_s2st.cards import read_cards
from codec_s2st.codecs.codec import load_codec
from codec_s2st.codecs.hub import find_codec_card
from codec_s2st.codecs.weights import hash_weights, safetensors_files
from codec_s2st.data.text import TOKENIZER_FAMILY, TextTokenizer, copy_tokenizer, load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.exchange.files import write_card
from codec_s2st.integrity import CHECKPOINT_SHA256, TOKENIZER_SHA256
from codec_s2st.lazy_tensors import LazyTensor
from codec_s2st.model_cards import CODEC_CARD, checkpoint_of
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.share import assets_dir
from codec_s2st.tensor_files import write_tensors
from codec_s2st.tokens.fingerprint import CodecFingerprint

MAX_FILE_BYTES: Final = 2_000_000_000
"""The largest size of one file of weights."""


def add_weights(
    folder: Path, tensors: Mapping[str, LazyTensor], *, max_file_bytes: int = MAX_FILE_BYTES
) -> dict[str, object]:
    """Writes ``model/`` into a folder that exists."""
    folder.joinpath("model").mkdir()

    write_tensors(folder / "model", tensors, max_file_bytes=max_file_bytes)

    return {"checkpoint": "model", CHECKPOINT_SHA256: hash_weights(safetensors_files(folder / "model"))}


def add_tokenizer(folder: Path, tokenizer: TextTokenizer) -> dict[str, object]:
    """Writes ``tokenizer/``, from which any program of fairseq2's loads the tokenizer by the model's own card.

    :raises UserInputError: the files by themselves are not that tokenizer.
    """
    target = folder / "tokenizer"

    target.mkdir()

    copy_tokenizer(tokenizer.path, target)

    fields: dict[str, object] = {
        "tokenizer_family": TOKENIZER_FAMILY,
        "tokenizer": "tokenizer",
        TOKENIZER_SHA256: tokenizer.hash,
    }

    # Families of fairseq2's own may read files in another way.
    copy = load_text_tokenizer(AssetCard("the copy", {**fields, "__base_path__": folder}))

    if (copy.hash, copy.size) != (tokenizer.hash, tokenizer.size):
        raise UserInputError(
            f"the files of tokenizer '{tokenizer.name}' in {tokenizer.path} cannot be handed on by themselves",
            hint="train with a card of the family codec_s2st_tokenizer",
        )

    return fields


def must_be_copied(codec: CodecFingerprint) -> bool:
    """Whether a codec's weights are on this machine alone, and not on a hub or in this package."""
    if codec.name in {card.name for card in read_cards(assets_dir())}:
        return False

    card = get_dependency_resolver().resolve(AssetStore).maybe_retrieve_card(codec.name)

    return card is None or not card.has_field("checkpoint") or card.field("checkpoint").as_uri().scheme == "file"


def add_codec(folder: Path, codec: CodecFingerprint) -> dict[str, object]:
    """Writes ``codecs/<name>.yaml`` and the weights that it names, under the name that the codec has here.

    :raises UserInputError: the codec is not here, or not the one that the model was trained with.
    """
    card = find_codec_card(codec.name)

    family = get_dependency_resolver().resolve(ModelFamily, key=card.field("model_family").as_(str))

    config: Any = family.get_model_config(card)

    source = checkpoint_of(card)

    target = folder / "codecs" / codec.name

    target.mkdir(parents=True)

    for file in safetensors_files(source):
        shutil.copyfile(file, target / file.name)

    fields: dict[str, object] = {
        "name": codec.name,
        "model_family": family.name,
        # The whole of it: what the card here is made of may be unknown elsewhere.
        "model_config": {"_set_": asdict(config)},
        "checkpoint": codec.name,
        CHECKPOINT_SHA256: hash_weights(safetensors_files(target)),
    }

    if (license_ := card.maybe_get_field("license")) is not None:
        fields["license"] = license_.as_(str)

    file = write_card(folder / "codecs" / f"{codec.name}.yaml", fields)

    codec.check_reads(
        load_codec(str(file)).fingerprint,
        where=f"the codec '{codec.name}' on this machine",
        hint="bring back the card and the weights that the model was trained with, or leave the codec out: --no-codec",
    )

    return {CODEC_CARD: str(file.relative_to(folder))}


def state_shapes(config: CodecLMConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every tensor of a model's state, by name."""
    state = get_codec_lm_hub().create_new_model(config, meta=True).state_dict()

    return {key: tuple(value.shape) for key, value in state.items()}


def check_tensors(
    tensors: Mapping[str, LazyTensor], shapes: Mapping[str, tuple[int, ...]], *, where: str, hint: str
) -> None:
    """
    :param shapes: Those of the model.

    :raises UserInputError: a tensor is missing or left over, or has another shape.
    """
    for what, names in (("has no", shapes.keys() - tensors.keys()), ("has a surplus", tensors.keys() - shapes.keys())):
        if names:
            rest = f" and {len(names) - 1} more" if len(names) > 1 else ""

            raise UserInputError(f"{where} {what} `{min(names)}`{rest}", hint=hint)

    for name, tensor in tensors.items():
        if tensor.shape != shapes[name]:
            raise UserInputError(
                f"`{name}` of {where} has the shape {tensor.shape}, but the model {shapes[name]}", hint=hint
            )


@final
class FiniteTensor(LazyTensor):
    """A tensor in another type of numbers, refused if it holds what is not a number."""

    def __init__(self, name: str, source: LazyTensor, dtype: torch.dtype | None, where: str) -> None:
        """
        :param dtype: ``None`` for that of ``source``.
        :param where: What an error calls the place that the tensor is in.
        """
        self.shape = source.shape
        self.dtype = dtype if dtype is not None and source.dtype.is_floating_point else source.dtype

        self._name = name
        self._source = source
        self._where = where

    @override
    def read(self) -> Tensor:
        tensor = self._source.read()

        if not bool(torch.isfinite(tensor).all()):
            raise UserInputError(
                f"`{self._name}` of {self._where} holds NaN or infinity: the training has diverged",
                hint="publish an earlier checkpoint: --step N",
            )

        output = tensor.to(self.dtype)

        if not bool(torch.isfinite(output).all()):
            dtype = str(self.dtype).removeprefix("torch.")

            raise UserInputError(f"`{self._name}` of {self._where} is too large for {dtype}", hint="--dtype bfloat16")

        return output

    @property
    @override
    def where(self) -> str:
        return self._where
