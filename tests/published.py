"""A random translation model, published as a card and its weights, and recordings for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
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


def write_speech(path: Path, *, seconds: float = 1.0, rate: int = 16_000, channels: int = 1, seed: int = 0) -> Path:
    """Writes a gliding buzz; the extension decides the format."""
    rng = np.random.default_rng(seed)

    time = np.arange(int(seconds * rate)) / rate

    pitch = rng.uniform(100, 250)

    wave = sum(np.sin(2 * np.pi * k * (pitch * time + 10 * time**2)) / k for k in range(1, 9))

    path.parent.mkdir(parents=True, exist_ok=True)

    soundfile.write(str(path), np.repeat(0.2 * wave[:, None], channels, axis=1), rate)

    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
