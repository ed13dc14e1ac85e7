"""From manifests to batches: manifest, token shards, task templates, mixture, readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairseq2.runtime.dependency import DependencyContainer


def register(container: DependencyContainer) -> None:
    """Registers the dataset family of token shards, and the families of text tokenizers."""
    from fairseq2.composition import register_dataset_family, register_tokenizer_family
    from fairseq2.data.tokenizers import Tokenizer
    from fairseq2.data.tokenizers.sentencepiece import RawSentencePieceTokenizer

    from codec_s2st.data.dataset import (
        SHARDS_FAMILY,
        SpeechTextDataset,
        SpeechTextDatasetConfig,
        open_speech_text_dataset,
    )
    from codec_s2st.data.text import (
        SENTENCEPIECE_FAMILY,
        TOKENIZER_FAMILY,
        SentencePieceConfig,
        TextTokenizerConfig,
        load_sentencepiece_tokenizer,
        load_tokenizer_files,
    )

    register_dataset_family(
        container,
        SHARDS_FAMILY,
        kls=SpeechTextDataset,
        config_kls=SpeechTextDatasetConfig,
        opener=open_speech_text_dataset,
    )

    register_tokenizer_family(
        container,
        SENTENCEPIECE_FAMILY,
        kls=RawSentencePieceTokenizer,
        config_kls=SentencePieceConfig,
        loader=load_sentencepiece_tokenizer,
    )

    register_tokenizer_family(
        container,
        TOKENIZER_FAMILY,
        kls=Tokenizer,
        config_kls=TextTokenizerConfig,
        loader=load_tokenizer_files,
    )
