"""Turns a training run into an asset card and half-precision safetensors that can be handed to somebody else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from codec_s2st.data.text import TOKENIZER_FAMILY, copy_tokenizer, load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.lazy_tensors import CastTensor, HeldTensor, LazyTensor, RowsOf
from codec_s2st.models.codec_lm.backbones import backbone_of, names
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.text_llm import CONFIG_FILE, to_hugging_face
from codec_s2st.models.codec_lm.warm_start import STREAM0_HEAD
from codec_s2st.publish_files import new_folder, write_card, write_weights
from codec_s2st.recipes.common.initial import read_run
from codec_s2st.share import card_name
from codec_s2st.tokens.compatibility import VocabularyFingerprint

MAX_SHARD_BYTES: Final = 9_000_000
"""The largest size of one file: what hosts and reviewers of a repository still take."""


def publish_model(
    run: Path, out: Path, name: str, *, tasks: Sequence[str], languages: Sequence[str], notes: Mapping[str, str]
) -> Path:
    """Writes ``OUT/<name>.yaml`` and the folder ``OUT/<name>`` of weights from the last checkpoint of ``run``.

    A tokenizer that no card names is copied to ``OUT/<name>_tokenizer``.

    :param tasks: What the model was trained for, such as ``s2st``.
    :param languages: The directions, such as ``spa-eng``.
    :param notes: Further fields of the card, such as ``license``.

    :returns: The card's file.

    :raises UserInputError: the run has no checkpoint, or is not bound to a vocabulary.
    """
    config, path = read_run(run)

    if not config.vocabulary:
        raise UserInputError(f"run '{run}' says nothing of its tokenizer and codec")

    fingerprint = VocabularyFingerprint.from_json(config.vocabulary, where=str(run))

    write_weights(out / name, _read_state(path, config), max_file_bytes=MAX_SHARD_BYTES)

    # A tokenizer that is not a card's is in a folder of this machine.
    tokenizer_card = {}

    if "/" in fingerprint.tokenizer:
        source = load_text_tokenizer(fingerprint.tokenizer)

        if source.hash != fingerprint.tokenizer_hash:
            raise UserInputError(f"run '{run}' was trained with another version of the tokenizer in {source.path}")

        with new_folder(out / f"{name}_tokenizer", replace=True) as folder:
            copy_tokenizer(source.path, folder)

        # It goes by the card's name from now on.
        config.vocabulary = replace(fingerprint, tokenizer=card_name(name)).to_json()

        tokenizer_card = {"tokenizer_family": TOKENIZER_FAMILY, "tokenizer": f"{name}_tokenizer"}

    card = {
        "name": card_name(name),
        "model_family": CODEC_LM_FAMILY,
        "model_config": asdict(config),
        "checkpoint": name,
        "codec": fingerprint.codec.name,
        **tokenizer_card,
        "tasks": list(tasks),
        "languages": list(languages),
        **notes,
    }

    return write_card(out / f"{name}.yaml", card)


def publish_text_llm(run: Path, out: Path, name: str, *, notes: Mapping[str, str]) -> Path:
    """Writes the backbone and the text rows of a run as a textual LLM in Hugging Face's layout, and its card.

    :returns: The card's file.

    :raises UserInputError: the run has no checkpoint, or fairseq2 has no model family for its backbone.
    """
    config, path = read_run(run)

    decoder = config.decoder

    card_config: Any = backbone_of(decoder).to_card_config(decoder)

    card_config.tied_embeddings = False

    folder = out / name

    hg_config, tensors = to_hugging_face(text_rows(_read_state(path, config), config), decoder, tied=False)

    write_weights(folder, tensors, max_file_bytes=MAX_SHARD_BYTES)

    folder.joinpath(CONFIG_FILE).write_text(json.dumps(hg_config, indent=2) + "\n")

    fingerprint = VocabularyFingerprint.from_json(config.vocabulary, where=str(run))

    card = {
        "name": card_name(name),
        "model_family": decoder.family,
        "model_config": asdict(card_config),
        "checkpoint": name,
        "tokenizer_ref": fingerprint.tokenizer,
        **notes,
    }

    return write_card(out / f"{name}.yaml", card)


def text_rows(
    state: Mapping[str, LazyTensor], config: CodecLMConfig, *, where: str = "the checkpoint"
) -> dict[str, LazyTensor]:
    """Returns what a codec_lm model knows of text, as the tensors of a textual LLM by our names.

    :raises UserInputError: a table is missing.
    """
    for key in (names.EMBED, STREAM0_HEAD):
        if key not in state:
            raise UserInputError(f"{where} has no `{key}`", hint="it must be of a codec_lm model")

    output = {key: tensor for key, tensor in state.items() if key.startswith("decoder.")}

    output[names.EMBED] = RowsOf(state[names.EMBED], config.decoder.vocab_size)
    output[names.HEAD] = RowsOf(state[STREAM0_HEAD], config.decoder.vocab_size)

    return output


def _read_state(path: Path, config: CodecLMConfig) -> dict[str, LazyTensor]:
    """Returns the weights of a run in half precision."""
    state = get_codec_lm_hub().iter_checkpoint(path, config)

    return {key: CastTensor(HeldTensor(tensor), torch.float16) for key, tensor in state}
