"""Text tokenizers: ids of plain text, and the identity of the tokenizer that made them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from fairseq2.assets import AssetCardError, AssetDownloadManager, AssetStore
from fairseq2.data.tokenizers import load_tokenizer
from fairseq2.data.tokenizers.sentencepiece import RawSentencePieceTokenizer, load_sentencepiece_model
from fairseq2.data.tokenizers.tokenizer import Tokenizer
from fairseq2.runtime.dependency import get_dependency_resolver
from torch import Tensor

from codec_s2st.errors import UserInputError, unknown_name
from codec_s2st.share import card_name

SENTENCEPIECE_FAMILY: Final = "codec_s2st_sentencepiece"

_HG_FILES: Final = ("tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json", "tokenizer.model")
"""The files of a Hugging Face folder that decide the ids; the weights of an LLM may lie beside them."""


@dataclass(kw_only=True)
class SentencePieceConfig:
    """Nothing can be configured."""


def load_sentencepiece_tokenizer(path: Path, config: SentencePieceConfig) -> RawSentencePieceTokenizer:
    return RawSentencePieceTokenizer(load_sentencepiece_model(path))


@final
class TextTokenizer:
    """A text tokenizer with a name and a hash, without special tokens of its own."""

    def __init__(self, name: str, weights_hash: str, tokenizer: Tokenizer) -> None:
        self.name = name
        self.hash = weights_hash
        self.size = tokenizer.vocab_info.size

        self._encoder = tokenizer.create_raw_encoder()
        self._decoder = tokenizer.create_decoder(skip_special_tokens=True)

    def encode(self, text: str) -> Tensor:
        """Returns the ids of ``text``. *Shape:* [N], int64."""
        return self._encoder(text).long()

    def decode(self, ids: Tensor) -> str:
        """Returns the text of ``ids`` [N]."""
        return str(self._decoder(ids))


def load_text_tokenizer(name: str) -> TextTokenizer:
    """Loads the tokenizer of a card.

    :raises UserInputError: there is no such card, or it names no tokenizer.
    """
    resolver = get_dependency_resolver()

    store = resolver.resolve(AssetStore)

    card = store.maybe_retrieve_card(card_name(name)) or store.maybe_retrieve_card(name)

    if card is None:
        known = [asset.partition("@")[0] for asset in store.asset_names]

        raise unknown_name("tokenizer card", name, known, hint="codec-s2st ls --kind cards")

    try:
        uri = card.field("tokenizer").as_uri()
    except AssetCardError as ex:
        raise UserInputError(f"card '{card.name}' names no tokenizer: {ex}") from None

    path = uri.to_path() if uri.scheme == "file" else resolver.resolve(AssetDownloadManager).download_tokenizer(uri)

    return TextTokenizer(card.name, _hash_files(path), load_tokenizer(card))


def _hash_files(path: Path) -> str:
    files = [path] if path.is_file() else sorted(file for file in path.glob("*") if file.name in _HG_FILES)

    if not files or not files[0].is_file():
        raise UserInputError(f"there is no tokenizer at {path}", hint=f"a file, or a folder with {_HG_FILES[0]}")

    digest = hashlib.sha256()

    for file in files:
        digest.update(file.read_bytes())

    return digest.hexdigest()
