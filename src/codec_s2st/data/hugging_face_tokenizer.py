"""Tokenizers in Hugging Face's ``tokenizer.json``, as tokenizers of fairseq2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch
from fairseq2.data.tokenizers import TokenDecoder, TokenEncoder, Tokenizer, VocabularyInfo
from fairseq2.device import Device
from tokenizers import Tokenizer as FastTokenizer
from torch import Tensor
from typing_extensions import override

from codec_s2st.errors import UserInputError


def load_hugging_face_tokenizer(file: Path) -> HuggingFaceTokenizer:
    """
    :raises UserInputError: the file is no ``tokenizer.json``.
    """
    # The library raises nothing more special than Exception.
    try:
        model = FastTokenizer.from_file(str(file))
    except Exception as ex:
        raise UserInputError(f"{file} is not a tokenizer of Hugging Face: {ex}") from None

    # It may say that texts are cut, or padded, to a length.
    model.no_truncation()
    model.no_padding()

    return HuggingFaceTokenizer(model)


@final
class HuggingFaceTokenizer(Tokenizer):
    """Encodes text without the special tokens that a model may want around it."""

    def __init__(self, model: FastTokenizer) -> None:
        self._model = model

        # Ids may have gaps, and added tokens stand behind the others.
        size = max(model.get_vocab(with_added_tokens=True).values(), default=-1) + 1

        self._vocab_info = VocabularyInfo(size, unk_idx=None, bos_idx=None, eos_idx=None, pad_idx=None)

    @override
    def create_encoder(
        self,
        *,
        task: str | None = None,
        lang: str | None = None,
        mode: str | None = None,
        device: Device | None = None,
        pin_memory: bool = False,
    ) -> TokenEncoder:
        for name, value in (("task", task), ("lang", lang), ("mode", mode)):
            if value is not None:
                raise ValueError(f"`{name}` must be `None`, but is '{value}' instead.")

        return self.create_raw_encoder(device=device, pin_memory=pin_memory)

    @override
    def create_raw_encoder(self, *, device: Device | None = None, pin_memory: bool = False) -> TokenEncoder:
        return _Encoder(self._model, device, pin_memory)

    @override
    def create_decoder(self, *, skip_special_tokens: bool = False) -> TokenDecoder:
        return _Decoder(self._model, skip_special_tokens)

    @property
    @override
    def vocab_info(self) -> VocabularyInfo:
        return self._vocab_info


@final
class _Encoder(TokenEncoder):
    def __init__(self, model: FastTokenizer, device: Device | None, pin_memory: bool) -> None:
        self._model = model
        self._device = device
        self._pin_memory = pin_memory

    @override
    def __call__(self, text: str) -> Tensor:
        ids = self._model.encode(text, add_special_tokens=False).ids

        return torch.tensor(ids, dtype=torch.int64, device=self._device, pin_memory=self._pin_memory)

    @override
    def encode_as_tokens(self, text: str) -> list[str]:
        tokens: list[str] = self._model.encode(text, add_special_tokens=False).tokens

        return tokens

    @property
    @override
    def prefix_indices(self) -> Tensor | None:
        return None

    @property
    @override
    def suffix_indices(self) -> Tensor | None:
        return None


@final
class _Decoder(TokenDecoder):
    def __init__(self, model: FastTokenizer, skip_special_tokens: bool) -> None:
        self._model = model
        self._skip_special_tokens = skip_special_tokens

    @override
    def __call__(self, token_indices: Tensor) -> str:
        return str(self._model.decode(token_indices.tolist(), skip_special_tokens=self._skip_special_tokens))

    @override
    def decode_from_tokens(self, tokens: Sequence[str]) -> str:
        ids = [self._model.token_to_id(token) for token in tokens]

        return str(self._model.decode(ids, skip_special_tokens=self._skip_special_tokens))
