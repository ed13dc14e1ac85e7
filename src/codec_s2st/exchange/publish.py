"""Turns a training run into a folder that can be handed to somebody else: card, safetensors, tokenizer, README."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from codec_s2st.codecs.weights import hash_weights, safetensors_files
from codec_s2st.data.text import load_text_tokenizer
from codec_s2st.errors import UserInputError
from codec_s2st.exchange.files import new_folder, write_card, write_weights
from codec_s2st.exchange.parts import (
    MAX_FILE_BYTES,
    FiniteTensor,
    add_codec,
    add_tokenizer,
    add_weights,
    check_tensors,
    must_be_copied,
    state_shapes,
)
from codec_s2st.exchange.readme import make_readme
from codec_s2st.exchange.tasks import own_task_entries
from codec_s2st.exchange.training import add_reports, add_training
from codec_s2st.integrity import CHECKPOINT_SHA256
from codec_s2st.lazy_tensors import CastTensor, HeldTensor, LazyTensor, RowsOf
from codec_s2st.model_cards import OWN_TASKS, check_tokenizer
from codec_s2st.models.codec_lm.backbones import backbone_of, names
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.models.codec_lm.text_llm import CONFIG_FILE, to_hugging_face
from codec_s2st.models.codec_lm.warm_start import STREAM0_HEAD
from codec_s2st.recipes.common.initial import read_run
from codec_s2st.runs import Run, open_run, read_settings
from codec_s2st.share import CARD_PREFIX, card_name
from codec_s2st.tokens.compatibility import VocabularyFingerprint

MAX_SHARD_BYTES: Final = 9_000_000
"""The largest size of one file: what hosts and reviewers of a repository still take."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def publish_model(
    run: Path,
    out: Path,
    name: str,
    *,
    tasks: Sequence[str],
    languages: Sequence[str],
    notes: Mapping[str, str],
    step: int | None = None,
    dtype: torch.dtype | None = None,
    with_codec: bool | None = None,
    reports: Sequence[Path] = (),
    overwrite: bool = False,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> Path:
    """Writes a folder that holds all that the model needs, and names nothing of this machine.

    It has ``card.yaml``, ``README.md``, ``model/`` (safetensors), ``tokenizer/``, ``training/`` (summary, configuration
    and metrics), and maybe ``codecs/`` and ``evaluation/``. It appears as a whole, or not at all.

    :param name: The card's; our prefix may be left out.
    :param tasks: What the model was trained for, such as ``s2st``; the first is what it does if nothing is said.
    :param languages: The directions, such as ``spa-eng``.
    :param notes: Further fields of the card, such as ``license``.
    :param step: The checkpoint's; by default the one with the best validation score, else the last one.
    :param dtype: Of the weights; by default that of the checkpoint.
    :param with_codec: Whether the codec is copied. ``None`` refuses one whose weights are on this machine alone.
    :param reports: ``report.json`` of evaluations of these very weights, for the README.
    :param overwrite: An earlier published folder is replaced.

    :returns: The card's file.

    :raises UserInputError: ``run`` is none, or has no such checkpoint, or is not bound to a vocabulary; a weight is not
        finite; tokenizer or codec are not those of the training; the name cannot be one; or ``out`` exists.
    """
    check_name(name)

    opened = open_run(run, step=step)

    if not opened.model.vocabulary:
        raise UserInputError(f"run '{run}' says nothing of its tokenizer and codec", hint="train it with codec-s2st")

    fingerprint = VocabularyFingerprint.from_json(opened.model.vocabulary, where=f"run '{run}'")

    if with_codec is None and must_be_copied(fingerprint.codec):
        raise UserInputError(
            f"the codec '{fingerprint.codec.name}' is on this machine alone",
            hint="--with-codec puts it beside the model, --no-codec leaves it to others to have it",
        )

    if not overwrite and out.joinpath("card.yaml").is_file():
        raise UserInputError(f"'{out}' is a published folder already", hint="--overwrite replaces it")

    if overwrite and out.exists() and not out.joinpath("card.yaml").is_file():
        raise UserInputError(f"'{out}' is no published folder, and is not replaced", hint="name another folder")

    with new_folder(out, replace=overwrite) as folder:
        card = _write_parts(opened, fingerprint, folder, name, dtype, with_codec or False, max_file_bytes)

        card |= {"tasks": list(tasks), "languages": list(languages), **notes}

        if entries := own_task_entries(read_settings(opened)):
            card[OWN_TASKS] = entries

        training = add_training(folder, opened)

        evaluations = add_reports(folder, opened, reports, str(card[CHECKPOINT_SHA256]))

        write_card(folder / "card.yaml", card)

        readme = make_readme(card, fingerprint, training, evaluations)

        folder.joinpath("README.md").write_text(readme, encoding="utf-8")

    return out / "card.yaml"


def check_name(name: str) -> None:
    """
    :raises UserInputError: a card, a folder or a command line would take ``name`` for something else.
    """
    if not _NAME.fullmatch(name) or name.endswith((".yaml", ".yml")) or name == CARD_PREFIX:
        raise UserInputError(
            f"the name {name!r} cannot be that of a card",
            hint="--name with letters, digits, `_`, `-` and `.`, such as my_s2st",
        )


def _write_parts(
    run: Run,
    fingerprint: VocabularyFingerprint,
    folder: Path,
    name: str,
    dtype: torch.dtype | None,
    with_codec: bool,
    max_file_bytes: int,
) -> dict[str, object]:
    """Writes weights, tokenizer and codec, and returns the card so far."""
    where = f"checkpoint {run.step} of run '{run.folder}'"

    tokenizer = load_text_tokenizer(fingerprint.tokenizer)

    check_tokenizer(tokenizer, fingerprint, where=f"run '{run.folder}'")

    weights = add_weights(folder, _read_finite(run, dtype, where), max_file_bytes=max_file_bytes)

    # The copy goes by the card's name from now on.
    config = replace(run.model, vocabulary=replace(fingerprint, tokenizer=card_name(name)).to_json())

    return {
        "name": card_name(name),
        "model_family": CODEC_LM_FAMILY,
        "model_config": asdict(config),
        **weights,
        "codec": fingerprint.codec.name,
        "codec_fingerprint": fingerprint.codec.digest,
        **(add_codec(folder, fingerprint.codec) if with_codec else {}),
        **add_tokenizer(folder, tokenizer),
    }


def _read_finite(run: Run, dtype: torch.dtype | None, where: str) -> dict[str, LazyTensor]:
    hub = get_codec_lm_hub()

    # Whatever layout the training had, these are whole tensors; and mapped, not copied, where they were whole before.
    state = {key: HeldTensor(tensor) for key, tensor in hub.iter_checkpoint(run.checkpoint, run.model, mmap=True)}

    check_tensors(state, state_shapes(run.model), where=where, hint="choose another checkpoint: --step N")

    return {key: FiniteTensor(key, tensor, dtype, where) for key, tensor in state.items()}


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

    sha256 = hash_weights(safetensors_files(folder))

    folder.joinpath(CONFIG_FILE).write_text(json.dumps(hg_config, indent=2) + "\n")

    fingerprint = VocabularyFingerprint.from_json(config.vocabulary, where=str(run))

    card = {
        "name": card_name(name),
        "model_family": decoder.family,
        "model_config": asdict(card_config),
        "checkpoint": name,
        CHECKPOINT_SHA256: sha256,
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
