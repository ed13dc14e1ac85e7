"""Turns a training run into an asset card and half-precision safetensors that can be handed to somebody else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from fairseq2.models.qwen import QwenConfig
from torch import Tensor

from codec_s2st.errors import UserInputError
from codec_s2st.models.codec_lm.config import CODEC_LM_FAMILY, CodecLMConfig
from codec_s2st.models.codec_lm.hub import get_codec_lm_hub
from codec_s2st.recipes.common.initial import read_run
from codec_s2st.share import card_name
from codec_s2st.tokens.compatibility import VocabularyFingerprint

MAX_SHARD_BYTES: Final = 9_000_000
"""The largest size of one file: what hosts and reviewers of a repository still take."""


def publish_model(
    run: Path, out: Path, name: str, *, tasks: Sequence[str], languages: Sequence[str], notes: Mapping[str, str]
) -> Path:
    """Writes ``OUT/<name>.yaml`` and the folder ``OUT/<name>`` of weights from the last checkpoint of ``run``.

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

    _write_weights(out / name, _read_state(path, config))

    card = {
        "name": card_name(name),
        "model_family": CODEC_LM_FAMILY,
        "model_config": asdict(config),
        "checkpoint": name,
        "codec": fingerprint.codec.name,
        "tasks": list(tasks),
        "languages": list(languages),
        **notes,
    }

    return _write_card(out / f"{name}.yaml", card)


def publish_text_llm(run: Path, out: Path, name: str, *, notes: Mapping[str, str]) -> Path:
    """Writes the backbone and the text rows of a run as a textual LLM in Hugging Face's Qwen2 layout, and its card.

    :returns: The card's file.
    """
    from fairseq2.models.qwen.interop import _HG_KEY_MAP
    from fairseq2.models.utils.checkpoint import convert_state_dict, create_reverse_key_map

    config, path = read_run(run)

    state = _read_state(path, config)

    text_size = config.decoder.vocab_size

    text_state: dict[str, object] = {key: value for key, value in state.items() if key.startswith("decoder.")}

    text_state["decoder_frontend.embed.weight"] = state["decoder_frontend.embed.weight"][:text_size].clone()

    text_state["final_proj.weight"] = state["heads.stream0_weight"][:text_size].clone()

    folder = out / name

    converted = convert_state_dict(text_state, create_reverse_key_map(_HG_KEY_MAP))

    _write_weights(folder, {key: value for key, value in converted.items() if isinstance(value, Tensor)})

    folder.joinpath("config.json").write_text(json.dumps(_hugging_face_config(config.decoder), indent=2) + "\n")

    fingerprint = VocabularyFingerprint.from_json(config.vocabulary, where=str(run))

    card = {
        "name": card_name(name),
        "model_family": "qwen",
        "model_config": asdict(config.decoder),
        "checkpoint": name,
        "tokenizer_ref": fingerprint.tokenizer,
        **notes,
    }

    return _write_card(out / f"{name}.yaml", card)


def _hugging_face_config(config: QwenConfig) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": config.model_dim,
        "intermediate_size": config.ffn_inner_dim,
        "max_position_embeddings": config.max_seq_len,
        "num_attention_heads": config.num_attn_heads,
        "num_hidden_layers": config.num_layers,
        "num_key_value_heads": config.num_key_value_heads,
        "rms_norm_eps": 1e-6,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": config.vocab_size,
    }


def _read_state(path: Path, config: CodecLMConfig) -> dict[str, Tensor]:
    return dict(get_codec_lm_hub().iter_checkpoint(path, config))


def _write_weights(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Writes half-precision safetensors of at most :data:`MAX_SHARD_BYTES`; the folder appears when it is whole."""
    from safetensors.torch import save_file

    shards: list[dict[str, Tensor]] = [{}]

    size = 0

    for key, tensor in sorted(state.items()):
        half = tensor.to(torch.float16).contiguous()

        if shards[-1] and size + half.nbytes > MAX_SHARD_BYTES:
            shards.append({})

            size = 0

        shards[-1][key] = half

        size += half.nbytes

    temporary = folder.with_name(f".{folder.name}.tmp")

    shutil.rmtree(temporary, ignore_errors=True)

    temporary.mkdir(parents=True)

    files = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]

    # The names that Hugging Face's tools look for.
    if len(shards) == 1:
        files = ["model.safetensors"]
    else:
        index = {
            "metadata": {"total_size": sum(tensor.nbytes for shard in shards for tensor in shard.values())},
            "weight_map": {key: file for file, shard in zip(files, shards, strict=True) for key in shard},
        }

        temporary.joinpath("model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")

    for file, shard in zip(files, shards, strict=True):
        save_file(shard, temporary / file, metadata={"format": "pt"})

        # safetensors keeps what it writes to itself; this is for others.
        temporary.joinpath(file).chmod(0o644)

    shutil.rmtree(folder, ignore_errors=True)

    os.replace(temporary, folder)


def _write_card(path: Path, card: Mapping[str, object]) -> Path:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)

    yaml.default_flow_style = False

    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]

    temporary = path.with_name(f".{path.name}.tmp")

    with temporary.open("w") as fp:
        yaml.dump(dict(card), fp)

    os.replace(temporary, path)

    return path
