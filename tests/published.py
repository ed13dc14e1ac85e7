"""A random translation model with the shipped codec and tokenizer, published as a card and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from codec_s2st.codecs import load_codec
from codec_s2st.data.text import load_text_tokenizer
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.tokens.compatibility import VocabularyFingerprint


def publish_random_model(
    folder: Path, name: str, *, tasks: Sequence[str] = ("s2st", "s2tt"), languages: Sequence[str] = ("spa-eng",)
) -> Path:
    """Writes the card ``FOLDER/NAME.yaml`` and the weights ``FOLDER/NAME``; returns the card.

    The model is the architecture ``tiny`` with two code books of 512, and reads four seconds or so.
    """
    codec = load_codec("demo_codec", num_streams=2)

    tokenizer = load_text_tokenizer("demo_tokenizer")

    fingerprint = VocabularyFingerprint(tokenizer.name, tokenizer.hash, tokenizer.size, codec.fingerprint, "parallel")

    hub = get_codec_lm_hub()

    config = hub.get_arch_config("tiny")

    config.decoder.vocab_size = tokenizer.size
    config.codebook_sizes = [512, 512]
    config.vocabulary = fingerprint.to_json()

    with torch.random.fork_rng():
        torch.manual_seed(0)

        state = hub.create_new_model(config).state_dict()

    folder.joinpath(name).mkdir(parents=True)

    save_file({key: value.contiguous() for key, value in state.items()}, folder / name / "model.safetensors")

    card = {
        "name": name,
        "model_family": CODEC_LM_FAMILY,
        "model_config": asdict(config),
        "checkpoint": name,
        "codec": codec.fingerprint.name,
        "tasks": list(tasks),
        "languages": list(languages),
    }

    path = folder / f"{name}.yaml"

    with path.open("w") as fp:
        YAML(typ="safe", pure=True).dump(card, fp)

    return path
