"""Tiny fake data and models that tests of several layers share: shards, tokenizers, sequences, language models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec_s2st.data.alignment import AlignedSpan
from codec_s2st.data.shards import ShardRow, ShardSet, Side, write_shard
from codec_s2st.models.codec_lm.config import CodecLMConfig
from codec_s2st.models.codec_lm.depth import DepthConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.model import CodecLM
from codec_s2st.tokens.fingerprint import CodecFingerprint
from codec_s2st.tokens.sequence import Modality, Segment, SequenceBuilder, TokenSequence

WORDS = ("uno", "dos", "tres", "casa", "rio", "sol")


def toy_fingerprint(
    sizes: tuple[int, ...] = (16, 16), name: str = "toy", weights_hash: str = "00" * 32
) -> CodecFingerprint:
    return CodecFingerprint(name, weights_hash, sizes, 640, 16_000)


def toy_text(rng: np.random.Generator, num_words: int) -> str:
    return " ".join(rng.choice(WORDS, num_words))


def toy_rows(
    num: int, *, num_streams: int = 2, num_codes: int = 16, num_valid: int = 0, seed: int = 0, aligned: bool = False
) -> list[ShardRow]:
    """Returns Spanish-English pairs of 3 to 8 frames and words a side; the last ``num_valid`` are in split valid.

    A side's codes say which words its text has, a frame a word, so that there is something to learn.
    """
    rng = np.random.default_rng(seed)

    def side(lang: str, speaker: str) -> Side:
        words = rng.integers(0, len(WORDS), rng.integers(3, 9))

        codes = (words[:, None] * 2 + np.arange(num_streams)) % num_codes

        texts = [WORDS[word] for word in words]

        alignment = tuple(AlignedSpan(text, i, i + 1) for i, text in enumerate(texts)) if aligned else None

        return Side(codes.astype(np.int16), " ".join(texts), lang, speaker, alignment)

    splits = ["train"] * (num - num_valid) + ["valid"] * num_valid

    return [ShardRow(f"row{i}", split, side("spa", "a"), side("eng", "b")) for i, split in enumerate(splits)]


def write_toy_shards(folder: Path, rows: Sequence[ShardRow], fingerprint: CodecFingerprint | None = None) -> Path:
    """Writes one shard and returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)

    write_shard(
        folder / "shard-00000-of-00001.parquet", rows, fingerprint or toy_fingerprint(), {"manifest_sha256": "0"}
    )

    return folder


def open_toy_shards(folder: Path, rows: Sequence[ShardRow], fingerprint: CodecFingerprint | None = None) -> ShardSet:
    return ShardSet.open([write_toy_shards(folder, rows, fingerprint)], codec=None)


def write_toy_tokenizer(folder: Path, name: str, *, vocab_size: int = 20) -> Path:
    """Trains a SentencePiece tokenizer on :data:`WORDS` and writes its card ``NAME.yaml``; returns the card."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(0)

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([toy_text(rng, 5) for _ in range(100)]),
        model_prefix=str(folder / name),
        vocab_size=vocab_size,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )

    card = folder / f"{name}.yaml"

    card.write_text(f"name: {name}\ntokenizer_family: codec_s2st_sentencepiece\ntokenizer: {name}.model\n")

    return card


def encode_letters(text: str) -> Tensor:
    """Encodes a text without a tokenizer: one id below 27 a character. *Shape:* [N], int64."""
    return torch.tensor([ord(char) % 32 if char.isalpha() else 0 for char in text], dtype=torch.int64)


def tiny_config(
    sizes: Sequence[int] = (16, 16), *, pattern: str = "parallel", text_size: int = 64, std: float = 0.5
) -> CodecLMConfig:
    """Returns the configuration of two layers; with the large ``std``, the predictions are far from uniform.

    :param pattern: With the suffix ``+depth``, the heads have a depth transformer.
    """
    config = get_codec_lm_hub().get_arch_config("tiny")

    config.decoder.vocab_size = text_size
    config.codebook_sizes = list(sizes)
    config.pattern, _, heads = pattern.partition("+")

    if heads:
        config.heads = heads
        config.depth = DepthConfig(model_dim=16, num_layers=2, num_attn_heads=2, ffn_inner_dim=32)

    config.new_rows_std = std

    return config


def tiny_model(config: CodecLMConfig | None = None, *, seed: int = 0) -> CodecLM:
    """Returns a model with random weights, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)

        return get_codec_lm_hub().create_new_model(config or tiny_config()).eval()


def random_segment(builder: SequenceBuilder, modality: Modality, length: int, seed: int, *, in_loss: bool) -> Segment:
    generator = torch.Generator().manual_seed(seed)

    vocabulary = builder.vocabulary

    if modality is Modality.TEXT:
        ids = torch.randint(0, vocabulary.text_size, (length,), generator=generator)
    else:
        books = [torch.randint(0, size, (length,), generator=generator) for size in vocabulary.codebook_sizes]

        ids = torch.stack(books, dim=-1)

    return Segment(modality, ids, in_loss=in_loss)


def random_sequence(
    builder: SequenceBuilder, modalities: Sequence[Modality], length: int, seed: int, *, in_loss: bool = True
) -> TokenSequence:
    """Returns a task's tag and segments of ``length`` tokens or frames."""
    tags = Segment(Modality.TAGS, torch.tensor([builder.vocabulary.special("<task:s2st>")]), in_loss=False)

    segments = [
        random_segment(builder, modality, length, seed * 100 + i, in_loss=in_loss)
        for i, modality in enumerate(modalities)
    ]

    return builder.build([tags, *segments])
