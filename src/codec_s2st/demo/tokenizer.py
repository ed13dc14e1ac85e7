"""Trains the text tokenizer of the demo world."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from codec_s2st.demo.grammar import sample_text

VOCABULARY_SIZE: Final = 800


def train_tokenizer(path: Path, *, num_sentences: int = 20_000, seed: int = 1) -> None:
    """Writes a SentencePiece model that is trained on demo sentences of both languages, from the training part alone.

    :param num_sentences: The number of sentences of each language.
    """
    import sentencepiece

    texts = [text for language in ("spa", "eng") for text in sample_text(language, num_sentences, seed)]

    with TemporaryDirectory(dir=path.parent) as folder:
        prefix = Path(folder) / "tokenizer"

        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_prefix=str(prefix),
            model_type="bpe",
            vocab_size=VOCABULARY_SIZE,
            character_coverage=1.0,
            num_threads=1,
            minloglevel=2,
        )

        os.replace(prefix.with_suffix(".model"), path)
